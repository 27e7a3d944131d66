"""The ASGI application: hot routes by table look-up, all others by Starlette, one format for all errors."""

import time
from collections.abc import Mapping

import structlog
from starlette.exceptions import HTTPException

from rtx_engine import metrics
from rtx_engine.api import peer
from rtx_engine.api.context import Activity, Context
from rtx_engine.api.error_mapping import allowed_methods, method_not_allowed, to_api_error
from rtx_engine.api.errors import RETRY, ApiError, ErrorReason
from rtx_engine.api.forward import Forwarder, Receiver
from rtx_engine.api.hot import HotRoutes
from rtx_engine.api.http import (
    ClientGoneError,
    Handler,
    Message,
    Receive,
    Response,
    Scope,
    Send,
    error_response,
    read_body,
    replay,
    send_response,
)
from rtx_engine.api.internal import PREFIX, InternalRoutes
from rtx_engine.api.limits import PRODUCTION, Limits
from rtx_engine.api.routes import cold_routes
from rtx_engine.store import OrderError, OrderErrorReason, OverloadedError, TooManyWaitingError
from rtx_engine.stream.drain import Drain

log = structlog.get_logger(__name__)

_PROBE_PATHS = frozenset({"/health", "/ready"})
_EXECUTOR_PREFIX = "/api/"  # paths that only the executing colour answers; the other paths are about the pod itself
# Answers in which the release had no part: another colour executes, or too many orders waited before this one.
_NOT_BY_HANDLER = frozenset({OrderErrorReason.FENCED, OrderErrorReason.OVERLOADED, OrderErrorReason.TOO_MANY_REQUESTS})

Table = Mapping[str, Mapping[str, Handler]]
_NO_METHODS: Mapping[str, Handler] = {}


