"""What the database holds about a run, as the verdict needs it. Quantities and prices are exact decimals. Pure."""

from decimal import Decimal
from typing import Self

import msgspec


class OrderRow(msgspec.Struct, frozen=True):
    """An order of the run."""

    order_id: str
    client_order_id: str
    account_id: str
    symbol: str
    side: str
    quantity: Decimal
    status: str
    colour: str


class FillRow(msgspec.Struct, frozen=True):
    """A fill of one of the run's orders; bought is positive."""

    order_id: str
    quantity: Decimal
    price: Decimal
    epoch: int
    committed_us: int | None  # when it was committed, in Unix microseconds; None when PostgreSQL no longer knows


class PositionRow(msgspec.Struct, frozen=True):
    """A position of one of the run's accounts beside the sum of all its fills ever; long is positive."""

    account_id: str
    symbol: str
    quantity: Decimal
    fills: Decimal


class EventRow(msgspec.Struct, frozen=True):
    """The account event of one of the run's orders."""

    account_id: str
    sequence: int
    client_order_id: str


class HistoryRow(msgspec.Struct, frozen=True):
    """An epoch that the fence had: who might execute, and since when (as for a fill)."""

    epoch: int
    executors: tuple[str, ...]
    cutover: str
    committed_us: int | None


class Database(msgspec.Struct, frozen=True):
    """One snapshot, taken after the run."""

    orders: tuple[OrderRow, ...] = ()
    fills: tuple[FillRow, ...] = ()
    positions: tuple[PositionRow, ...] = ()
    events: tuple[EventRow, ...] = ()
    history: tuple[HistoryRow, ...] = ()

    @classmethod
    def parse(cls, document: bytes) -> Self:
        """Read the JSON object that the harness's query returns; raises msgspec.DecodeError."""
        return msgspec.json.decode(document, type=cls)
