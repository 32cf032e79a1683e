#!/bin/sh
# Installs vexas-edge for this user only, from this folder, without network or administrator.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
environment=${VEXAS_EDGE_HOME:-${XDG_DATA_HOME:-$HOME/.local/share}/vexas-edge}/environment

versions="3.13 3.12 3.11"

python=
for candidate in $(printf 'python%s ' $versions) python3; do
    if "$candidate" -c 'import sys; sys.exit("%d.%d" % sys.version_info[:2] not in sys.argv)' \
        $versions 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "No Python of these versions was found: $versions. Install one of them first." >&2
    exit 4
fi

"$python" -m venv --clear "$environment"
"$environment/bin/python" -m pip install --quiet --disable-pip-version-check --no-index \
    --find-links "$here/wheels" --require-hashes -r "$here/requirements.txt"
"$environment/bin/vexas-edge" doctor
"$environment/bin/vexas-edge" verify "$here/bundle.vxb"
"$environment/bin/vexas-edge" prepare --bundle "$here/bundle.vxb"
echo "Installed in $environment. Score a smear with: $here/score.sh FOLDER"
