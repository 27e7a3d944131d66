"""SQL of the order path. WRITE is a transaction by itself, and writes those accounts that are as they were read."""

from rtx_engine.store.lock_budget import SET_LOCAL

# One row per account, with its open positions as arrays, so that both are from the same snapshot.
READ = """
SELECT id, balance, leverage, event_sequence, symbols, quantities, average_prices
FROM accounts CROSS JOIN LATERAL (
    SELECT array_agg(symbol) AS symbols, array_agg(quantity) AS quantities, array_agg(average_price) AS average_prices
    FROM positions WHERE positions.account_id = accounts.id AND quantity <> 0
) AS held
WHERE id = ANY ($1::bigint[])
"""

# Every order transaction locks the fence's row first. Of contested accounts, what else is held is tried again soon.
BEGIN_CONTESTED = f"BEGIN; SELECT rtx_operator.assert_executor(); {SET_LOCAL}"

# The same where reads wait behind it (lock_budget.py).
BEGIN_WITHIN_BUDGET = f"BEGIN; {SET_LOCAL}; SELECT rtx_operator.assert_executor()"

# The accounts that nobody else holds. The other statements of the transaction read the rows under these locks: the
# snapshot of this one is older than they are.
LOCK = "SELECT id FROM accounts WHERE id = ANY ($1::bigint[]) ORDER BY id FOR UPDATE SKIP LOCKED"

# As LOCK, of those accounts of which nobody else holds a position either: WRITE would wait for that one.
LOCK_PORTFOLIOS = f"""
WITH ours AS MATERIALIZED (
    {LOCK}
), positions_of_ours AS MATERIALIZED (
    SELECT account_id, symbol FROM positions WHERE account_id IN (SELECT id FROM ours)
    ORDER BY account_id, symbol FOR UPDATE SKIP LOCKED
)
SELECT id FROM ours WHERE NOT EXISTS (
    SELECT account_id, symbol FROM positions WHERE account_id = ours.id
    EXCEPT SELECT account_id, symbol FROM positions_of_ours
)
"""  # noqa: S608  # made of constants

# Put before a SELECT and into its WHERE, they make its commit wait for the standby that a quorum asks for. What the
# SELECT sees was committed before, though perhaps by somebody whose own wait was cancelled; so the standby has that as
# well, and it outlives a failover. Without a quorum they cost nothing. A standby has what it shows.
CONFIRMED = """
WITH confirmed AS MATERIALIZED (
    SELECT CASE WHEN current_setting('synchronous_standby_names') <> '' AND NOT pg_is_in_recovery()
        THEN pg_logical_emit_message(true, 'rtx', '') END
)"""
IF_CONFIRMED = "EXISTS (SELECT FROM confirmed)"

ORDER_COLUMNS = """id, account_id, client_order_id, symbol, side, quantity, status, reason, price, realised, sequence,
epoch, colour, executed_at, quoted_at"""
# One look-up in the unique index per key. BETWEEN and ORDER BY instead of =: for an equality the planner may choose any
# index that begins with account_id while the table is small.
_FIND = f"""
CROSS JOIN LATERAL (
    SELECT {ORDER_COLUMNS} FROM orders
    WHERE orders.account_id = wanted.account_id
        AND orders.client_order_id BETWEEN wanted.client_order_id AND wanted.client_order_id
    ORDER BY orders.client_order_id LIMIT 1
) AS found
"""  # noqa: S608  # made of constants
PLACED = f"""
SELECT found.* FROM unnest($1::bigint[], $2::text[]) AS wanted (account_id, client_order_id) {_FIND}
"""  # noqa: S608  # as above

CONFIRMED_PLACED = f"{CONFIRMED} {PLACED} WHERE {IF_CONFIRMED}"

