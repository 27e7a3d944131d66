"""Turns on the connection for reads, and of those that write there: one of these at a time waits for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Generic

from rtx_engine.store.errors import UnavailableError
from rtx_engine.store.rotation import Owner, Rotation


class Turns(Generic[Owner]):
    """One holder at a time.

    Who goes ahead does so of all the others but one: neither waits for a queue of the other. Among either, turns go
    round the owners: however often one of them asks, another one waits for one turn of each.
    """

    def __init__(self) -> None:
        self._held = False
        self._ahead = Rotation[Owner, asyncio.Future[None]]()
        self._others = Rotation[Owner, asyncio.Future[None]]()
        self._went_ahead = False  # the newest holder

    @asynccontextmanager
    async def take(self, owner: Owner, deadline: float, *, ahead: bool = False) -> AsyncIterator[None]:
        """A turn. Raises UnavailableError if it does not come by `deadline`, by the event loop's clock."""
        try:
            async with asyncio.timeout_at(deadline):
                await self.acquire(owner, ahead=ahead)
        except TimeoutError as error:
            raise UnavailableError("too much is being written; try again in a second") from error
        try:
            yield
        finally:
            self.release()

    async def acquire(self, owner: Owner, *, ahead: bool) -> None:
        """Wait for the turn, as long as the caller does; `release` follows."""
        if not self._held:
            self._held, self._went_ahead = True, ahead
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._ahead if ahead else self._others
        waiting.add(owner, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it came at the same moment
                self.release()
            else:
                waiting.discard(owner, turn)
            raise

    def release(self) -> None:
        """Pass the turn on."""
        first, second = (self._others, self._ahead) if self._went_ahead else (self._ahead, self._others)
        for waiting in (first, second):
            while waiting:
                turn = waiting.take()
                if not turn.done():  # its caller has not given up
                    self._went_ahead = waiting is self._ahead
                    turn.set_result(None)
                    return
        self._held = False
