# shellcheck shell=sh
# What the members of a cache with Sentinels find out about each other; the entry points source it. REDIS_MEMBERS has
# the host names of all, REDIS_SELF is this one's. Whoever follows whom is decided by the Sentinels alone.
: "${REDIS_PORT:=6379}" "${SENTINEL_PORT:=26379}"
GROUP=engine  # the name under which Sentinels know the master
WITHOUT_DATA=$DATA/without-data  # marks a replica that began empty, until it has what the master has
SENTINEL_CONF=$DATA/sentinel/sentinel.conf

# ask HOST PORT WORD...: the answer, its lines joined by spaces; empty without one
ask() {
    host=$1 port=$2
    shift 2
    REDISCLI_AUTH=$REDIS_PASSWORD timeout 2 redis-cli -h "$host" -p "$port" "$@" 2>/dev/null | tr '\n' ' '
}

role_of() {
    ask "$1" "$REDIS_PORT" role
}

others() {
    for member in $REDIS_MEMBERS; do
        [ "$member" = "$REDIS_SELF" ] || echo "$member"
    done
}

# The master by most of the Sentinels that answer; empty when none does
master_by_sentinels() {
    for member in $REDIS_MEMBERS; do
        found=$(ask "$member" "$SENTINEL_PORT" sentinel get-master-addr-by-name "$GROUP")
        case " $REDIS_MEMBERS " in *" ${found%% *} "*) [ -z "$found" ] || echo "${found%% *}" ;; esac
    done | sort | uniq -c | sort -rn | sed -n '1s/.* //p'
}

# The master as this member's Sentinel knew it last
master_by_own_sentinel() {
    [ ! -e "$SENTINEL_CONF" ] || sed -n "s/^sentinel monitor $GROUP \([^ ]*\) .*/\1/p" "$SENTINEL_CONF"
}

# Another member that serves as master while no Sentinel runs: the one that was alone before it got replicas
master_by_role() {
    for member in $(others); do
        case $(role_of "$member") in master*) echo "$member" && return ;; esac
    done
}

find_master() {
    for way in master_by_sentinels master_by_own_sentinel master_by_role; do
        found=$($way)
        [ -z "$found" ] || break
    done
    echo "${found:-${REDIS_MEMBERS%% *}}"
}

# Redis writes its files at once, also while it is empty.
has_data() {
    [ -s "$DATA/appendonlydir/appendonly.aof.manifest" ] && [ ! -e "$WITHOUT_DATA" ]
}

# Whether every other member says that it has no data. One that does not answer may have some.
others_are_empty() {
    for member in $(others); do
        [ "$(ask "$member" "$REDIS_PORT" dbsize)" = "0 " ] || return 1
    done
}

# A word for a configuration file, whatever bytes it has
quoted() {
    printf '"%s"' "$(printf %s "$1" | od -An -v -tx1 | tr -d '\n' | sed 's/ /\\x/g')"
}
