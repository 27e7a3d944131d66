"""What the database holds about a run, as the verdict needs it. Quantities and prices are exact decimals. Pure.

Rows travel as JSON arrays in the order of their fields: a run has hundreds of thousands of them.
"""

import datetime as dt
from decimal import Decimal
from typing import Self

import msgspec


class OrderRow(msgspec.Struct, frozen=True, array_like=True):
    """An order of the run. `price` is None when it was rejected."""

    order_id: str
    client_order_id: str
    account_id: str
    symbol: str
    side: str
    quantity: Decimal
    status: str
    price: Decimal | None
    realised: Decimal
    executed_at: dt.datetime
    epoch: int
    colour: str
    sequence: int


class FillRow(msgspec.Struct, frozen=True, array_like=True):
    """A fill of one of the run's orders; bought is positive."""

    order_id: str
    account_id: str
    symbol: str
    quantity: Decimal
    price: Decimal
    realised: Decimal
    epoch: int
    committed_us: int | None  # when it was committed, in Unix microseconds; None when PostgreSQL no longer knows


class EventRow(msgspec.Struct, frozen=True, array_like=True):
    """The account event of one of the run's orders."""

    account_id: str
    sequence: int
    client_order_id: str
    matches_order: bool  # whether it tells the values that the order's row has


class AccountFillRow(msgspec.Struct, frozen=True, array_like=True):
    """A fill of an account, by this run or an earlier one; bought is positive."""

    symbol: str
    quantity: Decimal
    price: Decimal
    realised: Decimal  # as the fill has it


class PositionRow(msgspec.Struct, frozen=True, array_like=True):
    """A position; long is positive, `average_price` is 0 when it is flat."""

    symbol: str
    quantity: Decimal
    average_price: Decimal


class AccountRow(msgspec.Struct, frozen=True, array_like=True):
    """An account of the run with all that it ever dealt, in the order of its events."""

    account_id: str
    balance: Decimal
    sequence: int  # of its newest event, as the account's row counts them
    events: int  # how many there are
    newest: int  # the sequence of the newest of them, 0 when there are none
    fills_without_event: int  # how many of the fills belong to an order of which there is no event
    positions: tuple[PositionRow, ...]
    fills: tuple[AccountFillRow, ...]


class HistoryRow(msgspec.Struct, frozen=True, array_like=True):
    """An epoch that the fence had: who might execute, and since when (as for a fill)."""

    epoch: int
    executors: tuple[str, ...]
    cutover: str
    committed_us: int | None


class Database(msgspec.Struct, frozen=True):
    """One snapshot, taken after the run."""

    orders: tuple[OrderRow, ...] = ()
    fills: tuple[FillRow, ...] = ()
    events: tuple[EventRow, ...] = ()
    accounts: tuple[AccountRow, ...] = ()
    history: tuple[HistoryRow, ...] = ()

    @classmethod
    def parse(cls, document: bytes) -> Self:
        """Read the JSON object that the harness's query returns; raises msgspec.DecodeError."""
        return msgspec.json.decode(document, type=cls)
