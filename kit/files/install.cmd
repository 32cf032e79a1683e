@echo off
rem Installs vexas-edge for this user only, from this folder, without network or administrator.
setlocal
set "environment=%LOCALAPPDATA%\vexas-edge\environment"
if defined VEXAS_EDGE_HOME set "environment=%VEXAS_EDGE_HOME%\environment"
set "versions=3.13 3.12 3.11"
set "check=import sys; sys.exit('%%d.%%d' %% sys.version_info[:2] not in sys.argv or sys.maxsize < 2**32)"

for %%v in (%versions%) do (
    py -%%v -c "%check%" %versions% >nul 2>nul && set "python=py -%%v" && goto found
)
python -c "%check%" %versions% >nul 2>nul && set "python=python" && goto found
echo No 64-bit Python of these versions was found: %versions%. The installer from python.org needs no
echo administrator if "Install for me only" is chosen; run it, then run this file again.
pause
exit /b 4

:found
%python% -m venv --clear "%environment%" || goto failed
"%environment%\Scripts\python.exe" -m pip install --quiet --disable-pip-version-check --no-index --find-links "%~dp0wheels" --require-hashes -r "%~dp0requirements.txt" || goto failed
"%environment%\Scripts\vexas-edge.exe" doctor || goto failed
"%environment%\Scripts\vexas-edge.exe" verify "%~dp0bundle.vxb" || goto failed
"%environment%\Scripts\vexas-edge.exe" prepare --bundle "%~dp0bundle.vxb" || goto failed
echo Installed in %environment%. To score a smear, drop its folder onto score.cmd.
pause
exit /b 0

:failed
echo The installation did not finish; the lines above say why.
pause
exit /b 4
