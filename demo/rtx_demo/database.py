"""What the database holds, read inside its own pod: no network policy is opened for it."""

from rtx_traffic.ledger import Ledger
from rtx_traffic.rows import Database

from .engine import Engine

NAME = "trading_engine"

# One statement, so one snapshot. `:'run'` is the run's part of the client order ids.
ROWS = """
WITH run_orders AS (
    SELECT id, client_order_id, account_id, symbol, side, quantity, status, colour
    FROM orders WHERE client_order_id LIKE :'run' || '-%'
), run_fills AS (
    SELECT order_id, quantity, price, epoch, pg_xact_commit_timestamp(xmin) AS committed_at
    FROM fills WHERE order_id IN (SELECT id FROM run_orders)
), run_events AS (
    SELECT account_id, sequence, payload ->> 'client_order_id' AS client_order_id
    FROM account_events WHERE payload ->> 'client_order_id' LIKE :'run' || '-%'
), run_accounts AS (
    SELECT DISTINCT account_id FROM run_orders
), filled AS (
    SELECT account_id, symbol, sum(quantity) AS quantity
    FROM fills WHERE account_id IN (SELECT account_id FROM run_accounts) GROUP BY account_id, symbol
), held AS (
    SELECT account_id, symbol, quantity
    FROM positions WHERE account_id IN (SELECT account_id FROM run_accounts)
), compared AS (
    SELECT account_id, symbol, coalesce(held.quantity, 0) AS quantity, coalesce(filled.quantity, 0) AS fills
    FROM held FULL JOIN filled USING (account_id, symbol)
)
SELECT json_build_object(
    'orders', (SELECT coalesce(json_agg(json_build_object(
        'order_id', id, 'client_order_id', client_order_id, 'account_id', account_id::text, 'symbol', symbol,
        'side', side, 'quantity', quantity::text, 'status', status, 'colour', colour)), '[]') FROM run_orders),
    'fills', (SELECT coalesce(json_agg(json_build_object(
        'order_id', order_id, 'quantity', quantity::text, 'price', price::text, 'epoch', epoch,
        'committed_us', (extract(epoch FROM committed_at) * 1000000)::bigint)), '[]') FROM run_fills),
    'positions', (SELECT coalesce(json_agg(json_build_object(
        'account_id', account_id::text, 'symbol', symbol, 'quantity', quantity::text, 'fills', fills::text)), '[]')
        FROM compared),
    'events', (SELECT coalesce(json_agg(json_build_object(
        'account_id', account_id::text, 'sequence', sequence, 'client_order_id', client_order_id)), '[]')
        FROM run_events),
    'history', (SELECT coalesce(json_agg(json_build_object(
        'epoch', epoch, 'executors', executors, 'cutover', cutover,
        'committed_us', (extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000000)::bigint)), '[]')
        FROM rtx_operator.execution_fence_history));
"""


def rows(engine: Engine, ledger: Ledger) -> Database:
    """The rows of the ledger's run."""
    return Database.parse(psql(engine, ROWS, run=ledger.run.run).encode())


def psql(engine: Engine, sql: str, **variables: str) -> str:
    """Run SQL as the superuser over the pod's own socket; what it prints, unaligned and without headers."""
    settings = [f"--set={name}={value}" for name, value in variables.items()]
    return engine.kubectl.run(
        "exec", "-i", f"{engine.name}-postgres-0", "--namespace", engine.namespace, "--container=postgres", "--",
        "psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1",
        "--host=/run/postgresql", "--username=postgres", f"--dbname={NAME}", *settings, "--file=-",
        stdin=sql, deadline=120,
    )  # fmt: skip
