"""Queries the database with psql inside the primary's own pod, so that no network policy has to be opened."""

from rtx_traffic.ledger import Ledger
from rtx_traffic.rows import Database

from . import members
from .engine import Engine

NAME = "trading_engine"

# Table statistics may be stale, and `payload` has none. A nested loop chosen from them takes minutes for a short run.
PLAN = "SET enable_nestloop = off;"

# One statement, so one snapshot. `:'run'` is the prefix of the run's client order ids, `:'accounts'` the ids of all
# accounts on which it traded or listened, comma-separated. Rows are arrays in the field order of rtx_traffic.rows.
# An account's fills are ordered by its events, which are never deleted; fills without an event come last.
# The ledger is summed over all accounts of the database, not only over those of the run.
_ROWS = """
WITH money AS (
    {ledger}
), run_orders AS (
    SELECT * FROM orders WHERE client_order_id LIKE :'run' || '-%'
), run_fills AS (
    SELECT fills.*, pg_xact_commit_timestamp(xmin) AS committed_at
    FROM fills WHERE order_id IN (SELECT id FROM run_orders)
), run_events AS (
    SELECT account_id, sequence, payload, payload ->> 'client_order_id' AS client_order_id
    FROM account_events WHERE payload ->> 'client_order_id' LIKE :'run' || '-%'
), compared_events AS (
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
        AND (payload ->> 'sequence')::bigint = run_events.sequence, false) AS matches_order
    FROM run_events LEFT JOIN run_orders USING (client_order_id)
), run_accounts AS (
    SELECT id, balance, event_sequence
    FROM accounts WHERE id = ANY (string_to_array(:'accounts', ',')::bigint[])
), account_events_count AS (
    SELECT account_id, count(*) AS events, max(sequence) AS newest
    FROM account_events WHERE account_id IN (SELECT id FROM run_accounts) GROUP BY account_id
), account_positions AS (
    SELECT account_id, json_agg(json_build_array(symbol, quantity::text, average_price::text)) AS positions
    FROM positions WHERE account_id IN (SELECT id FROM run_accounts) GROUP BY account_id
), account_fills AS (
    SELECT fills.account_id, json_agg(
        json_build_array(symbol, quantity::text, price::text, realised::text) ORDER BY sequence, number) AS fills,
        count(*) FILTER (WHERE sequence IS NULL) AS fills_without_event
    FROM fills LEFT JOIN account_events AS event
        ON event.account_id = fills.account_id AND (event.payload ->> 'order_id')::uuid = order_id
    WHERE fills.account_id IN (SELECT id FROM run_accounts) GROUP BY fills.account_id
), account_entries AS (
    SELECT account_id, json_agg(json_build_array(sequence, kind, amount) ORDER BY sequence) AS entries
    FROM money WHERE kind <> 'fill' AND account_id IN (SELECT id FROM run_accounts) GROUP BY account_id
), moved AS (
    SELECT account_id, sum(amount) AS amount FROM money GROUP BY account_id
)
SELECT json_build_object(
    'orders', (SELECT coalesce(json_agg(json_build_array(
        id, client_order_id, account_id::text, symbol, side, quantity::text, status, price::text, realised::text,
        executed_at, epoch, colour, sequence)), '[]') FROM run_orders),
    'fills', (SELECT coalesce(json_agg(json_build_array(
        order_id, account_id::text, symbol, quantity::text, price::text, realised::text, epoch,
        (extract(epoch FROM committed_at) * 1000000)::bigint)), '[]') FROM run_fills),
    'events', (SELECT coalesce(json_agg(json_build_array(
        account_id::text, sequence, client_order_id, matches_order)), '[]') FROM compared_events),
    'accounts', (SELECT coalesce(json_agg(json_build_array(
        id::text, balance::text, event_sequence, coalesce(events, 0), coalesce(newest, 0),
        coalesce(fills_without_event, 0), coalesce(positions, '[]'), coalesce(fills, '[]'),
        coalesce(entries, '[]'))), '[]')
        FROM run_accounts
        LEFT JOIN account_events_count ON account_events_count.account_id = id
        LEFT JOIN account_positions ON account_positions.account_id = id
        LEFT JOIN account_fills ON account_fills.account_id = id
        LEFT JOIN account_entries ON account_entries.account_id = id),
    'unbalanced', (SELECT coalesce(json_agg(json_build_array(
        id::text, balance::text, coalesce(amount, 0))), '[]')
        FROM accounts LEFT JOIN moved ON moved.account_id = id
        WHERE {has_ledger} AND 100 * balance <> coalesce(amount, 0)),
    'history', (SELECT coalesce(json_agg(json_build_array(
        epoch, executors, cutover,
        (extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000000)::bigint)), '[]')
        FROM rtx_operator.execution_fence_history));
"""
_HAS_LEDGER = "SELECT to_regclass('public.ledger') IS NOT NULL"
_LEDGER = "SELECT account_id, sequence, kind, amount FROM ledger"
# Of a database that no release with a ledger has migrated yet: the same columns, and no rows.
_NO_LEDGER = (
    "SELECT NULL::bigint AS account_id, NULL::bigint AS sequence, '' AS kind, NULL::bigint AS amount WHERE false"
)


def rows_query(*, has_ledger: bool) -> str:
    """The query for a database with or without the view `ledger`."""
    return _ROWS.format(ledger=_LEDGER if has_ledger else _NO_LEDGER, has_ledger=str(has_ledger).lower())


def rows(engine: Engine, ledger: Ledger) -> Database:
    """The database's rows of the ledger's run. Raises KubectlError and msgspec.DecodeError."""
    accounts = ",".join(ledger.account_ids())
    query = rows_query(has_ledger=psql(engine, _HAS_LEDGER).strip() == "t")
    return Database.parse(psql(engine, PLAN + query, run=ledger.run.run, accounts=accounts).encode())


def psql(engine: Engine, sql: str, **variables: str) -> str:
    """Run SQL on the primary as the superuser over the pod's socket; returns unaligned output without headers.

    Raises KubectlError, and DemoError where there is not one primary.
    """
    return psql_on(engine, members.primary(engine).name, sql, **variables)


def psql_on(engine: Engine, pod: str, sql: str, **variables: str) -> str:
    """The same on the server in that pod, primary or standby. Raises KubectlError."""
    settings = [f"--set={name}={value}" for name, value in variables.items()]
    return engine.kubectl.run(
        "exec", "-i", pod, "--namespace", engine.namespace, "--container=postgres", "--",
        "psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1",
        "--host=/run/postgresql", "--username=postgres", f"--dbname={NAME}", *settings, "--file=-",
        stdin=sql, deadline=120,
    )  # fmt: skip
