"""Calls an ASGI application with a complete request, for a complete response."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from rtx_engine.api.http import Response, Scope

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_SET_BY_CONNECTION = frozenset({b"content-length", b"content-type"})


async def call(app: App, scope: Scope, body: bytes) -> Response:
    """The response of `app`. Its errors propagate."""
    received = False
    started: Message = {}
    parts: list[bytes] = []

    async def receive() -> Message:
        nonlocal received
        if received:
            return {"type": "http.disconnect"}
        received = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            started.update(message)
        else:
            parts.append(message.get("body", b""))

    await app({"type": "http", "scheme": "http", "root_path": "", **scope}, receive, send)
    headers: list[tuple[bytes, bytes]] = started["headers"]
    more = tuple(header for header in headers if header[0] not in _SET_BY_CONNECTION)
    return Response(started["status"], b"".join(parts), more, dict(headers).get(b"content-type", b""))
