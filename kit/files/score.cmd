@echo off
rem Scores the folders or zips of smears that are dropped onto this file.
setlocal
set "environment=%LOCALAPPDATA%\vexas-edge\environment"
if defined VEXAS_EDGE_HOME set "environment=%VEXAS_EDGE_HOME%\environment"
if "%~1"=="" (
    echo Drop the folder or the zip of a smear onto this file.
    pause
    exit /b 2
)
"%environment%\Scripts\vexas-edge.exe" score %* --bundle "%~dp0bundle.vxb" -o "%~dpnx1-vexas-edge"
set "status=%ERRORLEVEL%"
pause
exit /b %status%
