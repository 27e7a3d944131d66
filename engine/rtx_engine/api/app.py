"""The application: hot routes by table look-up, all others by Starlette, one format for all errors."""

import asyncio
import time
from collections.abc import Mapping
from functools import partial

import msgspec
import structlog
from starlette.exceptions import HTTPException

from rtx_engine import metrics
from rtx_engine.api import asgi, peer
from rtx_engine.api.context import Context
from rtx_engine.api.error_mapping import allowed_methods, method_not_allowed, to_api_error
from rtx_engine.api.errors import RETRY, ApiError, ErrorReason, Headers, too_large
from rtx_engine.api.exchange import Exchange
from rtx_engine.api.forward import Forwarder, Receiver
from rtx_engine.api.hot import HotRoutes, count_order_error, order_placed
from rtx_engine.api.http import Handler, Response, Scope, error_response
from rtx_engine.api.internal import PREFIX, InternalRoutes
from rtx_engine.api.limits import PRODUCTION, Limits
from rtx_engine.api.routes import cold_routes
from rtx_engine.domain.orders import MarketOrder
from rtx_engine.store import OrderError, OrderErrorReason, OverloadedError, Placed, TooManyWaitingError

log = structlog.get_logger(__name__)

_ORDER_PATH = "/api/orders/market"
_PROBE_PATHS = frozenset({"/health", "/ready"})
_EXECUTOR_PREFIX = "/api/"  # paths that only the executing colour answers; the other paths are about the pod itself
# Answers in which the release had no part: another colour executes, or too many orders waited before this one.
_NOT_BY_HANDLER = frozenset({OrderErrorReason.FENCED, OrderErrorReason.OVERLOADED, OrderErrorReason.TOO_MANY_REQUESTS})

# Reasons why an order has no result that are the answer as they stand. After others a request goes on.
_ANSWERED = frozenset(OrderErrorReason) - {OrderErrorReason.FENCED, OrderErrorReason.EXPIRED}

Table = Mapping[str, Mapping[str, Handler]]
_NO_METHODS: Mapping[str, Handler] = {}


class _Course:
    """What has become of a request so far."""

    __slots__ = ("for_other_colour", "handled_since")

    def __init__(self) -> None:
        self.handled_since: float | None = None  # by time.perf_counter; None: not by a handler of this pod
        self.for_other_colour = False  # forwarded, or refused because no executor could be reached


_PLACED_HERE = _Course()  # of all orders that are: nobody changes it


