"""Read-only queries."""

import datetime as dt
from collections.abc import Sequence

import asyncpg  # type: ignore[import-untyped]  # ships no types
import msgspec

from rtx_engine.domain.accounts import Account
from rtx_engine.domain.events import AccountEvent, EventKind, entry_event
from rtx_engine.domain.orders import Execution
from rtx_engine.domain.positions import Position
from rtx_engine.store.columns import entry_from, execution_from
from rtx_engine.store.errors import UnavailableError
from rtx_engine.store.read_admission import Owner, Shared
from rtx_engine.store.reads import Reads
from rtx_engine.store.session import UnconfirmedError
from rtx_engine.store.statements import CONFIRMED, IF_CONFIRMED, ORDER_COLUMNS

_NEWEST = 2**63 - 1  # larger than every sequence

_ACCOUNT = f"""
{CONFIRMED} SELECT accounts.id, users.username, currency, balance, leverage, event_sequence FROM accounts
JOIN user_accounts ON user_accounts.account_id = accounts.id JOIN users ON users.id = user_accounts.user_id
WHERE accounts.id = $1 AND {IF_CONFIRMED}
"""  # noqa: S608  # made of constants
_POSITIONS = f"""
{CONFIRMED} SELECT symbol, quantity, average_price FROM positions
WHERE account_id = $1 AND quantity <> 0 AND {IF_CONFIRMED} ORDER BY symbol
"""  # noqa: S608  # as above
_ORDERS = f"""
{CONFIRMED} SELECT {ORDER_COLUMNS} FROM orders
WHERE account_id = $1 AND sequence < $2 AND {IF_CONFIRMED} ORDER BY sequence DESC LIMIT $3
"""  # noqa: S608  # as above
_ORDERS_IN = f"""
{CONFIRMED} SELECT {ORDER_COLUMNS} FROM orders
WHERE account_id = $1 AND symbol = $4 AND sequence < $2 AND {IF_CONFIRMED} ORDER BY sequence DESC LIMIT $3
"""  # noqa: S608  # as above
# BETWEEN for the same reason as in statements.PLACED.
_ORDER = f"""
{CONFIRMED} SELECT {ORDER_COLUMNS} FROM orders
WHERE account_id = $1 AND client_order_id BETWEEN $2 AND $2 AND {IF_CONFIRMED} ORDER BY client_order_id
"""  # noqa: S608  # as above
# Entries are read from the journal. Their copies in account_events are for the release before this one, and tell of
# what has left the journal with its week. A person may have entered one, with anything in it. Each half ends after a
# page, in the order of its index; without that the account's whole history would be sorted. A copy whose entry follows
# the last of `entries` is beyond the page.
_EVENTS = f"""
{CONFIRMED}, entries AS MATERIALIZED (
    SELECT account_id, sequence, at, kind, amount, balance, client_order_id, reason
    FROM journal WHERE account_id = $1 AND sequence > $2 ORDER BY sequence LIMIT $3
)
SELECT * FROM (
    (SELECT account_id, sequence, at,
        CASE
            WHEN payload -> 'order_id' IS NOT NULL AND payload -> 'type' IS NULL THEN '{EventKind.ORDER}'
            WHEN payload ->> 'type' IN ('{EventKind.DEPOSIT}', '{EventKind.WITHDRAWAL}') THEN payload ->> 'type'
            ELSE '{EventKind.ADJUSTMENT}'
        END AS type,
        (CASE jsonb_typeof(payload) WHEN 'object' THEN payload - 'type' ELSE '{{}}' END
            || jsonb_build_object('sequence', sequence))::text AS payload,
        NULL::smallint AS kind, NULL::bigint AS amount, NULL::bigint AS balance, NULL::text AS client_order_id,
        NULL::text AS reason
    FROM (
        SELECT * FROM account_events WHERE account_id = $1 AND sequence > $2 ORDER BY sequence LIMIT $3
    ) AS stored WHERE sequence NOT IN (SELECT sequence FROM entries))
    UNION ALL
    (SELECT account_id, sequence, at, NULL, NULL, kind, amount, balance, client_order_id, reason FROM entries)
) AS events
WHERE {IF_CONFIRMED} ORDER BY sequence LIMIT $3
"""  # noqa: S608  # as above
_SEQUENCES = f"""
{CONFIRMED} SELECT id, event_sequence FROM accounts WHERE id = ANY ($1::bigint[]) AND {IF_CONFIRMED}
"""  # noqa: S608  # as above
# The time before it was seen that no transaction holds the account: one that places an order does until its commit is
# over. An account that does not exist is free.
_FREE_AT = """
SELECT now() WHERE NOT EXISTS (SELECT FROM accounts WHERE id = $1)
    OR EXISTS (SELECT FROM (SELECT FROM accounts WHERE id = $1 FOR SHARE SKIP LOCKED) AS free)
"""


