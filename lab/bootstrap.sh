#!/bin/sh
# Prints the path of uv. Without uv on this machine, installs it from PyPI into the user's cache.
set -eu
if command -v uv >/dev/null 2>&1; then command -v uv; exit 0; fi
home=${XDG_CACHE_HOME:-$HOME/.cache}/rtx-lab/uv
if [ ! -x "$home/bin/uv" ]; then
    if ! python3 -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
            echo "Python 3.11 or later with venv is missing: install the packages python3 and python3-venv." >&2
            exit 1
        fi
        echo "Installing python3 and python3-venv …" >&2
        { apt-get update -q && apt-get install -y -q --no-install-recommends python3 python3-venv; } >&2
    fi
    echo "Fetching uv from PyPI …" >&2
    rm -rf "$home"
    python3 -m venv "$home" >&2
    "$home/bin/pip" install --quiet --disable-pip-version-check 'uv==0.13.8' >&2
fi
echo "$home/bin/uv"
