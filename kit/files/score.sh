#!/bin/sh
# Scores the folders or zips of smears, each given as an argument.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
home=${VEXAS_EDGE_HOME:-${XDG_DATA_HOME:-$HOME/.local/share}/vexas-edge}
if [ $# -eq 0 ]; then
    echo "usage: score.sh FOLDER..." >&2
    exit 2
fi
exec "$home/bin/vexas-edge" score "$@" --bundle "$here/bundle.vxb" -o "${1%/}-vexas-edge"
