"""The store as the server holds it: two connections and what lives on them."""

import asyncio
from collections.abc import Callable, Sequence

from rtx_engine.config import Database
from rtx_engine.domain.events import AccountEvent
from rtx_engine.store.accounts import Accounts
from rtx_engine.store.fence import FenceWatch
from rtx_engine.store.reader import Reader
from rtx_engine.store.session import Session
from rtx_engine.store.writer import STOP_DEADLINE, OrderWriter, Quotes

CANCEL_INTERVAL = 0.5  # seconds


class Store:
    """`orders` has one connection for itself; `reader`, `accounts` and `fence` share the other."""

    def __init__(
        self, database: Database, colour: str, source: Quotes, on_committed: Callable[[Sequence[AccountEvent]], None]
    ) -> None:
        """`on_committed` gets the events of each batch after its COMMIT, in order per account. It must not block."""
        self.fence = FenceWatch(colour)
        self.orders = OrderWriter(database, colour, self.fence, source, on_committed)
        self._session = Session(database, colour, self.fence.listen)
        self.reader = Reader(self._session)
        self.accounts = Accounts(self._session, self.fence)
        self._writing: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin; never waits for the database."""
        self._writing = asyncio.create_task(self.orders.run(), name="order writer")
        self._watching = asyncio.create_task(self.fence.run(self._session), name="fence watch")

    async def stop(self) -> None:
        """Settle what is queued, within STOP_DEADLINE seconds, and close the connections."""
        self.orders.stop()
        if self._writing is not None:
            await asyncio.wait([self._writing], timeout=STOP_DEADLINE)
        for task in (self._writing, self._watching):
            while task is not None and not task.done():
                task.cancel()
                await asyncio.wait([task], timeout=CANCEL_INTERVAL)  # a client library may swallow a cancellation
        await self._session.close()
