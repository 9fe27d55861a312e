#!/usr/bin/env bash
# Create .venv with exactly the packages of constraints.txt. Called by make; a message instead of a traceback.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
    printf 'setup: %s\nhint: %s\n' "$1" "$2" >&2
    exit 2
}

python=${PYTHON:-python3}
command -v "$python" >/dev/null || fail "$python not found" "install Python 3.11 or newer, or: make PYTHON=/path/to/python3.11"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$python" --version 2>&1) is too old" "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"
"$python" -c 'import venv, ensurepip' 2>/dev/null ||
    fail "$python cannot create virtual environments" "install its venv package (Debian: apt-get install python3-venv)"

[ -x .venv/bin/python ] || "$python" -m venv .venv
echo "setup: installing the packages of constraints.txt into .venv (once; 1 GB with a CPU build of torch, several GB with CUDA) ..."
.venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]' ||
    fail "a package could not be installed (the message above names it)" \
        "check the network, proxy and disk space, then run make again; it continues where it stopped"
echo "setup: done"
