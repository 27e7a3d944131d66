"""Orders and their executions."""

import datetime as dt
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

import msgspec

from rtx_engine.domain.symbols import SYMBOLS


class Side(StrEnum):
    """The side of the client."""

    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        return 1 if self is Side.BUY else -1


class OrderStatus(StrEnum):
    """The final status of an order. Market orders have no other."""

    FILLED = "filled"
    REJECTED = "rejected"


class RejectReason(StrEnum):
    """Why an order was not filled."""

    STALE_QUOTE = "StaleQuote"  # the newest quote is older than STALE_AFTER
    INSUFFICIENT_MARGIN = "InsufficientMargin"


class InvalidOrderError(ValueError):
    """The order is not valid at any price; the message is one sentence for the client."""


class MarketOrder(msgspec.Struct, frozen=True):
    """An order to execute at the current quote. `order_id` is a UUIDv7 from the first pod that received the order."""

    order_id: UUID
    account_id: int
    client_order_id: str
    symbol: str
    side: Side
    quantity: Decimal  # lots

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


def check(order: MarketOrder) -> None:
    """Raises InvalidOrderError."""
    symbol = SYMBOLS.get(order.symbol)
    if symbol is None:
        raise InvalidOrderError(f"symbol {order.symbol!r} is not traded; use one of {', '.join(SYMBOLS)}")
    if not order.quantity.is_finite() or not symbol.quantity_step <= order.quantity <= symbol.quantity_max:
        raise InvalidOrderError(
            f"quantity {order.quantity} is out of range; give {symbol.quantity_step} to {symbol.quantity_max} lots"
        )
    if order.quantity % symbol.quantity_step:
        raise InvalidOrderError(f"quantity {order.quantity} is not a multiple of {symbol.quantity_step} lots")
    if not (1 <= len(order.client_order_id) <= 64 and order.client_order_id.isascii()):
        raise InvalidOrderError("client_order_id must be 1 to 64 printable ASCII characters")
    if not order.client_order_id.isprintable():
        raise InvalidOrderError("client_order_id must be 1 to 64 printable ASCII characters")
