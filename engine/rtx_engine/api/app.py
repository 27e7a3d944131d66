"""The application: hot routes by table look-up, all others by Starlette, one format for all errors."""

import time
from collections.abc import Mapping

import msgspec
import structlog
from starlette.exceptions import HTTPException

from rtx_engine import metrics
from rtx_engine.api import asgi, peer
from rtx_engine.api.context import Context
from rtx_engine.api.error_mapping import allowed_methods, method_not_allowed, to_api_error
from rtx_engine.api.errors import RETRY, ApiError, ErrorReason, Headers, too_large
from rtx_engine.api.forward import Forwarder, Receiver
from rtx_engine.api.hot import HotRoutes
from rtx_engine.api.http import Handler, Response, Scope, error_response
from rtx_engine.api.internal import PREFIX, InternalRoutes
from rtx_engine.api.limits import PRODUCTION, Limits
from rtx_engine.api.routes import cold_routes
from rtx_engine.store import OrderError, OrderErrorReason, OverloadedError, TooManyWaitingError

log = structlog.get_logger(__name__)

_PROBE_PATHS = frozenset({"/health", "/ready"})
_EXECUTOR_PREFIX = "/api/"  # paths that only the executing colour answers; the other paths are about the pod itself
# Answers in which the release had no part: another colour executes, or too many orders waited before this one.
_NOT_BY_HANDLER = frozenset({OrderErrorReason.FENCED, OrderErrorReason.OVERLOADED, OrderErrorReason.TOO_MANY_REQUESTS})

Table = Mapping[str, Mapping[str, Handler]]
_NO_METHODS: Mapping[str, Handler] = {}


class _Course:
    """What has become of a request so far."""

    __slots__ = ("for_other_colour", "handled_since")

    def __init__(self) -> None:
        self.handled_since: float | None = None  # by time.perf_counter; None: not by a handler of this pod
        self.for_other_colour = False  # forwarded, or refused because no executor could be reached


class Application:
    """What a connection asks for the response to a request. WebSockets go to stream/."""

    def __init__(self, context: Context, limits: Limits = PRODUCTION) -> None:
        self._limits = limits
        self._handling = 0  # requests in handlers
        self._activity = context.activity
        self._drain = context.stream.drain
        self._fence = context.store.fence
        self._peers = context.peers
        self._request_stats = context.request_stats
        self._version: Headers = ((peer.VERSION, context.version.encode()),)
        hot = HotRoutes(context)
        self._hot: Table = {
            "/api/orders/market": {"POST": hot.place_market_order},
            "/api/positions": {"GET": hot.positions},
            "/health": {"GET": hot.health},
            "/ready": {"GET": hot.ready},
        }
        self._cold = cold_routes(context)
        self._internal = InternalRoutes(context).table
        self._receiver = Receiver(context.store, context.peers)
        self._forwarder: Forwarder | None = None
        if context.peer_client is not None:
            colour = context.settings.colour.value
            self._forwarder = Forwarder(
                context.store,
                context.peers,
                context.peer_client,
                context.activity,
                colour,
                context.timeouts.forward_seconds,
            )

    async def __call__(self, scope: Scope, body: bytes | None) -> Response:
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
        except Exception as error:
            api_error = to_api_error(error)
            if api_error.status == 500:
                log.exception("a request failed", method=scope["method"], path=scope["path"])
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
