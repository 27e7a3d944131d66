"""Both ends of a connection for tests: a transport that records what is written, and an application."""

import asyncio
from collections.abc import Awaitable, Callable

from rtx_engine.api.exchange import Exchange
from rtx_engine.api.http import Response, Scope


class Responding:
    """An application that answers what `respond` returns."""

    def __init__(self, respond: Callable[[Scope, bytes | None], Awaitable[Response]]) -> None:
        self._respond = respond

    def begin(self, exchange: Exchange) -> None:
        exchange.respond(self._respond(exchange.scope, exchange.body))


class RecordedTransport(asyncio.Transport):
    """Writes at once, as a socket does that is read. What it is told to do has happened when the call returns."""

    def __init__(self, peer: tuple[str, int] = ("192.0.2.1", 4000)) -> None:
        super().__init__({"peername": peer})
        self.written: list[bytes] = []
        self.closed = False
        self.ended = False  # our side
        self.aborted = False
        self.reading = True
        self.unsent = 0

    def write(self, data):
        assert not self.ended, "written after the end"
        self.written.append(bytes(data))

    def write_eof(self):
        self.ended = True

    def close(self):
        self.closed = True

    def abort(self):
        self.closed = self.aborted = True

    def is_closing(self):
        return self.closed

    def pause_reading(self):
        self.reading = False

    def resume_reading(self):
        self.reading = True

    def get_write_buffer_size(self):
        return self.unsent

    @property
    def answers(self) -> bytes:
        return b"".join(self.written)
