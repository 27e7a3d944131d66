#!/bin/sh
# Prepares the volume of a member, then execs Patroni, which runs PostgreSQL.
set -eu
data=/pgdata/data
version=17

for name in DB_SUPERUSER_PASSWORD DB_OPERATOR_PASSWORD DB_MIGRATOR_PASSWORD DB_PASSWORD DB_REPLICATION_PASSWORD \
    RESTAPI_PASSWORD; do
    if [ -z "$(printenv "$name")" ]; then
        echo "$name is not set: give the container the engine's credentials" >&2
        exit 64
    fi
done
if [ -e "$data/PG_VERSION" ] && [ "$(cat "$data/PG_VERSION")" != "$version" ]; then
    echo "the volume holds PostgreSQL $(cat "$data/PG_VERSION"), this image is $version: use an image of that version" >&2
    exit 65
fi

# No network connections of clients until this container's passwords are set.
: > /run/postgresql/clients.conf
export API_HOST="$KUBERNETES_SERVICE_HOST" API_PORT="$KUBERNETES_SERVICE_PORT"
member join

# Patroni wants these in variables of its own, which no program that it starts has.
case "$POD_IP" in
*:*) address="[$POD_IP]" ;;
*) address="$POD_IP" ;;
esac
export PATRONI_NAME="$POD_NAME" PATRONI_KUBERNETES_NAMESPACE="$POD_NAMESPACE" PATRONI_KUBERNETES_POD_IP="$POD_IP"
export PATRONI_POSTGRESQL_CONNECT_ADDRESS="$address:5432" PATRONI_RESTAPI_CONNECT_ADDRESS="$address:8008"
export PATRONI_SUPERUSER_USERNAME=postgres PATRONI_SUPERUSER_PASSWORD="$DB_SUPERUSER_PASSWORD"
export PATRONI_REPLICATION_USERNAME=rtx_replicator PATRONI_REPLICATION_PASSWORD="$DB_REPLICATION_PASSWORD"
export PATRONI_REWIND_USERNAME=rtx_replicator PATRONI_REWIND_PASSWORD="$DB_REPLICATION_PASSWORD"
export PATRONI_RESTAPI_USERNAME=patroni PATRONI_RESTAPI_PASSWORD="$RESTAPI_PASSWORD"
exec patroni /config/patroni.yml
