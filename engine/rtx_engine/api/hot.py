"""The routes with thousands of requests a second: without a framework."""

import time
from collections.abc import Mapping
from uuid import UUID

import msgspec

from rtx_engine import metrics
from rtx_engine.api.context import Context
from rtx_engine.api.errors import RETRY, ApiError, ErrorDetail, ErrorReason, bad_request, sentence
from rtx_engine.api.http import Response, Scope
from rtx_engine.api.request_bodies import MarketOrderRequest, decode
from rtx_engine.api.response_bodies import Health, PositionResponse, Positions, Rejection
from rtx_engine.domain.order_response import OrderResponse, order_response
from rtx_engine.domain.orders import InvalidOrderError, MarketOrder, RejectReason, market_order
from rtx_engine.store import OrderError, OrderErrorReason, Placed

_encode = msgspec.json.Encoder().encode

_REJECTIONS: Mapping[RejectReason, str] = {
    RejectReason.STALE_QUOTE: (
        "There is no current price for {symbol} or for an open position: try again with another client_order_id."
    ),
    RejectReason.INSUFFICIENT_MARGIN: "The free margin is too small for {quantity} lots of {symbol}: order fewer lots.",
}


class HotRoutes:
    """Each method takes the scope and the whole body. Raises ApiError and the errors of the store."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def health(self, _scope: Scope, _body: bytes) -> Response:
        """The process is alive."""
        context = self._context
        state = context.store.fence.state
        return Response(
            200, _encode(Health("ok", context.version, context.settings.colour, state.epoch if state else None))
        )

    async def ready(self, scope: Scope, body: bytes) -> Response:
        """200 if the database is migrated, the fence is known and the pod is not shutting down; else ApiError (503).

        A database that does not answer changes nothing; one that answers without a fence does.
        """
        if (failure := self._context.supervisor.failure) is not None:
            raise ApiError(
                503,
                ErrorReason.NOT_READY,
                f"The {failure} of this pod has ended, so the pod ends: connect to another one.",
                headers=RETRY,
            )
        if self._context.activity.ending:
            raise ApiError(
                503, ErrorReason.SHUTTING_DOWN, "This pod is shutting down: connect to another one.", headers=RETRY
            )
        if self._context.store.fence.state is None or not self._context.store.token_rules.known:
            raise ApiError(
                503,
                ErrorReason.NOT_READY,
                "This pod knows no fence: check that the database is up, has its data and is migrated to this version.",
                headers=RETRY,
            )
        return await self.health(scope, body)

    async def place_market_order(self, scope: Scope, body: bytes) -> Response:
        """Fill a market order: 201, or 200 if it was filled before; 422 if it is recorded as rejected."""
        started = time.perf_counter()
        try:
            order = self.order(scope, body)
            placed = await self._place(order)
        except (ApiError, OrderError) as error:
            count_order_error(error)
            raise
        return order_placed(order, placed, started)

    def order(self, scope: Scope, body: bytes) -> MarketOrder:
        """The order that a request wants to be placed. Raises ApiError."""
        account_id = self._context.account_id(scope)
        # The first pod that receives an order gives it its id, before anything else.
        order_id = self._context.peers.order_id(scope)
        return _order(order_id, account_id, decode(body, MarketOrderRequest))

    async def _place(self, order: MarketOrder) -> Placed:
        """As the store's submit. Expired is final: no earlier request has placed the order either."""
        try:
            return await self._context.store.orders.submit(order)
        except OrderError as error:
            if error.reason is not OrderErrorReason.EXPIRED:
                raise
            return await self._context.store.lookup.settle(order)

    async def positions(self, scope: Scope, _body: bytes) -> Response:
        """The account's open positions."""
        positions = await self._context.store.reader.positions(self._context.account_id(scope))
        quotes = self._context.source.quotes()
        found = [PositionResponse.of(position, quotes.get(position.symbol)) for position in positions]
        return Response(200, _encode(Positions(found)))


def count_order_error(error: ApiError | OrderError) -> None:
    if error.reason is not OrderErrorReason.FENCED:  # app.py counts it if the client gets it
        metrics.order_errors(error.reason).inc()


def order_placed(order: MarketOrder, placed: Placed, started: float) -> Response:
    """The response. `started`: when its request was complete, by time.perf_counter."""
    symbol, reason = order.symbol, placed.execution.reason
    metrics.order_latency(symbol).observe(time.perf_counter() - started)
    if reason is not None:
        metrics.order_errors(reason).inc()
        return _rejected(order_response(placed.execution), reason)
    if placed.replayed:
        return Response(200, placed.body)
    metrics.orders_placed(symbol).inc()
    return Response(201, placed.body)


def _order(order_id: UUID, account_id: int, request: MarketOrderRequest) -> MarketOrder:
    try:
        return market_order(
            order_id,
            account_id,
            request.client_order_id,
            symbol=request.symbol,
            side=request.side,
            quantity=request.quantity,
            valid_until=request.valid_until,
        )
    except InvalidOrderError as error:
        raise bad_request(sentence(error)) from error


def _rejected(order: OrderResponse, reason: RejectReason) -> Response:
    sentence = _REJECTIONS[reason].format(symbol=order.symbol, quantity=order.quantity)
    return Response(422, _encode(Rejection(ErrorDetail(reason, sentence), order)))
