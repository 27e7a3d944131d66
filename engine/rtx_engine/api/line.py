"""One connection to a pod of the other colour: HTTP/1.1, one request under way at a time, each sent once.

Why not aiohttp: at a switch every request goes through here, and two colours have the CPU of one. On httptools, which
uvicorn brings, a request costs a fraction of what it costs there (ADR 0018).
"""

import asyncio
from dataclasses import dataclass
from typing import cast

import httptools

from rtx_engine.api.http import Answer

# Of the connection and not of the answer, or made anew by whoever sends the answer on.
_NOT_HANDED_ON = frozenset(
    {b"connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"date", b"server"}
    | {b"content-length", b"content-type"}
)


class BrokenLineError(Exception):
    """The connection ended, or what came over it is no HTTP, before the answer was whole. The message says how."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where to connect: an IP address and a port."""

    host: str
    port: int


class Line(asyncio.Protocol):
    """Asks, and hands back the answer. Whoever holds it asks one thing at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[Answer] | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._content_type = b""
        self._body: list[bytes] = []
        self.usable = False  # open, and the other side said nothing of closing
        self.idle_since = 0.0  # by the loop's clock; kept by whoever keeps the line

    @classmethod
    async def open(cls, address: Address, deadline: float) -> "Line":
        """Raises OSError or TimeoutError when there is no connection within `deadline` seconds."""
        async with asyncio.timeout(deadline):
            _, line = await asyncio.get_running_loop().create_connection(cls, address.host, address.port)
        return line

    async def ask(self, message: bytes) -> Answer:
        """Send the bytes of a request and wait for its answer, without a deadline of its own.

        Raises BrokenLineError. A wait that is cut short ends the connection: a late answer would be the next one's.
        """
        if self._transport is None or self._transport.is_closing():
            raise BrokenLineError("the connection was closed while idle")
        self._waiter = asyncio.get_running_loop().create_future()
        self._transport.write(message)
        try:
            return await self._waiter
        except BaseException:
            self.close()
            raise
        finally:
            self._waiter = None

    def close(self) -> None:
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.usable = True

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._break(f"what came is not HTTP: {error!r}")
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.usable = False
        self._break(f"the connection was lost: {exc}" if exc else "the connection was closed before the answer")

    # httptools

    def on_message_begin(self) -> None:
        self._headers.clear()
        self._content_type = b""
        self._body.clear()

    def on_header(self, name: bytes, value: bytes) -> None:
        lower = name.lower()
        if lower == b"content-type":
            self._content_type = value
        elif lower not in _NOT_HANDED_ON:
            self._headers.append((lower, value))

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        self.usable = self.usable and self._parser.should_keep_alive()
        if self._waiter is not None and not self._waiter.done():
            answer = Answer(
                self._parser.get_status_code(), b"".join(self._body), tuple(self._headers), self._content_type
            )
            self._waiter.set_result(answer)
        else:
            self.usable = False  # an answer to nothing: whoever is there has lost count

    def _break(self, why: str) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(BrokenLineError(why))
