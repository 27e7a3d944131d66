#!/bin/sh
# Probe: succeeds if Redis answers and accepts the password. It has loaded its files by then.
[ "$(REDISCLI_AUTH=$REDIS_PASSWORD redis-cli -t 2 ping 2>/dev/null)" = PONG ] || exit 1
rm -f /data/loading 2>/dev/null || true # a volume that cannot be written to is no reason to restart Redis
