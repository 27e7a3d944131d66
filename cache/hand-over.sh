#!/bin/sh
# Before this Redis ends: if it is the master, a Sentinel elsewhere makes another one so; this one's may be ending too.
. members
is_master() {
    case $(role_of "$REDIS_SELF") in master*) ;; *) return 1 ;; esac
}
asked=
for _ in 1 2 3 4 5 6 7 8 9 10; do
    is_master || exit 0
    # A Sentinel may take ten seconds to see that a replica has become fit.
    for member in $(others); do
        [ -z "$asked" ] || break
        [ "$(ask "$member" "$SENTINEL_PORT" sentinel failover "$GROUP")" != "OK " ] || asked=yes
    done
    sleep 1
done
