@echo off
rem Scores smears as they arrive in a folder, until it is stopped: watch.cmd FOLDER RESULTS
setlocal
set "environment=%LOCALAPPDATA%\vexas-edge\environment"
if defined VEXAS_EDGE_HOME set "environment=%VEXAS_EDGE_HOME%\environment"
if "%~2"=="" (
    echo usage: watch.cmd FOLDER RESULTS
    exit /b 2
)
"%environment%\Scripts\vexas-edge.exe" watch "%~1" --bundle "%~dp0bundle.vxb" -o "%~2"
exit /b %ERRORLEVEL%
