-- Before version 2, and in databases that were brought up to it, the fence had no primary key: PostgreSQL refuses to
-- update such a table once it is published (logical replication). The fence has one row: it is locked for a moment.
DO $step$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_index WHERE indrelid = 'rtx_operator.execution_fence'::regclass AND indisprimary
    ) THEN
        ALTER TABLE rtx_operator.execution_fence ADD PRIMARY KEY (epoch);
    END IF;
END
$step$;
