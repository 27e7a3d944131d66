"""One ASGI application: the hot routes by a look-up in a table, everything else by Starlette, errors in one shape."""

import time
from collections.abc import Mapping

import structlog

from rtx_engine import metrics
from rtx_engine.api import peer
from rtx_engine.api.context import Activity, Context
from rtx_engine.api.error_mapping import method_not_allowed, to_api_error
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
from rtx_engine.api.routes import cold_routes
from rtx_engine.store import OrderError, OrderErrorReason
from rtx_engine.stream.drain import Drain

log = structlog.get_logger(__name__)

_PROBES = frozenset({"/health", "/ready"})
_EXECUTED = "/api/"  # what only a colour answers that the fence names, the rest being about the pod itself

Table = Mapping[str, Mapping[str, Handler]]


class Application:
    """What uvicorn serves. WebSockets never come here: stream/ takes them over from HTTP."""

    def __init__(self, context: Context) -> None:
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
            colour = context.settings.colour.value
            self._forwarder = Forwarder(
                context.store,
                context.peers,
                context.peer_client,
                context.activity,
                colour,
                context.times.forward_budget,
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        reply = _Reply(send, self._activity, self._drain, self._version)
        if path in _PROBES:
            await self._respond(scope, receive, reply, self._hot)
            return
        if path.startswith(PREFIX) and self._peers.trusts(scope):
            await self._respond(scope, receive, reply, self._internal)
            return
        started = time.perf_counter()
        self._activity.begin()
        try:
            await self._respond(scope, receive, reply, self._hot)
        finally:
            self._activity.end()
            if reply.status is not None and not reply.elsewhere:
                self._request_stats.record(reply.status, time.perf_counter() - started)

    async def _respond(self, scope: Scope, receive: Receive, reply: "_Reply", table: Table) -> None:
        try:
            body = await read_body(receive)
            if scope["path"].startswith(_EXECUTED):
                await self._execute(scope, body, reply)
            else:
                await self._answer(scope, body, reply, table)
        except ClientGoneError:
            return
        except Exception as error:
            api_error = to_api_error(error)
            if api_error.status == 500:
                log.exception("a request failed", method=scope["method"], path=scope["path"])
            if api_error.reason is OrderErrorReason.FENCED:
                metrics.order_errors(api_error.reason).inc()
                reply.elsewhere = True
            await send_response(reply, error_response(api_error))

    async def _execute(self, scope: Scope, body: bytes, reply: "_Reply") -> None:
        """Response here when the fence names us, or else have it answered by the colour that it names."""

        async def here() -> None:
            await self._answer(scope, body, reply, self._hot)

        if self._fence.executing:
            try:
                return await here()
            except OrderError as error:
                if error.reason is not OrderErrorReason.FENCED:
                    raise  # the fence moved under the order: it goes the way of those that come after it
        if self._peers.stays_here(scope):
            return await here()
        if self._peers.is_hop(scope):
            return await self._receiver.answer(scope, here)
        if self._forwarder is None:
            return await here()
        response = await self._forwarder.answer(scope, body, here)
        if response is not None:
            reply.elsewhere = True
            await send_response(reply, response)
        return None

    async def _answer(self, scope: Scope, body: bytes, reply: "_Reply", table: Table) -> None:
        """Response in this pod. Raises, before anything is sent, what `to_api_error` understands."""
        methods = table.get(scope["path"])
        if methods is None:
            scope["app"] = self._cold  # with an app, Starlette's router raises instead of answering in plain text
            await self._cold(scope, replay(body), reply)
            return
        handler = methods.get("GET" if scope["method"] == "HEAD" else scope["method"])
        if handler is None:
            raise method_not_allowed(", ".join(methods))
        response: Response = await handler(scope, body)
        await send_response(reply, response)


class _Reply:
    """The `send` of one client's request: adds what every answer gets, whoever made it, and remembers its status."""

    __slots__ = ("_activity", "_drain", "_send", "_version", "elsewhere", "status")

    def __init__(self, send: Send, activity: Activity, drain: Drain, version: bytes) -> None:
        self._send = send
        self._activity = activity
        self._drain = drain
        self._version = version
        self.status: int | None = None  # of the answer, once it has begun
        self.elsewhere = False  # the request was for another colour to answer, and has been if it could be

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            status = self.status = message["status"]
            metrics.REQUESTS_BY_CLASS[status // 100].inc()
            more = []
            # Asked now and not at the request's start: a pod that began to end meanwhile says so too. Who asked a
            # colour that does not execute is told to connect anew when it drains: the Service has moved by then, and
            # before that a new connection would lead here again.
            if self._activity.ending or (self.elsewhere and self._drain.active):
                more.append((b"connection", b"close"))
            if status >= 500 and all(name != peer.VERSION for name, _ in message["headers"]):
                more.append((peer.VERSION, self._version))
            if more:
                message["headers"] = [*message["headers"], *more]
        await self._send(message)
