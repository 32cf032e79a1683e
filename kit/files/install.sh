#!/bin/sh
# Installs vexas-edge for this user alone, from this folder: no network, no administrator.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
home=${VEXAS_EDGE_HOME:-${XDG_DATA_HOME:-$HOME/.local/share}/vexas-edge}

python=
for candidate in python3.13 python3.12 python3.11 python3; do
    if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "No Python 3.11, 3.12 or 3.13 was found; install one of them first." >&2
    exit 4
fi

"$python" -m venv --clear "$home"
"$home/bin/python" -m pip install --quiet --disable-pip-version-check --no-index \
    --find-links "$here/wheels" --require-hashes -r "$here/requirements.txt"
"$home/bin/vexas-edge" doctor
"$home/bin/vexas-edge" verify "$here/bundle.vxb"
"$home/bin/vexas-edge" prepare --bundle "$here/bundle.vxb"
echo "Installed in $home. Score a smear with: $here/score.sh FOLDER"
