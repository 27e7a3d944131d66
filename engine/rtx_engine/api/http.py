"""ASGI helpers: types, reading a whole request body, sending a response."""

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from rtx_engine.api.errors import ApiError, too_large

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_JSON = b"application/json"
CONNECTION = "rtx.connection"  # key of a scope: the connection, while nobody has shown whose it is


@dataclass(frozen=True, slots=True)
class Response:
    """A complete response. `headers` come in addition to content-type and content-length."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    content_type: bytes = _JSON


Handler = Callable[
    [Scope, bytes], Awaitable[Response]
]  # of a hot route; the arguments are the request and its whole body


class ClientGoneError(Exception):
    """The client closed the connection before its request was complete."""


async def read_body(receive: Receive, max_bytes: int) -> bytes:
    """The whole body. Bytes beyond `max_bytes` are read and discarded. Raises ApiError (413), ClientGoneError."""
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        body: bytes = message.get("body", b"")
        if len(body) <= max_bytes:
            return body
        raise too_large(max_bytes)
    kept = bytearray()
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        part: bytes = message.get("body", b"")
        size += len(part)
        if size <= max_bytes:
            kept += part
        if not message.get("more_body", False):
            break
        message = await receive()
    if size > max_bytes:
        raise too_large(max_bytes)
    return bytes(kept)


def replay(body: bytes) -> Receive:
    """A `receive` that returns an already read body, for an inner ASGI application."""
    done = False

    async def receive() -> Message:
        nonlocal done
        if done:
            return {"type": "http.disconnect"}
        done = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def send_response(send: Send, response: Response) -> None:
    """Send a complete response."""
    await send(
        {
            "type": "http.response.start",
            "status": response.status,
            "headers": [
                (b"content-type", response.content_type),
                (b"content-length", str(len(response.body)).encode()),
                *response.headers,
            ],
        }
    )
    await send({"type": "http.response.body", "body": response.body})


def error_response(error: ApiError) -> Response:
    """The response for `error`."""
    return Response(error.status, error.body(), error.headers)


def header(scope: Scope, name: bytes) -> bytes | None:
    """The value of the first header `name` (lower case); None if there is none."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return None