# Takes the fence, then the rows of those accounts whose event_sequence is the one that was read; whoever holds one of
# the others is not waited for. Writes the accounts that it has and of which no order was placed before. Every change of
# a portfolio increments event_sequence, and FOR UPDATE compares it again in the newest version of the row, so an
# account that agrees is as it was when it was read.
# An order comes as the JSON that its client and its event get, and what follows from the orders of a batch is not sent:
# which numbers an account had and gets, and by what its balance moves. An array for each column cost the pod a third of
# its work on a batch (ADR 0151). `position`: what the order leaves of its symbol, of the batch's last in it.
# An account whose orders are not all valid any more is not written: the clock is read under its lock, so whoever sees
# the account free later, and no order, knows that there will be none (lookup.py).
# Returns at least one row: in all of them the accounts that were written and those that had not moved, and in each an
# order that was placed before, if there is one. This statement's commit follows that order's in the log, so what it
# returns is as durable as the commit itself.
# A position that was read has a row: updating it locks and logs once, what an upsert does twice. A position is written
# with its order's number: without a higher one a trigger looks whether the account moves in the same transaction.
WRITE = f"""
WITH fence AS MATERIALIZED (
    SELECT rtx_operator.assert_executor() AS epoch
), sent AS MATERIALIZED (
    SELECT account_id, payload::jsonb AS payload, position::jsonb AS position, valid_until
    FROM unnest($1::bigint[], $2::text[], $3::text[], $4::timestamptz[])
        AS row (account_id, payload, position, valid_until)
), planned AS MATERIALIZED (
    SELECT account_id, (payload ->> 'order_id')::uuid AS id, payload ->> 'client_order_id' AS client_order_id,
        payload ->> 'symbol' AS symbol, payload ->> 'side' AS side, (payload ->> 'quantity')::numeric AS quantity,
        payload ->> 'status' AS status, payload ->> 'reason' AS reason, (payload ->> 'price')::numeric AS price,
        (payload ->> 'realised')::numeric AS realised, (payload ->> 'sequence')::bigint AS sequence,
        (payload ->> 'epoch')::bigint AS epoch, payload ->> 'colour' AS colour,
        (payload ->> 'executed_at')::timestamptz AS executed_at, (payload ->> 'quoted_at')::timestamptz AS quoted_at,
        payload, position, valid_until
    FROM sent
), moved AS MATERIALIZED (
    SELECT account_id, min(sequence) - 1 AS sequence, max(sequence) AS event_sequence, sum(realised) AS amount,
        min(valid_until) AS valid_until
    FROM planned GROUP BY account_id
), locked AS MATERIALIZED (
    SELECT accounts.id, moved.valid_until
    FROM moved JOIN accounts ON accounts.id = moved.account_id
    WHERE accounts.event_sequence = moved.sequence AND (SELECT epoch FROM fence) IS NOT NULL
    ORDER BY accounts.id FOR UPDATE OF accounts SKIP LOCKED
), placed AS MATERIALIZED (
    SELECT found.* FROM planned AS wanted {_FIND}
), agreed AS MATERIALIZED (
    SELECT id FROM locked WHERE NOT EXISTS (SELECT FROM placed WHERE placed.account_id = locked.id)
        AND (valid_until IS NULL OR valid_until >= clock_timestamp())
), batch AS MATERIALIZED (
    SELECT * FROM planned WHERE account_id IN (SELECT id FROM agreed)
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
    SELECT account_id, sequence, 'order', payload, executed_at FROM batch
), known_positions AS (
    UPDATE positions SET quantity = (position ->> 'quantity')::numeric,
        average_price = (position ->> 'average_price')::numeric, sequence = batch.sequence
    FROM batch
    WHERE positions.account_id = batch.account_id AND positions.symbol = batch.symbol
        AND (position ->> 'known')::boolean
), other_positions AS (
    INSERT INTO positions (account_id, symbol, quantity, average_price, sequence)
    SELECT account_id, symbol, (position ->> 'quantity')::numeric, (position ->> 'average_price')::numeric, sequence
    FROM batch WHERE NOT (position ->> 'known')::boolean
    ON CONFLICT (account_id, symbol)
    DO UPDATE SET quantity = EXCLUDED.quantity, average_price = EXCLUDED.average_price, sequence = EXCLUDED.sequence
), written AS (
    UPDATE accounts SET balance = accounts.balance + moved.amount, event_sequence = moved.event_sequence
    FROM moved
    WHERE accounts.id = moved.account_id AND moved.account_id IN (SELECT id FROM agreed)
    RETURNING accounts.id
)
SELECT (SELECT array_agg(id) FROM written) AS written, (SELECT array_agg(id) FROM locked) AS unmoved, placed.*
FROM (VALUES (true)) AS answer (always) LEFT JOIN placed ON true
"""  # noqa: S608  # as above

ENTRY_COLUMNS = "account_id, sequence, at, kind, amount, balance, client_order_id, reason"
ENTERED = f"SELECT {ENTRY_COLUMNS} FROM journal WHERE account_id = $1 AND client_order_id = $2"  # noqa: S608  # as above

# For an account that this transaction has locked. Returns its id. The release before this one knows of no journal, and
# its streams must have no gap: so until that release is gone, an entry goes to account_events as well, as the only kind
# that it reads. `type` in the payload says what it is.
ENTER = """
WITH entry AS (
    INSERT INTO journal (account_id, sequence, at, kind, amount, balance, client_order_id, reason, author, epoch,
        colour)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
), copy AS (
    INSERT INTO account_events (account_id, sequence, kind, payload, at)
    VALUES ($1, $2, 'order', $12::text::jsonb, $3)
)
UPDATE accounts SET balance = balance + $13, event_sequence = $2 WHERE id = $1 AND event_sequence = $2 - 1 RETURNING id
"""
