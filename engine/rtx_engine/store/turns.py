"""Turns of those that write on the connection for reads: one at a time is in its queue."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rtx_engine.store.errors import UnavailableError


class Turns:
    """In the order in which they are asked for."""

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
