@echo off
rem Drop the folders or zips of smears onto this file.
setlocal
set "home=%LOCALAPPDATA%\vexas-edge"
if defined VEXAS_EDGE_HOME set "home=%VEXAS_EDGE_HOME%"
if "%~1"=="" (
    echo Drop the folder or the zip of a smear onto this file.
    pause
    exit /b 2
)
"%home%\Scripts\vexas-edge.exe" score %* --bundle "%~dp0bundle.vxb" -o "%~dpn1-vexas-edge"
set "status=%ERRORLEVEL%"
pause
exit /b %status%
