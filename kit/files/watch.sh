#!/bin/sh
# Scores smears as they arrive in a folder, until it is stopped: watch.sh FOLDER RESULTS
set -eu
here=$(cd "$(dirname "$0")" && pwd)
environment=${VEXAS_EDGE_HOME:-${XDG_DATA_HOME:-$HOME/.local/share}/vexas-edge}/environment
if [ $# -ne 2 ]; then
    echo "usage: watch.sh FOLDER RESULTS" >&2
    exit 2
fi
exec "$environment/bin/vexas-edge" watch "$1" --bundle "$here/bundle.vxb" -o "$2"
