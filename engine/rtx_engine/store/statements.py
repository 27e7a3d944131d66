"""SQL of the order path. WRITE may be a transaction by itself: it writes only if the portfolios are unchanged."""

# One row per account, with its open positions as arrays, so that both are from the same snapshot.
PORTFOLIOS = """
SELECT id, balance, leverage, event_sequence, symbols, quantities, average_prices
FROM accounts CROSS JOIN LATERAL (
    SELECT array_agg(symbol) AS symbols, array_agg(quantity) AS quantities, array_agg(average_price) AS average_prices
    FROM positions WHERE positions.account_id = accounts.id AND quantity <> 0
) AS held
WHERE id = ANY ($1::bigint[])
"""

# Every order transaction locks the fence's row first.
BEGIN = "BEGIN; SELECT rtx_operator.assert_executor()"

# Sorted by id, so that batches of several pods cannot deadlock. Other statements read the rows under these locks: the
# snapshot of this one may be older than the locks that it waited for.
LOCK = "SELECT id FROM accounts WHERE id = ANY ($1::bigint[]) ORDER BY id FOR UPDATE"

ORDER_COLUMNS = """id, account_id, client_order_id, symbol, side, quantity, status, reason, price, realised, sequence,
epoch, colour, executed_at, quoted_at"""
# One look-up in the unique index per key. BETWEEN and ORDER BY instead of =: for an equality the planner may choose any
# index that begins with account_id while the table is small.
_BY_CLIENT_ORDER_ID = """
    orders.account_id = wanted.account_id
        AND orders.client_order_id BETWEEN wanted.client_order_id AND wanted.client_order_id
    ORDER BY orders.client_order_id LIMIT 1
"""
PLACED = f"""
SELECT placed.*
FROM unnest($1::bigint[], $2::text[]) AS wanted (account_id, client_order_id)
CROSS JOIN LATERAL (
    SELECT {ORDER_COLUMNS} FROM orders WHERE {_BY_CLIENT_ORDER_ID}
) AS placed
"""  # noqa: S608  # made of constants

# Locks the fence and the accounts, then writes. Writes nothing (UPDATE 0) if an account has changed since it was read
# or if a client_order_id exists. Every change of a portfolio increments event_sequence, and FOR UPDATE reads it again
# after a wait, so the check is as strong as a lock held since the read.
WRITE = f"""
WITH fence AS MATERIALIZED (
    SELECT rtx_operator.assert_executor() AS epoch
), locked AS MATERIALIZED (
    SELECT id
    FROM accounts JOIN unnest($22::bigint[], $25::bigint[]) AS read (account_id, sequence) ON id = account_id
    WHERE event_sequence = sequence AND (SELECT epoch FROM fence) IS NOT NULL
    ORDER BY id FOR UPDATE OF accounts
), agreed AS MATERIALIZED (
    SELECT (SELECT count(*) FROM locked) = cardinality($22::bigint[]) AND NOT EXISTS (
        SELECT FROM unnest($2::bigint[], $3::text[]) AS wanted (account_id, client_order_id)
        CROSS JOIN LATERAL (
            SELECT FROM orders WHERE {_BY_CLIENT_ORDER_ID}
        ) AS placed
    ) AS yes
), batch AS MATERIALIZED (
    SELECT id, account_id, client_order_id, symbol, side, quantity, status, reason, price, realised, sequence, epoch,
        colour, executed_at, quoted_at, kind, payload
    FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::numeric[], $7::text[], $8::text[],
        $9::numeric[], $10::numeric[], $11::bigint[], $12::bigint[], $13::text[], $14::timestamptz[],
        $15::timestamptz[], $16::text[], $17::text[])
    AS row (id, account_id, client_order_id, symbol, side, quantity, status, reason, price, realised, sequence, epoch,
        colour, executed_at, quoted_at, kind, payload)
    WHERE (SELECT yes FROM agreed)
), new_orders AS (
    INSERT INTO orders (id, account_id, client_order_id, symbol, side, order_type, quantity, status, reason, price,
        realised, sequence, epoch, colour, executed_at, quoted_at)
    SELECT id, account_id, client_order_id, symbol, side, 'market', quantity, status, reason, price, realised, sequence,
        epoch, colour, executed_at, quoted_at
    FROM batch
), new_fills AS (
    INSERT INTO fills (order_id, number, account_id, symbol, quantity, price, realised, epoch, executed_at)
    SELECT id, 1, account_id, symbol, CASE side WHEN 'buy' THEN quantity ELSE -quantity END, price, realised, epoch,
        executed_at
    FROM batch WHERE status = 'filled'
), new_events AS (
    INSERT INTO account_events (account_id, sequence, kind, payload, at)
    SELECT account_id, sequence, kind, payload::jsonb, executed_at FROM batch
), new_positions AS (
    INSERT INTO positions (account_id, symbol, quantity, average_price)
    SELECT account_id, symbol, quantity, average_price
    FROM unnest($18::bigint[], $19::text[], $20::numeric[], $21::numeric[])
        AS row (account_id, symbol, quantity, average_price)
    WHERE (SELECT yes FROM agreed)
    ON CONFLICT (account_id, symbol)
    DO UPDATE SET quantity = EXCLUDED.quantity, average_price = EXCLUDED.average_price
)
UPDATE accounts SET balance = row.balance, event_sequence = row.event_sequence
FROM unnest($22::bigint[], $23::numeric[], $24::bigint[]) AS row (id, balance, event_sequence)
WHERE accounts.id = row.id AND (SELECT yes FROM agreed)
"""  # noqa: S608  # made of constants
NOTHING_WRITTEN = "UPDATE 0"  # command tag of WRITE in that case
