-- The fence is asked once a transaction: assert_executor() may note, in rtx.fence_held, the transaction that holds its
-- row, and the triggers then compare two strings instead of calling a function. A setting made in a transaction ends with
-- it, and a savepoint that is rolled back takes lock and note back. Both coalesce matter: NULL would not differ from NULL.
-- Where assert_executor() notes nothing, every trigger asks as before.
CREATE OR REPLACE TRIGGER execution_fence BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON accounts
    FOR EACH STATEMENT WHEN (coalesce(current_setting('rtx.fence_held', true), '')
        <> coalesce(pg_current_xact_id_if_assigned()::text, 'none'))
    EXECUTE FUNCTION rtx_operator.fence_statement();
CREATE OR REPLACE TRIGGER execution_fence BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON orders
    FOR EACH STATEMENT WHEN (coalesce(current_setting('rtx.fence_held', true), '')
        <> coalesce(pg_current_xact_id_if_assigned()::text, 'none'))
    EXECUTE FUNCTION rtx_operator.fence_statement();
CREATE OR REPLACE TRIGGER execution_fence BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON fills
    FOR EACH STATEMENT WHEN (coalesce(current_setting('rtx.fence_held', true), '')
        <> coalesce(pg_current_xact_id_if_assigned()::text, 'none'))
    EXECUTE FUNCTION rtx_operator.fence_statement();
CREATE OR REPLACE TRIGGER execution_fence BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON positions
    FOR EACH STATEMENT WHEN (coalesce(current_setting('rtx.fence_held', true), '')
        <> coalesce(pg_current_xact_id_if_assigned()::text, 'none'))
    EXECUTE FUNCTION rtx_operator.fence_statement();
CREATE OR REPLACE TRIGGER execution_fence BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON account_events
    FOR EACH STATEMENT WHEN (coalesce(current_setting('rtx.fence_held', true), '')
        <> coalesce(pg_current_xact_id_if_assigned()::text, 'none'))
    EXECUTE FUNCTION rtx_operator.fence_statement();
