@echo off
rem The scripts of package.json begin with "exec", a command of Unix shells. On Windows, npm starts cmd.exe, which runs this file.
echo Windows is not supported: use WSL 2 (https://learn.microsoft.com/windows/wsl/install), or build the image with Docker 1>&2
exit /b 1
