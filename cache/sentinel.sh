#!/bin/sh
# Entry point of a Sentinel. Its file keeps what Sentinels agreed on; all else is written anew, with today's password.
set -eu
umask 077
. members
state=$(grep -E '^sentinel (myid|monitor|config-epoch|leader-epoch|current-epoch|known-sentinel) ' \
    "$SENTINEL_CONF" 2>/dev/null || echo "sentinel monitor $GROUP $(find_master) $REDIS_PORT 2")
master=$(echo "$state" | sed -n "s/^sentinel monitor $GROUP \([^ ]*\) .*/\1/p")
# A Sentinel learns of replicas from the master. One that never saw it is elected, too, and would find nobody to promote.
replicas=$(for member in $REDIS_MEMBERS; do
    [ "$member" = "$master" ] || echo "sentinel known-replica $GROUP $member $REDIS_PORT"
done)
password=$(quoted "$REDIS_PASSWORD")
mkdir -p "$DATA/sentinel"
cat > "$SENTINEL_CONF.new" <<END
port $SENTINEL_PORT
bind $SENTINEL_BIND
dir /tmp
requirepass $password
sentinel resolve-hostnames yes
sentinel announce-hostnames yes
sentinel announce-ip $REDIS_SELF
$state
$replicas
sentinel auth-pass $GROUP $password
sentinel down-after-milliseconds $GROUP 5000
sentinel failover-timeout $GROUP 10000
sentinel parallel-syncs $GROUP 1
END
mv "$SENTINEL_CONF.new" "$SENTINEL_CONF"
exec redis-server "$SENTINEL_CONF" --sentinel
