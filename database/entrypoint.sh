#!/bin/sh
# Initialises an empty volume, sets the passwords from the Secret on every start, then execs PostgreSQL.
set -eu
data=/pgdata/data
config=/etc/rtx-postgres
version=17

for name in DB_SUPERUSER_PASSWORD DB_OPERATOR_PASSWORD DB_MIGRATOR_PASSWORD DB_PASSWORD; do
    if [ -z "$(printenv "$name")" ]; then
        echo "$name is not set: give the container the engine's credentials" >&2
        exit 64
    fi
done

if [ ! -e "$data" ]; then
    # The final rename makes this atomic: a killed pod leaves no half-initialised database.
    rm -rf /pgdata/new
    initdb --pgdata=/pgdata/new --username=postgres --encoding=UTF8 --locale=C.UTF-8 --data-checksums \
        --auth-local=trust --auth-host=scram-sha-256 --no-instructions
    mv /pgdata/new "$data"
    sync
elif [ "$(cat "$data/PG_VERSION")" != "$version" ]; then
    echo "the volume holds PostgreSQL $(cat "$data/PG_VERSION"), this image is $version: use an image of that version" >&2
    exit 65
fi

# No network connections until roles and passwords are set. The long timeout allows for crash recovery.
pg_ctl --pgdata="$data" --wait --timeout=86400 --silent start --options="-c listen_addresses= \
    -c config_file=$config/postgresql.conf -c hba_file=$config/pg_hba.conf"
run() {
    PGOPTIONS='-c client_min_messages=warning' \
        psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --host=/run/postgresql --username=postgres "$@"
}
run --dbname=postgres --file="$config/roles.sql"
# One session per statement: if this image lacks the library of the TimescaleDB version on the volume, only the first
# statement of a session can update it.
run --dbname=trading_engine --command='CREATE EXTENSION IF NOT EXISTS timescaledb'
run --dbname=trading_engine --command='ALTER EXTENSION timescaledb UPDATE'
pg_ctl --pgdata="$data" --wait --timeout=86400 --silent --mode=fast stop

unset DB_SUPERUSER_PASSWORD DB_OPERATOR_PASSWORD DB_MIGRATOR_PASSWORD DB_PASSWORD
exec postgres -D "$data" -c config_file="$config/postgresql.conf" -c hba_file="$config/pg_hba.conf"
