#!/bin/sh
# Writes the ACL file with the hash of the password, sets damaged data aside, then execs Redis.
# With REDIS_MEMBERS it is one of several, of which Sentinels choose the master.
set -eu
if [ -z "${REDIS_PASSWORD:-}" ]; then
    echo "REDIS_PASSWORD is not set: give the container the engine's credentials" >&2
    exit 64
fi
hash=$(printf %s "$REDIS_PASSWORD" | sha256sum | cut -d' ' -f1)
umask 077
printf 'user default on #%s ~* &* +@all\n' "$hash" > "$SCRATCH/users.acl"
set-aside "$DATA"
rm -f "$SCRATCH/member.conf"
trap 'exit 143' TERM  # as process 1 it would ignore the signal while it waits
if [ -n "${REDIS_MEMBERS:-}" ]; then . member; else rm -f "$DATA/without-data"; fi
exec redis-server "$CONFIG"
