#!/bin/sh
# Before this Redis ends: if it is the master, a Sentinel elsewhere makes another one so; this one's may be ending too.
. members
is_replaced() {
    case $(role_of "$REDIS_SELF") in master*) [ -n "$(master_by_role)" ] ;; esac  # Sentinels demote it 8 s later
}
asked=
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
    ! is_replaced || exit 0
    # A Sentinel may take ten seconds to see that a replica has become fit.
    for member in $(others); do
        [ -z "$asked" ] || break
        [ "$(ask "$member" "$SENTINEL_PORT" sentinel failover "$GROUP")" != "OK " ] || asked=yes
    done
    sleep 1
done
