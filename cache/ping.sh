#!/bin/sh
# Probe: succeeds if Redis answers and accepts the password. It has loaded its files by then.
[ "$(REDISCLI_AUTH=$REDIS_PASSWORD redis-cli -t 2 ping 2>/dev/null)" = PONG ] && rm -f /data/loading
