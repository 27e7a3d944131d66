#!/bin/sh
# Succeeds when Redis answers with the password it should have.
[ "$(REDISCLI_AUTH=$REDIS_PASSWORD redis-cli -t 2 ping 2>/dev/null)" = PONG ]