class Reader:
    """Each method is one query of committed data, and raises the errors of Reads.run, but for its own.

    Under quorum commit it answers when a standby has what is told.
    """

    def __init__(self, reads: Reads) -> None:
        self._reads = reads

    async def account(self, account_id: int) -> Account | None:
        rows = await self._fetch(account_id, _ACCOUNT, account_id)
        if not rows:
            return None
        [row] = rows
        return Account(
            row["id"], row["username"], row["currency"], row["balance"], row["leverage"], row["event_sequence"]
        )

    async def positions(self, account_id: int) -> list[Position]:
        """The open positions, sorted by symbol."""
        rows = await self._fetch(account_id, _POSITIONS, account_id)
        return [Position(row["symbol"], row["quantity"], row["average_price"]) for row in rows]

    async def orders(
        self, account_id: int, limit: int, before: int | None = None, symbol: str | None = None
    ) -> list[Execution]:
        """Newest first, at most `limit`, with a sequence below `before`; of one symbol or of all."""
        arguments = (account_id, _NEWEST if before is None else before, limit)
        if symbol is None:
            rows = await self._fetch(account_id, _ORDERS, *arguments)
        else:
            rows = await self._fetch(account_id, _ORDERS_IN, *arguments, symbol)
        return [execution_from(row) for row in rows]

    async def order(self, account_id: int, client_order_id: str) -> Execution | None:
        """The order of this id, if it is committed."""
        rows = await self._fetch(account_id, _ORDER, account_id, client_order_id)
        return execution_from(rows[0]) if rows else None

    async def free_at(self, account_id: int) -> dt.datetime | None:
        """When no transaction was placing an order of this account, by the database's clock; None: one is."""
        found: dt.datetime | None = await self._reads.run(
            lambda connection: connection.fetchval(_FREE_AT, account_id), account_id
        )
        return found

    async def events_since(
        self, account_id: int, sequence: int, limit: int = 1000, owner: Owner = Shared.POD
    ) -> list[AccountEvent]:
        """The first `limit` events after `sequence`, in order and without a gap. `owner`: who asks."""
        rows = await self._fetch(owner, _EVENTS, account_id, sequence, limit)
        return [_event_from(row) for row in rows]

    async def sequences(self, account_ids: Sequence[int]) -> dict[int, int]:
        """The sequence of the newest event of each existing account."""
        rows = await self._fetch(Shared.POD, _SEQUENCES, list(account_ids))
        return {row["id"]: row["event_sequence"] for row in rows}

    async def _fetch(self, owner: Owner, statement: str, *arguments: object) -> list["asyncpg.Record"]:
        standby = self._reads.standby

        async def read(connection: "asyncpg.Connection") -> list["asyncpg.Record"]:
            standby.check()
            return await standby.commit(connection, statement, *arguments)

        try:
            return await self._reads.run(read, owner)
        except UnconfirmedError as error:
            raise UnavailableError("no standby has confirmed what the database shows; try again") from error


def _event_from(row: "asyncpg.Record") -> AccountEvent:
    if row["payload"] is None:
        return entry_event(entry_from(row))
    payload = msgspec.Raw(row["payload"].encode())
    return AccountEvent(row["account_id"], row["sequence"], EventKind(row["type"]), payload, row["at"])
