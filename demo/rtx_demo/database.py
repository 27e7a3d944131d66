"""What the database holds, read inside its own pod: no network policy is opened for it."""

from rtx_traffic.ledger import Ledger
from rtx_traffic.rows import Database

from .engine import Engine

NAME = "trading_engine"

# Statistics may be of when a table had few rows, and are never of `payload`: whatever the planner takes for small, it
# must not look through once for each row of another table. Of a run of minutes that would take minutes.
PLAN = "SET enable_nestloop = off;"

# One statement, so one snapshot. `:'run'` is the run's part of the client order ids, `:'accounts'` the ids of all
# accounts on which it traded or listened, with commas between them. Rows are arrays in the order of rtx_traffic.rows.
# The order of an account's fills comes from its events, which nobody deletes; a fill without an event comes last.
ROWS = """
WITH run_orders AS (
    SELECT * FROM orders WHERE client_order_id LIKE :'run' || '-%'
), run_fills AS (
    SELECT fills.*, pg_xact_commit_timestamp(xmin) AS committed_at
    FROM fills WHERE order_id IN (SELECT id FROM run_orders)
), run_events AS (
    SELECT account_id, sequence, payload, payload ->> 'client_order_id' AS client_order_id
    FROM account_events WHERE payload ->> 'client_order_id' LIKE :'run' || '-%'
), told AS (
    SELECT run_events.account_id, run_events.sequence, client_order_id, coalesce(
        (payload ->> 'order_id')::uuid = id
        AND payload ->> 'status' = status
        AND payload ->> 'symbol' = symbol
        AND payload ->> 'side' = side
        AND (payload ->> 'quantity')::numeric = quantity
        AND (payload ->> 'price')::numeric IS NOT DISTINCT FROM price
        AND (payload ->> 'realised')::numeric = realised
        AND payload ->> 'reason' IS NOT DISTINCT FROM reason
        AND (payload ->> 'executed_at')::timestamptz = executed_at
        AND (payload ->> 'epoch')::bigint = epoch
        AND payload ->> 'colour' = colour
        AND (payload ->> 'sequence')::bigint = run_events.sequence, false) AS as_ordered
    FROM run_events LEFT JOIN run_orders USING (client_order_id)
), run_accounts AS (
    SELECT id, balance, event_sequence
    FROM accounts WHERE id = ANY (string_to_array(:'accounts', ',')::bigint[])
), counted AS (
    SELECT account_id, count(*) AS events, max(sequence) AS newest
    FROM account_events WHERE account_id IN (SELECT id FROM run_accounts) GROUP BY account_id
), held AS (
    SELECT account_id, json_agg(json_build_array(symbol, quantity::text, average_price::text)) AS positions
    FROM positions WHERE account_id IN (SELECT id FROM run_accounts) GROUP BY account_id
), dealt AS (
    SELECT fills.account_id, json_agg(
        json_build_array(symbol, quantity::text, price::text, realised::text) ORDER BY sequence, number) AS deals,
        count(*) FILTER (WHERE sequence IS NULL) AS untold
    FROM fills LEFT JOIN account_events AS event
        ON event.account_id = fills.account_id AND (event.payload ->> 'order_id')::uuid = order_id
    WHERE fills.account_id IN (SELECT id FROM run_accounts) GROUP BY fills.account_id
)
SELECT json_build_object(
    'orders', (SELECT coalesce(json_agg(json_build_array(
        id, client_order_id, account_id::text, symbol, side, quantity::text, status, price::text, realised::text,
        executed_at, epoch, colour, sequence)), '[]') FROM run_orders),
    'fills', (SELECT coalesce(json_agg(json_build_array(
        order_id, account_id::text, symbol, quantity::text, price::text, realised::text, epoch,
        (extract(epoch FROM committed_at) * 1000000)::bigint)), '[]') FROM run_fills),
    'events', (SELECT coalesce(json_agg(json_build_array(
        account_id::text, sequence, client_order_id, as_ordered)), '[]') FROM told),
    'accounts', (SELECT coalesce(json_agg(json_build_array(
        id::text, balance::text, event_sequence, coalesce(events, 0), coalesce(newest, 0), coalesce(untold, 0),
        coalesce(positions, '[]'), coalesce(deals, '[]'))), '[]')
        FROM run_accounts
        LEFT JOIN counted ON counted.account_id = id
        LEFT JOIN held ON held.account_id = id
        LEFT JOIN dealt ON dealt.account_id = id),
    'history', (SELECT coalesce(json_agg(json_build_array(
        epoch, executors, cutover,
        (extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000000)::bigint)), '[]')
        FROM rtx_operator.execution_fence_history));
"""


def rows(engine: Engine, ledger: Ledger) -> Database:
    """The rows of the ledger's run."""
    accounts = ",".join(ledger.account_ids())
    return Database.parse(psql(engine, PLAN + ROWS, run=ledger.run.run, accounts=accounts).encode())


def psql(engine: Engine, sql: str, **variables: str) -> str:
    """Run SQL as the superuser over the pod's own socket; what it prints, unaligned and without headers."""
    settings = [f"--set={name}={value}" for name, value in variables.items()]
    return engine.kubectl.run(
        "exec", "-i", f"{engine.name}-postgres-0", "--namespace", engine.namespace, "--container=postgres", "--",
        "psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1",
        "--host=/run/postgresql", "--username=postgres", f"--dbname={NAME}", *settings, "--file=-",
        stdin=sql, deadline=120,
    )  # fmt: skip
