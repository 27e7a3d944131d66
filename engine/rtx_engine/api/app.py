"""One ASGI application: the hot routes by a look-up in a table, everything else by Starlette, errors in one shape."""

import structlog

from rtx_engine import metrics
from rtx_engine.api.context import Context
from rtx_engine.api.hot import HotRoutes
from rtx_engine.api.http import (
    ClientGoneError,
    Handler,
    Message,
    Receive,
    Scope,
    Send,
    read_body,
    refusal,
    replay,
    send_answer,
)
from rtx_engine.api.refusals import as_api_error, method_not_allowed
from rtx_engine.api.routes import cold_routes

log = structlog.get_logger(__name__)

_PROBES = frozenset({"/health", "/ready"})


class Application:
    """What uvicorn serves. WebSockets never come here: stream/ takes them over from HTTP."""

    def __init__(self, context: Context) -> None:
        self._activity = context.activity
        hot = HotRoutes(context)
        self._hot: dict[str, dict[str, Handler]] = {
            "/api/orders/market": {"POST": hot.place_market_order},
            "/api/positions": {"GET": hot.positions},
            "/health": {"GET": hot.health},
            "/ready": {"GET": hot.ready},
        }
        self._cold = cold_routes(context)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in _PROBES:
            await self._respond(scope, receive, send)
            return
        self._activity.begin()
        try:
            await self._respond(scope, receive, send)
        finally:
            self._activity.end()

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        send = self._watched(send)
        try:
            body = await read_body(receive)
            handler = self._handler(scope)
            if handler is None:
                scope["app"] = self._cold  # with an app, Starlette's router raises instead of answering in plain text
                await self._cold(scope, replay(body), send)
                return
            answer = await handler(scope, body)
        except ClientGoneError:
            return
        except Exception as error:
            answer = refusal(as_api_error(error))
            if answer.status == 500:
                log.exception("a request failed", method=scope["method"], path=scope["path"])
        await send_answer(send, answer)

    def _handler(self, scope: Scope) -> Handler | None:
        methods = self._hot.get(scope["path"])
        if methods is None:
            return None
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        handler = methods.get(method)
        if handler is None:
            raise method_not_allowed(", ".join(methods))
        return handler

    def _watched(self, send: Send) -> Send:
        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                metrics.REQUESTS_BY_CLASS[message["status"] // 100].inc()
                # Asked now and not at the request's start: a pod that began to end meanwhile says so too.
                if self._activity.ending:
                    message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        return watched
