#!/bin/sh
# set-aside FOLDER: moves an append-only file that Redis cannot load out of its way. Nothing that must last is in it.
# The mark `loading` says that Redis was started on these files and has not answered since: a file is checked, which
# takes as long as loading it, only then. A torn end alone is no damage: Redis cuts it off by itself.
set -eu
cd "$1"
files=appendonlydir
if [ -e loading ] && [ -d "$files" ] && ! redis-check-aof "$files/appendonly.aof.manifest" > /dev/null 2>&1; then
    rm -rf "$files".corrupt-*  # one is kept, the newest: the volume is bounded
    mv "$files" "$files.corrupt-$(date -u +%Y%m%dT%H%M%SZ)"
    echo "the append-only file is damaged: moved to $(echo "$1/$files".corrupt-*), Redis starts empty" >&2
fi
touch loading || echo "cannot write to $1: a damaged append-only file would not be found" >&2
