"""Orders and their executions."""

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from uuid import UUID

import msgspec

from rtx_engine.domain import grammar
from rtx_engine.domain.symbols import SYMBOLS


class Side(StrEnum):
    """The side of the client."""

    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        return 1 if self is Side.BUY else -1


_SIDES: Mapping[str, Side] = {side.value: side for side in Side}


class OrderStatus(StrEnum):
    """The final status of an order. Market orders have no other."""

    FILLED = "filled"
    REJECTED = "rejected"


class RejectReason(StrEnum):
    """Why an order was not filled."""

    STALE_QUOTE = "StaleQuote"  # of its symbol or, if it opens, of a position: the newest is older than STALE_AFTER
    INSUFFICIENT_MARGIN = "InsufficientMargin"  # for what the order opens


class InvalidOrderError(ValueError):
    """The order is not valid at any price; the message is one sentence for the client."""


class MarketOrder(msgspec.Struct, frozen=True):
    """An order to execute at the current quote. `order_id` is a UUIDv7 from the first pod that received the order.

    `valid_until` belongs to the request: a repeat may have another one, and what was placed has none.
    """

    order_id: UUID
    account_id: int
    client_order_id: str
    symbol: str
    side: Side
    quantity: Decimal  # lots
    valid_until: dt.datetime | None = None  # by the database's clock; after it this request places nothing

    def same_request(self, other: "MarketOrder") -> bool:
        """Whether `other`, with the same client_order_id, has the same content."""
        return (self.symbol, self.side, self.quantity) == (other.symbol, other.side, other.quantity)


class Execution(msgspec.Struct, frozen=True):
    """An executed or rejected order. `sequence` is the number of its account event."""

    order: MarketOrder
    status: OrderStatus
    sequence: int
    epoch: int
    colour: str
    executed_at: dt.datetime
    reason: RejectReason | None = None
    price: Decimal | None = None
    realised: Decimal = Decimal(0)  # profit or loss that the fill realised, in the account's currency
    quoted_at: dt.datetime | None = None  # time of the quote; None if version 1.0 filled the order


def market_order(
    order_id: UUID,
    account_id: int,
    client_order_id: str,
    *,
    symbol: str,
    side: str,
    quantity: str,
    valid_until: str | None = None,
) -> MarketOrder:
    """The order that a client asks for, in its own words. Raises InvalidOrderError.

    Orders with the same content are equal however they are written: "0.1" lots become 0.10, the scale of the step.
    """
    if not grammar.is_client_order_id(client_order_id):
        raise InvalidOrderError("client_order_id must be 1 to 64 printable ASCII characters, and not only dots")
    if symbol not in SYMBOLS:
        raise InvalidOrderError(f"symbol {symbol[:32]!a} is not traded; use one of {', '.join(SYMBOLS)}")
    if side not in _SIDES:
        raise InvalidOrderError(f"side {side[:32]!a} is unknown; use {' or '.join(Side)}")
    lots, until = _lots(quantity, symbol), _valid_until(valid_until)
    return MarketOrder(order_id, account_id, client_order_id, symbol, _SIDES[side], lots, until)


def _valid_until(text: str | None) -> dt.datetime | None:
    if text is None:
        return None
    try:
        return grammar.time(text)
    except grammar.GrammarError:
        raise InvalidOrderError(
            f"valid_until {text[:32]!a} is not a time in UTC; write it like 2026-11-27T10:00:00Z"
        ) from None


@lru_cache(maxsize=1024)
def _lots(text: str, symbol_name: str) -> Decimal:
    """Cached, because clients write few quantities, and decimals are slow."""
    symbol = SYMBOLS[symbol_name]
    try:
        lots = grammar.decimal(text)
    except grammar.GrammarError:
        raise InvalidOrderError(f"quantity {text[:32]!a} is not a number of lots; write it like 0.10") from None
    if not symbol.quantity_step <= lots <= symbol.quantity_max:
        raise InvalidOrderError(
            f"quantity {lots} is out of range; give {symbol.quantity_step} to {symbol.quantity_max} lots"
        )
    if lots % symbol.quantity_step:
        raise InvalidOrderError(f"quantity {lots} is not a multiple of {symbol.quantity_step} lots")
    return lots.quantize(symbol.quantity_step)
