"""Turns on the connection for reads, of those that read and of those that write there."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rtx_engine.store.errors import UnavailableError


class ConnectionTurns:
    """One holder at a time. Who writes goes ahead of all that read but one: neither waits for a queue of the other."""

    def __init__(self) -> None:
        self._held = False
        self._reads: deque[asyncio.Future[None]] = deque()
        self._writes: deque[asyncio.Future[None]] = deque()
        self._wrote = False  # the newest holder writes

    async def acquire(self, *, writes: bool) -> None:
        """Wait for the turn; `release` follows."""
        if not self._held:
            self._held, self._wrote = True, writes
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self._writes if writes else self._reads).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it came at the same moment
                self.release()
            raise

    def release(self) -> None:
        """Pass the turn on."""
        first, second = (self._reads, self._writes) if self._wrote else (self._writes, self._reads)
        for waiting in (first, second):
            while waiting:
                turn = waiting.popleft()
                if not turn.done():  # its caller has not given up
                    self._wrote = waiting is self._writes
                    turn.set_result(None)
                    return
        self._held = False


class Turns:
    """Turns of those that write, in the order in which they ask: one of them at a time waits for the connection."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def take(self, deadline: float) -> AsyncIterator[None]:
        """A turn. Raises UnavailableError if it does not come by `deadline`, by the event loop's clock."""
        try:
            async with asyncio.timeout_at(deadline):
                await self._lock.acquire()
        except TimeoutError as error:
            raise UnavailableError("too much is being written; try again in a second") from error
        try:
            yield
        finally:
            self._lock.release()
