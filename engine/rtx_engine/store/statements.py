"""The order path's SQL, in the order in which a batch runs it."""

# The fence's row is the first lock of every order transaction.
BEGIN = "BEGIN; SELECT rtx_operator.assert_executor()"

# Sorted, so that the batches of several pods never wait for each other in a circle.
LOCK = """
SELECT id, balance, leverage, event_sequence FROM accounts WHERE id = ANY ($1::bigint[]) ORDER BY id FOR UPDATE
"""

# Statements of their own: the snapshot of LOCK may be older than the locks that it waited for.
POSITIONS = """
SELECT account_id, symbol, quantity, average_price FROM positions
WHERE account_id = ANY ($1::bigint[]) AND quantity <> 0
"""
ORDER_COLUMNS = """id, account_id, client_order_id, symbol, side, quantity, status, reason, price, realised, sequence,
epoch, colour, executed_at, quoted_at"""
# LATERAL with LIMIT is one look into the unique index for each key, whatever the planner believes of the table's size.
PLACED = f"""
SELECT placed.*
FROM unnest($1::bigint[], $2::text[]) AS wanted (account_id, client_order_id)
CROSS JOIN LATERAL (
    SELECT {ORDER_COLUMNS} FROM orders
    WHERE orders.account_id = wanted.account_id AND orders.client_order_id = wanted.client_order_id
    LIMIT 1
) AS placed
"""  # noqa: S608  # made of constants

WRITE = """
WITH batch AS MATERIALIZED (
    SELECT id, account_id, client_order_id, symbol, side, quantity, status, reason, price, realised, sequence, epoch,
        colour, executed_at, quoted_at, kind, payload
    FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::numeric[], $7::text[], $8::text[],
        $9::numeric[], $10::numeric[], $11::bigint[], $12::bigint[], $13::text[], $14::timestamptz[],
        $15::timestamptz[], $16::text[], $17::text[])
    AS row (id, account_id, client_order_id, symbol, side, quantity, status, reason, price, realised, sequence, epoch,
        colour, executed_at, quoted_at, kind, payload)
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
    ON CONFLICT (account_id, symbol)
    DO UPDATE SET quantity = EXCLUDED.quantity, average_price = EXCLUDED.average_price
)
UPDATE accounts SET balance = row.balance, event_sequence = row.event_sequence
FROM unnest($22::bigint[], $23::numeric[], $24::bigint[]) AS row (id, balance, event_sequence)
WHERE accounts.id = row.id
"""
