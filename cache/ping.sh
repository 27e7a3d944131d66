#!/bin/sh
# Probe: succeeds if Redis answers and accepts the password; with `synced`, if it also has what the master has.
export REDISCLI_AUTH="$REDIS_PASSWORD"
[ "$(timeout 2 redis-cli ping 2>/dev/null)" = PONG ] || exit 1
# The mark of set-aside: Redis has loaded its files. A volume that cannot be written to is no reason to restart it.
rm -f "$DATA/loading" 2>/dev/null || true
[ "${1:-}" = synced ] || exit 0
role=$(timeout 2 redis-cli role 2>/dev/null | tr '\n' ' ')
case $role in
    master* | *" connected "*) ;;
    slave*)
        # While a new password goes round, none would ever follow a master with the old one: the next may be replaced.
        [ ! -e "$DATA/without-data" ] || exit 1
        read -r _ host port _ <<END
$role
END
        case $(timeout 2 redis-cli -h "$host" -p "$port" ping 2>&1) in *WRONGPASS*) exit 0 ;; *) exit 1 ;; esac
        ;;
    *) exit 1 ;;
esac
# From now on it may become the master.
[ ! -e "$DATA/without-data" ] || {
    timeout 2 redis-cli config set replica-priority "$(cat "$SCRATCH/priority")" > /dev/null && rm -f "$DATA/without-data"
}