class Application:
    """What uvicorn serves, except WebSockets: those go to stream/."""

    def __init__(self, context: Context, limits: Limits = PRODUCTION) -> None:
        self._limits = limits
        self._handling = 0  # requests whose body is complete
        self._activity = context.activity
        self._drain = context.stream.drain
        self._fence = context.store.fence
        self._peers = context.peers
        self._request_stats = context.request_stats
        self._version = context.version.encode()
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
            self._forwarder = Forwarder(context, context.peer_client)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        sender = _ResponseSender(send, self._activity, self._drain, self._version)
        if path in _PROBE_PATHS:
            await self._respond(scope, receive, sender, self._hot)
            return
        if path.startswith(PREFIX) and self._peers.trusts(scope):
            await self._respond(scope, receive, sender, self._internal)
            return
        self._activity.begin()
        try:
            await self._respond(scope, receive, sender, self._hot)
        finally:
            self._activity.end()
            self._count(scope, sender)

    def _count(self, scope: Scope, sender: "_ResponseSender") -> None:
        """Counts what this release answered to a client. A smoke test is no client."""
        is_client = scope["path"].startswith(_EXECUTOR_PREFIX) and not self._peers.is_for_this_pod(scope)
        if sender.handled_since is not None and sender.status is not None and is_client:
            self._request_stats.record(sender.status, sender.answered_at - sender.handled_since)

    async def _respond(self, scope: Scope, receive: Receive, sender: "_ResponseSender", table: Table) -> None:
        try:
            body = await read_body(receive, self._limits.body_bytes)
            await self._respond_to(scope, body, sender, table)
        except ClientGoneError:
            return
        except Exception as error:
            api_error = to_api_error(error)
            if api_error.status == 500:
                log.exception("a request failed", method=scope["method"], path=scope["path"])
            if isinstance(error, OverloadedError | TooManyWaitingError):
                metrics.refusals(api_error.reason).inc()
            if api_error.reason is OrderErrorReason.FENCED:
                metrics.order_errors(api_error.reason).inc()
                sender.for_other_colour = True
            await send_response(sender, error_response(api_error))

    async def _respond_to(self, scope: Scope, body: bytes, sender: "_ResponseSender", table: Table) -> None:
        """Respond to a complete request. Raises ApiError (503) if too many others are being handled."""
        if self._handling >= self._limits.requests and scope["path"] not in _PROBE_PATHS:
            metrics.refusals(ErrorReason.BUSY).inc()
            raise ApiError(503, ErrorReason.BUSY, "Too many requests at once: try again in a second.", headers=RETRY)
        self._handling += 1
        try:
            if scope["path"].startswith(_EXECUTOR_PREFIX):
                await self._respond_as_executor(scope, body, sender)
            else:
                await self._respond_locally(scope, body, sender, table)
        finally:
            self._handling -= 1

    async def _respond_as_executor(self, scope: Scope, body: bytes, sender: "_ResponseSender") -> None:
        """Respond in this pod if the fence names its colour, or else forward to the colour that it names."""

        async def respond_locally() -> None:
            await self._respond_locally(scope, body, sender, self._hot)

        if self._fence.executing:
            try:
                return await respond_locally()
            except OrderError as error:
                if error.reason is not OrderErrorReason.FENCED:
                    raise  # the fence moved while the order was written: forward it like later ones
        if self._peers.is_for_this_pod(scope):
            return await respond_locally()
        if self._peers.is_hop(scope):
            return await self._receiver.respond(scope, respond_locally)
        if self._forwarder is None:
            return await respond_locally()
        response = await self._forwarder.respond(scope, body, respond_locally)
        if response is not None:
            sender.for_other_colour = True
            await send_response(sender, response)
        return None

    async def _respond_locally(self, scope: Scope, body: bytes, sender: "_ResponseSender", table: Table) -> None:
        """Respond in this pod. Raises only before the response has begun; `to_api_error` maps the errors."""
        sender.handled_since = time.perf_counter()
        try:
            await self._handle(scope, body, sender, table)
        except OrderError as error:
            if error.reason in _NOT_BY_HANDLER:
                sender.handled_since = None
            raise
        except OverloadedError:
            sender.handled_since = None
            raise

    async def _handle(self, scope: Scope, body: bytes, sender: "_ResponseSender", table: Table) -> None:
        """By the table, else by the cold routes: GET /api/orders/market looks up the order with the id `market`."""
        methods = table.get(scope["path"], _NO_METHODS)
        handler = methods.get("GET" if scope["method"] == "HEAD" else scope["method"])
        if handler is not None:
            response: Response = await handler(scope, body)
            await send_response(sender, response)
            return
        scope["app"] = self._cold  # makes Starlette's router raise its errors instead of sending plain text
        try:
            await self._cold(scope, replay(body), sender)
        except HTTPException as error:
            if methods:
                raise method_not_allowed(", ".join(sorted({*methods, *allowed_methods(error)}))) from error
            raise


class _ResponseSender:
    """The ASGI `send` of one request: adds the headers that every response gets and records the status."""

    __slots__ = (
        "_activity",
        "_drain",
        "_send",
        "_version",
        "answered_at",
        "for_other_colour",
        "handled_since",
        "status",
    )

    def __init__(self, send: Send, activity: Activity, drain: Drain, version: bytes) -> None:
        self._send = send
        self._activity = activity
        self._drain = drain
        self._version = version
        self.status: int | None = None  # None until the response has begun
        self.for_other_colour = False  # forwarded, or refused because no executor could be reached
        # By time.perf_counter: when this pod's own handler began what was answered (None: it did not), and when the
        # answer began. A client that sends or reads slowly is in neither.
        self.handled_since: float | None = None
        self.answered_at = 0.0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            status = self.status = message["status"]
            self.answered_at = time.perf_counter()
            metrics.REQUESTS_BY_CLASS[status // 100].inc()
            more = []
            # Checked now and not at the request's start: the pod may have begun to shut down in between. After a
            # forwarded request the connection is closed only while this colour drains: the live Service has switched
            # by then; before, the client's next connection would come to this colour again.
            if self._activity.ending or (self.for_other_colour and self._drain.active):
                more.append((b"connection", b"close"))
            if status >= 500 and all(name != peer.VERSION for name, _ in message["headers"]):
                more.append((peer.VERSION, self._version))
            if more:
                message["headers"] = [*message["headers"], *more]
        await self._send(message)