class Application:
    """What a connection has its requests answered by. WebSockets go to stream/."""

    def __init__(self, context: Context, limits: Limits = PRODUCTION) -> None:
        self._limits = limits
        self._handling = 0  # requests in handlers
        self._activity = context.activity
        self._drain = context.stream.drain
        self._fence = context.store.fence
        self._peers = context.peers
        self._request_stats = context.request_stats
        self._version: Headers = ((peer.VERSION, context.version.encode()),)
        self._orders = context.store.orders
        self._hot_routes = hot = HotRoutes(context)
        self._hot: Table = {
            _ORDER_PATH: {"POST": hot.place_market_order},
            "/api/positions": {"GET": hot.positions},
            "/health": {"GET": hot.health},
            "/ready": {"GET": hot.ready},
        }
        self._cold = cold_routes(context)
        self._internal = InternalRoutes(context).table
        self._receiver = Receiver(context.store, context.peers)
        self._forwarder: Forwarder | None = None
        if context.peer_client is not None:
            self._forwarder = Forwarder(context, context.peer_client)

    def begin(self, exchange: Exchange) -> None:
        """Have it answered, whatever happens."""
        scope, body = exchange.scope, exchange.body
        is_order = scope["path"] == _ORDER_PATH and scope["method"] == "POST"
        if is_order and body is not None and self._may_place(scope):
            self._begin_order(exchange, body)
        else:
            exchange.respond(self._response(scope, body))

    def _may_place(self, scope: Scope) -> bool:
        """Whether this pod places a client's order. What is a peer's, is refused or forwarded, needs a task."""
        return self._fence.executing and self._handling < self._limits.requests and not self._peers.trusts(scope)

    def _begin_order(self, exchange: Exchange, body: bytes) -> None:
        """From the socket to the queue, and from the commit to the answer, without a task or coroutine (ADR 0177)."""
        started = time.perf_counter()
        self._handling += 1
        self._activity.begin()
        try:
            order = self._hot_routes.order(exchange.scope, body)
            placing = self._orders.place(order)
        except Exception as error:  # noqa: BLE001  # answered as an error
            asyncio.get_running_loop().call_soon(self._on_order_error, exchange, started, error)
            return
        placing.add_done_callback(partial(self._on_placed, exchange, order, started))

    def _on_placed(
        self, exchange: Exchange, order: MarketOrder, started: float, placing: "asyncio.Future[Placed]"
    ) -> None:
        error = placing.exception()
        if error is not None:
            self._on_order_error(exchange, started, error)
            return
        self._end_order()
        try:
            response = order_placed(order, placing.result(), started)
            self._request_stats.record(response.status, time.perf_counter() - started)
            exchange.answer(self._finished(response, _PLACED_HERE))
        except Exception as bug:  # noqa: BLE001  # its client is told nothing that may be wrong
            exchange.fail(bug)

    def _on_order_error(self, exchange: Exchange, started: float, error: BaseException) -> None:
        self._end_order()
        if isinstance(error, OrderError) and error.reason not in _ANSWERED:
            # The fence moved while the order was written: it is forwarded, as later ones are, with its id. Or its
            # valid_until passed: it is looked up.
            exchange.respond(self._response(exchange.scope, exchange.body))
            return
        course = _Course()
        if isinstance(error, ApiError | OrderError):
            count_order_error(error)
        if not isinstance(error, OrderError) or error.reason not in _NOT_BY_HANDLER:
            course.handled_since = started
        response = self._failed(exchange.scope, error, course)
        self._count(exchange.scope, response.status, course)
        exchange.answer(self._finished(response, course))

    def _end_order(self) -> None:
        self._handling -= 1
        self._activity.end()

    async def _response(self, scope: Scope, body: bytes | None) -> Response:
        """The response, whatever happens. `body`: None if it was larger than the limits have it."""
        path: str = scope["path"]
        course = _Course()
        if path in _PROBE_PATHS:
            return self._finished(await self._respond(scope, body, course, self._hot), course)
        if path.startswith(PREFIX) and self._peers.trusts(scope):
            return self._finished(await self._respond(scope, body, course, self._internal), course)
        self._activity.begin()
        try:
            response = await self._respond(scope, body, course, self._hot)
        finally:
            self._activity.end()
        self._count(scope, response.status, course)
        return self._finished(response, course)

    def _count(self, scope: Scope, status: int, course: _Course) -> None:
        """Counts what this release answered to a client. A smoke test is no client.

        A client that sends or reads slowly is not in the time.
        """
        is_client = scope["path"].startswith(_EXECUTOR_PREFIX) and not self._peers.is_for_this_pod(scope)
        if course.handled_since is not None and is_client:
            self._request_stats.record(status, time.perf_counter() - course.handled_since)

    def _finished(self, response: Response, course: _Course) -> Response:
        """The response with what all have."""
        metrics.REQUESTS_BY_CLASS[response.status // 100].inc()
        # Now and not when the request came: the pod may have begun to shut down in between. After a forwarded request
        # the connection is closed only while this colour drains: the live Service has switched by then; before, the
        # client's next connection would come to this colour again.
        close = self._activity.ending or (course.for_other_colour and self._drain.active)
        failed = response.status >= 500 and all(name != peer.VERSION for name, _ in response.headers)
        if close or failed:
            headers = (*response.headers, *self._version) if failed else response.headers
            return msgspec.structs.replace(response, headers=headers, close=close)
        return response

    async def _respond(self, scope: Scope, body: bytes | None, course: _Course, table: Table) -> Response:
        if body is None:
            return error_response(too_large(self._limits.body_bytes))
        try:
            return await self._respond_to(scope, body, course, table)
        except Exception as error:  # noqa: BLE001  # answered as an error
            return self._failed(scope, error, course)

    def _failed(self, scope: Scope, error: BaseException, course: _Course) -> Response:
        api_error = to_api_error(error)
        if api_error.status == 500:
            log.error("a request failed", method=scope["method"], path=scope["path"], exc_info=error)
        if isinstance(error, OverloadedError | TooManyWaitingError):
            metrics.refusals(api_error.reason).inc()
        if api_error.reason is OrderErrorReason.FENCED:
            metrics.order_errors(api_error.reason).inc()
            course.for_other_colour = True
        return error_response(api_error)

    async def _respond_to(self, scope: Scope, body: bytes, course: _Course, table: Table) -> Response:
        """Raises ApiError (503) if too many other requests are being handled."""
        if self._handling >= self._limits.requests and scope["path"] not in _PROBE_PATHS:
            metrics.refusals(ErrorReason.BUSY).inc()
            raise ApiError(503, ErrorReason.BUSY, "Too many requests at once: try again in a second.", headers=RETRY)
        self._handling += 1
        try:
            if scope["path"].startswith(_EXECUTOR_PREFIX):
                return await self._respond_as_executor(scope, body, course)
            return await self._respond_locally(scope, body, course, table)
        finally:
            self._handling -= 1

    async def _respond_as_executor(self, scope: Scope, body: bytes, course: _Course) -> Response:
        """Respond in this pod if the fence names its colour, or else forward to the colour that it names."""
        if self._fence.executing:
            try:
                return await self._respond_locally(scope, body, course, self._hot)
            except OrderError as error:
                if error.reason is not OrderErrorReason.FENCED:
                    raise  # the fence moved while the order was written: forward it like later ones

        async def respond_locally() -> Response:
            return await self._respond_locally(scope, body, course, self._hot)

        if self._peers.is_for_this_pod(scope):
            return await respond_locally()
        if self._peers.is_hop(scope):
            return await self._receiver.respond(scope, respond_locally)
        if self._forwarder is None:
            return await respond_locally()
        forwarded = await self._forwarder.respond(scope, body, respond_locally)
        course.for_other_colour = not forwarded.executed_here
        return forwarded.response

    async def _respond_locally(self, scope: Scope, body: bytes, course: _Course, table: Table) -> Response:
        """Respond in this pod. Its errors are those that `to_api_error` maps."""
        course.handled_since = time.perf_counter()
        try:
            return await self._handle(scope, body, table)
        except OrderError as error:
            if error.reason in _NOT_BY_HANDLER:
                course.handled_since = None
            raise
        except OverloadedError:
            course.handled_since = None
            raise

    async def _handle(self, scope: Scope, body: bytes, table: Table) -> Response:
        """By the table, else by the cold routes: GET /api/orders/market looks up the order with the id `market`."""
        methods = table.get(scope["path"], _NO_METHODS)
        handler = methods.get("GET" if scope["method"] == "HEAD" else scope["method"])
        if handler is not None:
            return await handler(scope, body)
        # `app` makes Starlette's router raise its errors instead of sending plain text.
        try:
            return await asgi.call(self._cold, {**scope, "app": self._cold}, body)
        except HTTPException as error:
            if methods:
                raise method_not_allowed(", ".join(sorted({*methods, *allowed_methods(error)}))) from error
            raise
