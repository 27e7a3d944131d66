-- The roles and the database of an engine (docs/architecture.md), for psql. Idempotent: it runs whenever a server becomes the primary.
-- Passwords come from the environment. The migrations grant the rights on the engine's tables.

-- The statements below contain passwords: do not log them, whatever the server's settings.
SET log_statement = 'none';
SET log_min_error_statement = 'panic';
SET log_min_duration_statement = -1;

\getenv superuser_password DB_SUPERUSER_PASSWORD
\getenv operator_password DB_OPERATOR_PASSWORD
\getenv migrator_password DB_MIGRATOR_PASSWORD
\getenv engine_password DB_PASSWORD
\getenv replication_password DB_REPLICATION_PASSWORD

SELECT format('CREATE ROLE %I LOGIN', name)
FROM unnest(ARRAY['rtx_operator', 'rtx_migrator', 'rtx_engine', 'rtx_replicator']) AS wanted (name)
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec

ALTER ROLE postgres PASSWORD :'superuser_password';
ALTER ROLE rtx_operator PASSWORD :'operator_password';
ALTER ROLE rtx_migrator PASSWORD :'migrator_password';
ALTER ROLE rtx_engine PASSWORD :'engine_password';
ALTER ROLE rtx_replicator REPLICATION PASSWORD :'replication_password';

-- The operator finds and terminates sessions that hold the fence; their application_name is the colour.
GRANT pg_read_all_stats, pg_signal_backend TO rtx_operator;

-- A standby whose log has left that of the primary reads the differing files from it: pg_rewind.
GRANT EXECUTE ON FUNCTION pg_catalog.pg_ls_dir(text, boolean, boolean), pg_catalog.pg_stat_file(text, boolean),
    pg_catalog.pg_read_binary_file(text), pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean)
    TO rtx_replicator;

-- Reserve connections for the operator and a migration.
ALTER ROLE rtx_engine CONNECTION LIMIT 130;

-- A frozen engine pod must not hold the fence: PostgreSQL ends its transaction within 2 s.
ALTER ROLE rtx_engine SET idle_in_transaction_session_timeout = '1s';
ALTER ROLE rtx_engine SET statement_timeout = '2s';
ALTER ROLE rtx_engine SET client_connection_check_interval = '1s';
ALTER ROLE rtx_engine SET tcp_keepalives_idle = '2';
ALTER ROLE rtx_engine SET tcp_keepalives_interval = '1';
ALTER ROLE rtx_engine SET tcp_keepalives_count = '3';

SELECT 'CREATE DATABASE trading_engine OWNER rtx_migrator'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'trading_engine') \gexec

\connect trading_engine
REVOKE ALL ON DATABASE trading_engine FROM PUBLIC;
GRANT CONNECT, CREATE ON DATABASE trading_engine TO rtx_operator;  -- CREATE: the schema of the fence
GRANT CONNECT ON DATABASE trading_engine TO rtx_engine;
ALTER SCHEMA public OWNER TO rtx_migrator;
GRANT USAGE ON SCHEMA public TO rtx_engine;
-- Before a restore the operator has the log sent up to now. A right on a function is one in its database.
GRANT EXECUTE ON FUNCTION pg_catalog.pg_switch_wal() TO rtx_operator;
