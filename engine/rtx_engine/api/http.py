"""The few things that raw ASGI needs: types, reading a body to its end, sending an answer."""

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from rtx_engine.api.errors import ApiError, ErrorReason

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

BODY_LIMIT = 64 * 1024  # bytes; our largest body is an order of a few hundred
_JSON = b"application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. `headers` are those beside content-type and content-length."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    content_type: bytes = _JSON


Handler = Callable[[Scope, bytes], Awaitable[Answer]]  # of a hot route: the request and its whole body


class ClientGoneError(Exception):
    """The client closed the connection before its request was complete: there is nobody to answer."""


async def read_body(receive: Receive) -> bytes:
    """The whole body. What is beyond BODY_LIMIT is read and thrown away. Raises ApiError (413), ClientGoneError."""
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        body: bytes = message.get("body", b"")
        if len(body) <= BODY_LIMIT:
            return body
        raise _too_large()
    kept = bytearray()
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        part: bytes = message.get("body", b"")
        size += len(part)
        if size <= BODY_LIMIT:
            kept += part
        if not message.get("more_body", False):
            break
        message = await receive()
    if size > BODY_LIMIT:
        raise _too_large()
    return bytes(kept)


def replay(body: bytes) -> Receive:
    """A `receive` for an inner application, once the body has been read."""
    done = False

    async def receive() -> Message:
        nonlocal done
        if done:
            return {"type": "http.disconnect"}
        done = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def send_answer(send: Send, answer: Answer) -> None:
    """Send a complete answer."""
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": [
                (b"content-type", answer.content_type),
                (b"content-length", str(len(answer.body)).encode()),
                *answer.headers,
            ],
        }
    )
    await send({"type": "http.response.body", "body": answer.body})


def refusal(error: ApiError) -> Answer:
    """`error` as an answer."""
    return Answer(error.status, error.body(), error.headers)


def header(scope: Scope, name: bytes) -> bytes | None:
    """The first header of that (lower-case) name."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return None


def _too_large() -> ApiError:
    return ApiError(
        413, ErrorReason.PAYLOAD_TOO_LARGE, f"The body is larger than {BODY_LIMIT} bytes: send a smaller one."
    )
