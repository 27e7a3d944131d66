"""An execution as clients receive it: the same fields in the order's response and in the account's stream."""

import datetime as dt
from decimal import Decimal
from uuid import UUID

import msgspec

from rtx_engine.domain.orders import Execution, OrderStatus, RejectReason, Side


class OrderResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    """The response to an order. Decimals are JSON strings. `price` is absent if it was rejected, `reason` if filled.

    `quoted_at` is the time of the quote; orders filled by version 1.0 lack it.
    """

    order_id: UUID
    client_order_id: str
    status: OrderStatus
    symbol: str
    side: Side
    quantity: Decimal
    executed_at: dt.datetime
    epoch: int
    colour: str
    sequence: int
    realised: Decimal
    price: Decimal | None = None
    reason: RejectReason | None = None
    quoted_at: dt.datetime | None = None


def order_response(execution: Execution) -> OrderResponse:
    order = execution.order
    return OrderResponse(
        order_id=order.order_id,
        client_order_id=order.client_order_id,
        status=execution.status,
        symbol=order.symbol,
        side=order.side,
        quantity=order.quantity,
        executed_at=execution.executed_at,
        epoch=execution.epoch,
        colour=execution.colour,
        sequence=execution.sequence,
        price=execution.price,
        realised=execution.realised,
        reason=execution.reason,
        quoted_at=execution.quoted_at,
    )
