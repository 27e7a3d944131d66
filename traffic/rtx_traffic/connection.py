"""An HTTP/1.1 client that sends each request once.

Not aiohttp: it retries a GET on a closed keep-alive connection, which hides the failures that are counted here. The
parser is httptools, so that the load generator uses little CPU beside the engine.
"""

import asyncio
from dataclasses import dataclass
from typing import cast

import httptools

from .ledger import Failure

VERSION_HEADER = "x-rtx-version"
CONNECT_DEADLINE_SECONDS = 3.0
RESPONSE_DEADLINE_SECONDS = 10.0
_VERSION_HEADER = VERSION_HEADER.encode()


class RequestError(Exception):
    """The request has no valid response; `failure` is the reason."""

    def __init__(self, failure: Failure, detail: str = "") -> None:
        super().__init__(f"{failure}: {detail}" if detail else str(failure))
        self.failure = failure
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes
    keep_alive: bool
    version: str = ""  # of the responding build; empty when the response lacks it


@dataclass(frozen=True, slots=True)
class Target:
    """The engine's address, resolved once: a Service's address is stable, and DNS is not under test."""

    host: str
    address: str
    port: int

    def message(self, method: str, path: str, *, token: str | None = None, body: bytes = b"") -> bytes:
        """The bytes of a request."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}"]
        if token:
            lines.append(f"Authorization: Bearer {token}")
        if method == "POST":
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


class Connection(asyncio.Protocol):
    """One connection with at most one request in flight."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[Response] | None = None
        self._body: list[bytes] = []
        self._version = b""
        self.usable = False  # open, and the server has not announced its end

    @classmethod
    async def open(cls, target: Target) -> "Connection":
        """Connect. Raises RequestError on failure and after CONNECT_DEADLINE_SECONDS."""
        try:
            async with asyncio.timeout(CONNECT_DEADLINE_SECONDS):
                _, connection = await asyncio.get_running_loop().create_connection(cls, target.address, target.port)
        except TimeoutError:
            raise RequestError(Failure.CONNECT_TIMEOUT) from None
        except OSError as error:
            raise RequestError(Failure.REFUSED, error.strerror or str(error)) from error
        return connection

    async def send(self, message: bytes) -> Response:
        """Send `message`; returns the response. Raises RequestError, also after RESPONSE_DEADLINE_SECONDS."""
        if self._transport is None or self._transport.is_closing():
            raise RequestError(Failure.CLOSED, "the connection was closed while idle")
        self._waiter = asyncio.get_running_loop().create_future()
        self._transport.write(message)
        try:
            async with asyncio.timeout(RESPONSE_DEADLINE_SECONDS):
                return await self._waiter
        except TimeoutError:
            raise RequestError(Failure.ANSWER_TIMEOUT) from None
        finally:
            # Also after a time-out or cancellation: a late response must not be read as that of the next request.
            if not self._waiter.done() or self._waiter.cancelled() or self._waiter.exception():
                self.close()
            self._waiter = None

    def close(self) -> None:
        self.usable = False
        if self._transport:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.usable = True

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(Failure.MALFORMED, str(error))
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.usable = False
        if exc is None:
            self._fail(Failure.CLOSED, "")
        else:
            self._fail(Failure.RESET, str(exc))

    # httptools

    def on_message_begin(self) -> None:
        self._body.clear()
        self._version = b""

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == _VERSION_HEADER:
            self._version = value

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        keep_alive = self._parser.should_keep_alive()
        self.usable = self.usable and keep_alive
        if self._waiter and not self._waiter.done():
            status, version = self._parser.get_status_code(), self._version.decode(errors="replace")
            self._waiter.set_result(Response(status, b"".join(self._body), keep_alive, version))

    def _fail(self, failure: Failure, detail: str) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_exception(RequestError(failure, detail))
