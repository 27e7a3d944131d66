-- rtx: allows table-lock: the statements below take the same; these are had before anything is rewritten
LOCK TABLE accounts, orders, fills, positions, account_events IN SHARE ROW EXCLUSIVE MODE;
CREATE OR REPLACE TRIGGER execution_fence BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON accounts
    FOR EACH STATEMENT EXECUTE FUNCTION rtx_operator.fence_statement();
CREATE OR REPLACE TRIGGER execution_fence BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON orders
    FOR EACH STATEMENT EXECUTE FUNCTION rtx_operator.fence_statement();
CREATE OR REPLACE TRIGGER execution_fence BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON fills
    FOR EACH STATEMENT EXECUTE FUNCTION rtx_operator.fence_statement();
CREATE OR REPLACE TRIGGER execution_fence BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON positions
    FOR EACH STATEMENT EXECUTE FUNCTION rtx_operator.fence_statement();
CREATE OR REPLACE TRIGGER execution_fence BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON account_events
    FOR EACH STATEMENT EXECUTE FUNCTION rtx_operator.fence_statement();
