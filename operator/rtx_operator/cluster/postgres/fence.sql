-- The execution fence: one row that names the colours that may execute orders, and since which epoch.
-- Run by the role rtx_operator before the first migration (docs/architecture.md: the contract). Idempotent.

CREATE SCHEMA IF NOT EXISTS rtx_operator;

CREATE TABLE IF NOT EXISTS rtx_operator.execution_fence (
    epoch bigint NOT NULL CHECK (epoch >= 0),
    executors text[] NOT NULL,
    cutover text NOT NULL,
    owner text NOT NULL,
    since timestamptz NOT NULL DEFAULT now()
);
-- Never more than one row: two would be two opinions on who executes.
CREATE UNIQUE INDEX IF NOT EXISTS execution_fence_is_one_row ON rtx_operator.execution_fence ((true));

-- Every epoch and whom it named. pg_xact_commit_timestamp(xmin) of a row is when the fence moved; compared with those
-- of fills it tells whether any colour executed out of its turn. The key refuses to use an epoch twice.
CREATE TABLE IF NOT EXISTS rtx_operator.execution_fence_history (
    epoch bigint PRIMARY KEY,
    executors text[] NOT NULL,
    cutover text NOT NULL,
    owner text NOT NULL,
    moved_at timestamptz NOT NULL DEFAULT now()
);

-- A trigger, so that the row is written in the transaction of the move, whoever moves.
CREATE OR REPLACE FUNCTION rtx_operator.remember_fence() RETURNS trigger
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    IF TG_OP = 'INSERT' OR NEW.epoch <> OLD.epoch THEN
        INSERT INTO rtx_operator.execution_fence_history (epoch, executors, cutover, owner)
        VALUES (NEW.epoch, NEW.executors, NEW.cutover, NEW.owner);
    END IF;
    RETURN NULL;
END
$function$;
CREATE OR REPLACE TRIGGER remember AFTER INSERT OR UPDATE ON rtx_operator.execution_fence
    FOR EACH ROW EXECUTE FUNCTION rtx_operator.remember_fence();

-- A fence that is older than its history.
INSERT INTO rtx_operator.execution_fence_history (epoch, executors, cutover, owner, moved_at)
SELECT epoch, executors, cutover, owner, since FROM rtx_operator.execution_fence
ON CONFLICT (epoch) DO NOTHING;

-- The first statement of each order transaction, so that the fence is the first lock it takes. FOR SHARE lets
-- executors run side by side and makes a move of the fence wait until their transactions have ended; whoever waited
-- for a move reads the row as the move left it, not as its own snapshot remembers it.
CREATE OR REPLACE FUNCTION rtx_operator.assert_executor() RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    fence record;
    colour text := current_setting('rtx.colour', true);
    session_epoch text := current_setting('rtx.epoch', true);
BEGIN
    SELECT epoch, executors INTO fence FROM rtx_operator.execution_fence FOR SHARE;
    IF fence.epoch::text = session_epoch AND colour = ANY (fence.executors) THEN
        RETURN fence.epoch;
    END IF;
    RAISE EXCEPTION 'colour % of epoch % may not execute: epoch % names %',
        coalesce(colour, 'none'), coalesce(session_epoch, 'none'), coalesce(fence.epoch::text, 'none'), fence.executors
        USING ERRCODE = 'RX001';
END
$function$;

-- The same as a trigger, on every table that holds money or orders, so that no statement has to remember the fence.
-- rtx_migrator passes: a backfill executes no order, and it runs while the colours do.
CREATE OR REPLACE FUNCTION rtx_operator.fence_statement() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    IF session_user <> 'rtx_migrator' THEN
        PERFORM rtx_operator.assert_executor();
    END IF;
    RETURN NULL;
END
$function$;

REVOKE ALL ON FUNCTION
    rtx_operator.assert_executor(), rtx_operator.fence_statement(), rtx_operator.remember_fence() FROM PUBLIC;
GRANT USAGE ON SCHEMA rtx_operator TO rtx_engine, rtx_migrator;
GRANT SELECT ON rtx_operator.execution_fence TO rtx_engine, rtx_migrator;
GRANT SELECT ON rtx_operator.execution_fence_history TO rtx_engine;
GRANT EXECUTE ON FUNCTION rtx_operator.assert_executor() TO rtx_engine;
GRANT EXECUTE ON FUNCTION rtx_operator.fence_statement() TO rtx_migrator;  -- to name it in CREATE TRIGGER
