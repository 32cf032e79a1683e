@echo off
rem Installs vexas-edge for this user alone, from this folder: no network, no administrator.
setlocal
set "home=%LOCALAPPDATA%\vexas-edge"
if defined VEXAS_EDGE_HOME set "home=%VEXAS_EDGE_HOME%"
set "check=import sys; sys.exit(not ((3, 11) <= sys.version_info[:2] <= (3, 13) and sys.maxsize > 2**32))"

for %%v in (3.13 3.12 3.11) do (
    py -%%v -c "%check%" >nul 2>nul && set "python=py -%%v" && goto found
)
python -c "%check%" >nul 2>nul && set "python=python" && goto found
echo No 64-bit Python 3.11, 3.12 or 3.13 was found. The installer from python.org needs no
echo administrator when "Install for me only" is chosen; run it, then this file again.
pause
exit /b 4

:found
%python% -m venv --clear "%home%" || goto failed
"%home%\Scripts\python.exe" -m pip install --quiet --disable-pip-version-check --no-index --find-links "%~dp0wheels" --require-hashes -r "%~dp0requirements.txt" || goto failed
"%home%\Scripts\vexas-edge.exe" doctor || goto failed
"%home%\Scripts\vexas-edge.exe" verify "%~dp0bundle.vxb" || goto failed
"%home%\Scripts\vexas-edge.exe" prepare --bundle "%~dp0bundle.vxb" || goto failed
echo Installed in %home%. Drop the folder of a smear onto score.cmd.
pause
exit /b 0

:failed
echo The installation did not finish; the lines above say why.
pause
exit /b 4
