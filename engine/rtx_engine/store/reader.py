"""Read-only queries, over the pod's second connection."""

from collections.abc import Sequence

import msgspec

from rtx_engine.domain.accounts import Account, Login
from rtx_engine.domain.events import AccountEvent, EventKind
from rtx_engine.domain.orders import Execution
from rtx_engine.domain.positions import Position
from rtx_engine.store.columns import execution_from
from rtx_engine.store.session import Session
from rtx_engine.store.statements import ORDER_COLUMNS

_NEWEST = 2**63 - 1  # larger than every sequence

_ACCOUNT = "SELECT id, username, currency, balance, leverage, event_sequence FROM accounts WHERE id = $1"
_LOGIN = "SELECT id, password_hash FROM accounts WHERE username = $1"
_POSITIONS = """
SELECT symbol, quantity, average_price FROM positions WHERE account_id = $1 AND quantity <> 0 ORDER BY symbol
"""
_ORDERS = f"""
SELECT {ORDER_COLUMNS} FROM orders WHERE account_id = $1 AND sequence < $2 ORDER BY sequence DESC LIMIT $3
"""  # noqa: S608  # made of constants
_ORDERS_IN = f"""
SELECT {ORDER_COLUMNS} FROM orders WHERE account_id = $1 AND symbol = $4 AND sequence < $2
ORDER BY sequence DESC LIMIT $3
"""  # noqa: S608  # as above
# BETWEEN for the same reason as in statements.PLACED.
_ORDER = f"""
SELECT {ORDER_COLUMNS} FROM orders WHERE account_id = $1 AND client_order_id BETWEEN $2 AND $2 ORDER BY client_order_id
"""  # noqa: S608  # as above
_EVENTS = """
SELECT account_id, sequence, kind, payload::text, at FROM account_events
WHERE account_id = $1 AND sequence > $2 ORDER BY sequence LIMIT $3
"""
_SEQUENCES = "SELECT id, event_sequence FROM accounts WHERE id = ANY ($1::bigint[])"


class Reader:
    """Each method is one query of committed data, and raises UnavailableError if the database does not answer."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def account(self, account_id: int) -> Account | None:
        async with self._session.use() as connection:
            row = await connection.fetchrow(_ACCOUNT, account_id)
        if row is None:
            return None
        return Account(
            row["id"], row["username"], row["currency"], row["balance"], row["leverage"], row["event_sequence"]
        )

    async def credentials(self, username: str) -> Login | None:
        async with self._session.use() as connection:
            row = await connection.fetchrow(_LOGIN, username)
        return None if row is None else Login(row["id"], row["password_hash"])

    async def positions(self, account_id: int) -> list[Position]:
        """The open positions, sorted by symbol."""
        async with self._session.use() as connection:
            rows = await connection.fetch(_POSITIONS, account_id)
        return [Position(row["symbol"], row["quantity"], row["average_price"]) for row in rows]

    async def orders(
        self, account_id: int, limit: int, before: int | None = None, symbol: str | None = None
    ) -> list[Execution]:
        """Newest first, at most `limit`, with a sequence below `before`; of one symbol or of all."""
        arguments = (account_id, _NEWEST if before is None else before, limit)
        async with self._session.use() as connection:
            if symbol is None:
                rows = await connection.fetch(_ORDERS, *arguments)
            else:
                rows = await connection.fetch(_ORDERS_IN, *arguments, symbol)
        return [execution_from(row) for row in rows]

    async def order(self, account_id: int, client_order_id: str) -> Execution | None:
        async with self._session.use() as connection:
            row = await connection.fetchrow(_ORDER, account_id, client_order_id)
        return None if row is None else execution_from(row)

    async def events_since(self, account_id: int, sequence: int, limit: int = 1000) -> list[AccountEvent]:
        """The first `limit` events after `sequence`, in order and without a gap."""
        async with self._session.use() as connection:
            rows = await connection.fetch(_EVENTS, account_id, sequence, limit)
        return [
            AccountEvent(
                row["account_id"],
                row["sequence"],
                EventKind(row["kind"]),
                msgspec.Raw(row["payload"].encode()),
                row["at"],
            )
            for row in rows
        ]

    async def sequences(self, account_ids: Sequence[int]) -> dict[int, int]:
        """The sequence of the newest event of each existing account."""
        async with self._session.use() as connection:
            rows = await connection.fetch(_SEQUENCES, list(account_ids))
        return {row["id"]: row["event_sequence"] for row in rows}
