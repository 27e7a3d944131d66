"""One HTTP/1.1 connection to a pod of the other colour: one request in flight at a time, each sent once.

httptools instead of aiohttp: during a cutover every request is forwarded, and aiohttp needs several times the CPU
for each (ADR 0018). uvicorn already depends on httptools.
"""

import asyncio
from dataclasses import dataclass
from typing import cast

import httptools

from rtx_engine.api.http import Response

# Hop-by-hop headers, and those that this pod sets itself when it returns the response to the client.
_DROPPED_HEADERS = frozenset(
    {b"connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"date", b"server"}
    | {b"content-length", b"content-type"}
)


class ConnectionBrokenError(Exception):
    """The connection closed, or sent no HTTP, before the response was complete. The message gives the cause."""


@dataclass(frozen=True, slots=True)
class Address:
    """IP address and port."""

    host: str
    port: int


class PeerConnection(asyncio.Protocol):
    """Sends one request at a time and returns its response."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._pending_response: asyncio.Future[Response] | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._content_type = b""
        self._body: list[bytes] = []
        self.reusable = False  # open, and the peer did not announce `connection: close`
        self.idle_since = 0.0  # event loop time; set by the pool

    @classmethod
    async def open(cls, address: Address, timeout_seconds: float) -> "PeerConnection":
        """Raises OSError or TimeoutError if the connection is not open after `timeout_seconds`."""
        async with asyncio.timeout(timeout_seconds):
            _, connection = await asyncio.get_running_loop().create_connection(cls, address.host, address.port)
        return connection

    async def send(self, message: bytes) -> Response:
        """Send a serialised request and return its response. Has no timeout: the caller sets one.

        Raises ConnectionBrokenError. A cancelled call closes the connection: the late response would otherwise be
        taken for that of the next request.
        """
        if self._transport is None or self._transport.is_closing():
            raise ConnectionBrokenError("the connection was closed while idle")
        self._pending_response = asyncio.get_running_loop().create_future()
        self._transport.write(message)
        try:
            return await self._pending_response
        except BaseException:
            self.close()
            raise
        finally:
            self._pending_response = None

    def close(self) -> None:
        self.reusable = False
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.reusable = True

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(f"the response is not HTTP: {error!r}")
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.reusable = False
        self._fail(f"the connection was lost: {exc}" if exc else "the connection was closed before the response")

    # httptools

    def on_message_begin(self) -> None:
        self._headers.clear()
        self._content_type = b""
        self._body.clear()

    def on_header(self, name: bytes, value: bytes) -> None:
        lower = name.lower()
        if lower == b"content-type":
            self._content_type = value
        elif lower not in _DROPPED_HEADERS:
            self._headers.append((lower, value))

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        self.reusable = self.reusable and self._parser.should_keep_alive()
        if self._pending_response is not None and not self._pending_response.done():
            response = Response(
                self._parser.get_status_code(), b"".join(self._body), tuple(self._headers), self._content_type
            )
            self._pending_response.set_result(response)
        else:
            self.reusable = False  # a response without a request: the peer is out of step

    def _fail(self, reason: str) -> None:
        if self._pending_response is not None and not self._pending_response.done():
            self._pending_response.set_exception(ConnectionBrokenError(reason))
