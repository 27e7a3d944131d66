# shellcheck shell=sh
# The entry point sources it: writes the part of the configuration by which this Redis follows the master, or is it.
# A member without data never begins as master while another one may have data: its replicas would lose theirs.
. members
master=$(find_master)
while [ "$master" = "$REDIS_SELF" ] && ! has_data && ! others_are_empty; do
    echo "no data here, and another member may have some: waiting for the Sentinels to name another master" >&2
    sleep 1
    master=$(find_master)
done
# The first member is preferred: it is replaced last in a rolling restart, which so moves the master once.
priority=10
for member in $REDIS_MEMBERS; do
    [ "$member" = "$REDIS_SELF" ] && break
    priority=$((priority + 10))
done
# Sentinels look at the priority before they look at the data: one without any is not chosen until it has some (ping.sh).
echo "$priority" > "$SCRATCH/priority"
if [ "$master" = "$REDIS_SELF" ]; then
    rm -f "$WITHOUT_DATA"
elif ! has_data; then
    touch "$WITHOUT_DATA" || true
    priority=0
fi
{
    echo "replica-announce-ip $REDIS_SELF"
    echo "replica-priority $priority"
    printf 'masterauth %s\n' "$(quoted "$REDIS_PASSWORD")"
    [ "$master" = "$REDIS_SELF" ] || echo "replicaof $master $REDIS_PORT"
} > "$SCRATCH/member.conf"
echo "the master is $master" >&2
