#!/bin/sh
# Probe: succeeds if Redis answers and accepts the password; with `synced`, if it also has what the master has.
export REDISCLI_AUTH="$REDIS_PASSWORD"
[ "$(redis-cli -t 2 ping 2>/dev/null)" = PONG ] || exit 1
# The mark of set-aside: Redis has loaded its files. A volume that cannot be written to is no reason to restart it.
rm -f "$DATA/loading" 2>/dev/null || true
[ "${1:-}" = synced ] || exit 0
case $(redis-cli -t 2 role 2>/dev/null | tr '\n' ' ') in master* | *" connected "*) ;; *) exit 1 ;; esac
