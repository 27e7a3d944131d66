-- The execution fence: one row names the colours that may execute orders, and the epoch since which they may.
-- The role rtx_operator runs this before the first migration (docs/architecture.md: the contract), and again where an
-- earlier version of it was run (schema.py). So it is idempotent, and waits for no order. It makes tables where there are
-- none; a change of tables that exist is a step of its own (steps/), which is run once. With each change of either,
-- raise the version in rtx_operator/observation.py.

CREATE SCHEMA IF NOT EXISTS rtx_operator;

CREATE TABLE IF NOT EXISTS rtx_operator.execution_fence (
    -- A primary key, because PostgreSQL refuses to update a table without one once it is published (logical replication).
    epoch bigint PRIMARY KEY CHECK (epoch >= 0),
    executors text[] NOT NULL,
    -- The revisions that may execute in these colours; NULL: any. A pod of an earlier revision that hangs on a lost node
    -- does not execute when its colour is named again (ADR 0030).
    revisions text[] CHECK (array_position(revisions, NULL) IS NULL),
    cutover text NOT NULL,
    owner text NOT NULL,
    since timestamptz NOT NULL DEFAULT now()
);
-- At most one row: two rows could name two executors.
CREATE UNIQUE INDEX IF NOT EXISTS execution_fence_is_one_row ON rtx_operator.execution_fence ((true));

-- Every epoch and its executors. pg_xact_commit_timestamp(xmin) of a row is the time of the move; compared with the
-- commit times of fills it shows whether a colour executed while the fence did not name it. The primary key prevents
-- that an epoch is used twice.
CREATE TABLE IF NOT EXISTS rtx_operator.execution_fence_history (
    epoch bigint PRIMARY KEY,
    executors text[] NOT NULL,
    revisions text[],
    cutover text NOT NULL,
    owner text NOT NULL,
    moved_at timestamptz NOT NULL DEFAULT now()
);

-- The versions of this file that were run here. `needs` is the earliest version whose operators may use what a version
-- leaves: an older operator does not touch the database then.
CREATE TABLE IF NOT EXISTS rtx_operator.fence_schema (
    version integer PRIMARY KEY,
    needs integer NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- A trigger writes the history in the transaction of the move, also of a move by hand.
CREATE OR REPLACE FUNCTION rtx_operator.remember_fence() RETURNS trigger
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    IF TG_OP = 'INSERT' OR NEW.epoch <> OLD.epoch THEN
        INSERT INTO rtx_operator.execution_fence_history (epoch, executors, revisions, cutover, owner)
        VALUES (NEW.epoch, NEW.executors, NEW.revisions, NEW.cutover, NEW.owner);
    END IF;
    RETURN NULL;
END
$function$;
CREATE OR REPLACE TRIGGER remember AFTER INSERT OR UPDATE ON rtx_operator.execution_fence
    FOR EACH ROW EXECUTE FUNCTION rtx_operator.remember_fence();

-- Who moves the fence without knowing of revisions means any: those of the last move would let nobody execute.
CREATE OR REPLACE FUNCTION rtx_operator.forget_revisions() RETURNS trigger
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    IF NEW.executors <> OLD.executors AND NEW.revisions = OLD.revisions THEN
        NEW.revisions := NULL;
    END IF;
    RETURN NEW;
END
$function$;
CREATE OR REPLACE TRIGGER forget_revisions BEFORE UPDATE ON rtx_operator.execution_fence
    FOR EACH ROW EXECUTE FUNCTION rtx_operator.forget_revisions();

-- The first statement of each order transaction, so that the fence is the first lock it takes. FOR SHARE lets order
-- transactions run side by side, and a move of the fence waits until they have ended. A transaction that waited for a
-- move reads the row that the move wrote, not its own older snapshot. While it holds the row no move can happen, so it
-- notes that, and the engine's triggers do not ask again (ADR 0069). The note ends with the transaction.
CREATE OR REPLACE FUNCTION rtx_operator.assert_executor() RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    fence record;
    colour text := current_setting('rtx.colour', true);
    revision text := current_setting('rtx.revision', true);
    session_epoch text := current_setting('rtx.epoch', true);
    engine text := coalesce(current_setting('rtx.owner', true), '');  -- namespace/name; earlier releases send none
BEGIN
    SELECT epoch, executors, revisions, owner INTO fence FROM rtx_operator.execution_fence FOR SHARE;
    IF fence.epoch::text = session_epoch AND colour = ANY (fence.executors)
        AND (fence.revisions IS NULL OR revision = ANY (fence.revisions))
        AND (engine = '' OR starts_with(fence.owner, engine || '/'))
    THEN
        PERFORM set_config('rtx.fence_held', pg_current_xact_id()::text, true);
        RETURN fence.epoch;
    END IF;
    RAISE EXCEPTION 'colour % (revision %) of epoch % may not execute: epoch % of % names % (revisions %)',
        coalesce(colour, 'none'), coalesce(revision, 'none'), coalesce(session_epoch, 'none'),
        coalesce(fence.epoch::text, 'none'), coalesce(fence.owner, 'nobody'), fence.executors,
        coalesce(fence.revisions::text, 'any')
        USING ERRCODE = 'RX001';
END
$function$;

-- The same check as a trigger on every table that holds money or orders, for statements that do not call
-- assert_executor() themselves. rtx_migrator passes: a backfill executes no order, and it runs while colours execute.
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
    rtx_operator.assert_executor(), rtx_operator.fence_statement(), rtx_operator.remember_fence(), rtx_operator.forget_revisions()
    FROM PUBLIC;
GRANT USAGE ON SCHEMA rtx_operator TO rtx_engine, rtx_migrator;
GRANT SELECT ON rtx_operator.execution_fence TO rtx_engine, rtx_migrator;
GRANT SELECT ON rtx_operator.execution_fence_history TO rtx_engine;
GRANT EXECUTE ON FUNCTION rtx_operator.assert_executor() TO rtx_engine;
GRANT EXECUTE ON FUNCTION rtx_operator.fence_statement() TO rtx_migrator;  -- needed for CREATE TRIGGER
