"""Requests and responses, as the connection and the routes have them."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import msgspec

from rtx_engine.api.errors import ApiError

# A request without its body, in ASGI's names as far as they are needed: method, path, raw_path, query_string, headers,
# client; and the two below.
Scope = MutableMapping[str, Any]

_JSON = b"application/json"
FIRST_HEADERS = "rtx.headers"  # key of a scope: the first value of each header, by name
CONNECTION = "rtx.connection"  # key of a scope: the connection, while nobody has shown whose it is


class Response(msgspec.Struct, frozen=True):
    """A complete response. `headers` come in addition to content-type and content-length.

    `close`: the connection ends after it.
    """

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    content_type: bytes = _JSON
    close: bool = False


Handler = Callable[
    [Scope, bytes], Awaitable[Response]
]  # of a hot route; the arguments are the request and its whole body


def error_response(error: ApiError) -> Response:
    """The response for `error`."""
    return Response(error.status, error.body(), error.headers)


def header(scope: Scope, name: bytes) -> bytes | None:
    """The value of the first header `name` (lower case); None if there is none."""
    first: Mapping[bytes, bytes] = scope[FIRST_HEADERS]
    return first.get(name)
