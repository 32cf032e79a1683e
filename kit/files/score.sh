#!/bin/sh
# Scores the folders or zips of smears that are named as arguments.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
environment=${VEXAS_EDGE_HOME:-${XDG_DATA_HOME:-$HOME/.local/share}/vexas-edge}/environment
if [ $# -eq 0 ]; then
    echo "usage: score.sh FOLDER..." >&2
    exit 2
fi
exec "$environment/bin/vexas-edge" score "$@" --bundle "$here/bundle.vxb" -o "${1%/}-vexas-edge"
