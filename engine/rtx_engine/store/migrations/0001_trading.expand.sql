-- What a fill writes: one row each in orders, fills and account_events, and one updated in positions and accounts.
-- No foreign keys among them: the writer holds the account's row lock and writes the five in one statement, so they
-- would only look up again what it has just locked.

CREATE TABLE accounts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    username text NOT NULL UNIQUE CHECK (length(username) BETWEEN 1 AND 64),
    password_hash text NOT NULL,
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    balance numeric NOT NULL,
    leverage integer NOT NULL CHECK (leverage BETWEEN 1 AND 1000),
    event_sequence bigint NOT NULL DEFAULT 0,  -- of the newest account event, counted under this row's lock
    created_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70);  -- room for updates in place: no index is touched by a fill

CREATE TABLE orders (
    id uuid PRIMARY KEY,
    account_id bigint NOT NULL,
    client_order_id text NOT NULL CHECK (length(client_order_id) BETWEEN 1 AND 64),
    symbol text NOT NULL,
    side text NOT NULL CHECK (side IN ('buy', 'sell')),
    order_type text NOT NULL CHECK (order_type IN ('market')),
    quantity numeric NOT NULL CHECK (quantity > 0),
    status text NOT NULL CHECK (status IN ('filled', 'rejected')),
    reason text,
    price numeric,
    realised numeric NOT NULL,  -- profit or loss in the account's currency
    sequence bigint NOT NULL,
    epoch bigint NOT NULL,
    colour text NOT NULL,
    executed_at timestamptz NOT NULL,
    CONSTRAINT orders_client_order_id UNIQUE (account_id, client_order_id),
    CONSTRAINT orders_sequence UNIQUE (account_id, sequence),
    CHECK ((status = 'filled') = (price IS NOT NULL)),
    CHECK ((status = 'rejected') = (reason IS NOT NULL))
);

CREATE TABLE fills (
    order_id uuid NOT NULL,
    number smallint NOT NULL,  -- from 1 within an order
    account_id bigint NOT NULL,
    symbol text NOT NULL,
    quantity numeric NOT NULL,  -- lots, negative when sold
    price numeric NOT NULL,
    realised numeric NOT NULL,  -- profit or loss in the account's currency, as added to its balance
    epoch bigint NOT NULL,
    executed_at timestamptz NOT NULL,
    PRIMARY KEY (order_id, number)
);

CREATE TABLE positions (
    account_id bigint NOT NULL,
    symbol text NOT NULL,
    quantity numeric NOT NULL,  -- lots, negative when short
    average_price numeric NOT NULL,  -- that its open lots were dealt at, 0 when flat
    PRIMARY KEY (account_id, symbol)
) WITH (fillfactor = 70);

CREATE TABLE account_events (
    account_id bigint NOT NULL,
    sequence bigint NOT NULL,  -- from 1, without a gap
    kind text NOT NULL,
    payload jsonb NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (account_id, sequence)
);
-- Nobody searches by it, and to sort thousands of documents for statistics takes CPU that orders wait for.
ALTER TABLE account_events ALTER COLUMN payload SET STATISTICS 0;

CREATE TRIGGER execution_fence BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON accounts
    FOR EACH STATEMENT EXECUTE FUNCTION rtx_operator.fence_statement();
CREATE TRIGGER execution_fence BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON orders
    FOR EACH STATEMENT EXECUTE FUNCTION rtx_operator.fence_statement();
CREATE TRIGGER execution_fence BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON fills
    FOR EACH STATEMENT EXECUTE FUNCTION rtx_operator.fence_statement();
CREATE TRIGGER execution_fence BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON positions
    FOR EACH STATEMENT EXECUTE FUNCTION rtx_operator.fence_statement();
CREATE TRIGGER execution_fence BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON account_events
    FOR EACH STATEMENT EXECUTE FUNCTION rtx_operator.fence_statement();

-- No DELETE anywhere: orders, fills and events are history.
GRANT SELECT, INSERT, UPDATE ON accounts, positions TO rtx_engine;
GRANT SELECT, INSERT ON orders, fills, account_events TO rtx_engine;
