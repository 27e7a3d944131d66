"""Turns on the connection for reads, of those that read and of those that write there."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Generic

from rtx_engine.store.errors import UnavailableError
from rtx_engine.store.rotation import Owner, Rotation


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


class Turns(Generic[Owner]):
    """Turns of those that write: one of them at a time waits for the connection.

    They go round the owners, so that however often one of them asks, another one waits for one turn of each. What is
    urgent goes ahead of all the others but one: neither waits for a queue of the other.
    """

    def __init__(self) -> None:
        self._held = False
        self._urgent = Rotation[Owner, asyncio.Future[None]]()
        self._others = Rotation[Owner, asyncio.Future[None]]()
        self._was_urgent = False  # the newest turn

    @asynccontextmanager
    async def take(self, owner: Owner, deadline: float, *, urgent: bool = False) -> AsyncIterator[None]:
        """A turn. Raises UnavailableError if it does not come by `deadline`, by the event loop's clock."""
        try:
            async with asyncio.timeout_at(deadline):
                await self._acquire(owner, urgent=urgent)
        except TimeoutError as error:
            raise UnavailableError("too much is being written; try again in a second") from error
        try:
            yield
        finally:
            self._release()

    async def _acquire(self, owner: Owner, *, urgent: bool) -> None:
        if not self._held:
            self._held, self._was_urgent = True, urgent
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._urgent if urgent else self._others
        waiting.add(owner, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it came at the same moment
                self._release()
            else:
                waiting.discard(owner, turn)
            raise

    def _release(self) -> None:
        first, second = (self._others, self._urgent) if self._was_urgent else (self._urgent, self._others)
        for waiting in (first, second):
            while waiting:
                turn = waiting.take()
                if not turn.done():  # its caller has not given up
                    self._was_urgent = waiting is self._urgent
                    turn.set_result(None)
                    return
        self._held = False
