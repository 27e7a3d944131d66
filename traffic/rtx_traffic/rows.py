"""The database's rows of a run, as input of the verdict. Quantities and prices are exact decimals. Pure.

Rows are JSON arrays in field order, as a run has hundreds of thousands of them.
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
    committed_us: int | None  # commit time in Unix microseconds; None when PostgreSQL no longer has it


class EventRow(msgspec.Struct, frozen=True, array_like=True):
    """The account event of one of the run's orders."""

    account_id: str
    sequence: int
    client_order_id: str
    matches_order: bool  # whether its values equal those of the order's row


class AccountFillRow(msgspec.Struct, frozen=True, array_like=True):
    """A fill of an account, by this run or an earlier one; bought is positive."""

    symbol: str
    quantity: Decimal
    price: Decimal
    realised: Decimal  # as stored in the fill


class EntryRow(msgspec.Struct, frozen=True, array_like=True):
    """What changed an account's money and was no fill."""

    sequence: int
    kind: str  # opening, deposit, withdrawal or adjustment
    amount: int  # in cents, as added to the balance


class UnbalancedRow(msgspec.Struct, frozen=True, array_like=True):
    """An account whose balance is not the sum of its ledger."""

    account_id: str
    balance: Decimal
    ledger: int  # the sum, in cents


class PositionRow(msgspec.Struct, frozen=True, array_like=True):
    """A position; long is positive, `average_price` is 0 when it is flat."""

    symbol: str
    quantity: Decimal
    average_price: Decimal


class AccountRow(msgspec.Struct, frozen=True, array_like=True):
    """An account of the run with all its fills ever, in the order of their events."""

    account_id: str
    balance: Decimal
    sequence: int  # of its newest event, from the account's row
    events: int  # number of events
    newest: int  # highest sequence of an event, 0 without any
    fills_without_event: int  # number of fills whose order has no event
    positions: tuple[PositionRow, ...]
    fills: tuple[AccountFillRow, ...]
    entries: tuple[EntryRow, ...] = ()  # none in a database that has no journal yet; else the opening comes first


class HistoryRow(msgspec.Struct, frozen=True, array_like=True):
    """An epoch of the fence: the colours allowed to execute, and its commit time (as in FillRow)."""

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
    unbalanced: tuple[UnbalancedRow, ...] = ()  # among all accounts of the database

    @classmethod
    def parse(cls, document: bytes) -> Self:
        """Parse the JSON object that the query in rtx_demo.database returns. Raises msgspec.DecodeError."""
        return msgspec.json.decode(document, type=cls)
