"""The store: two connections and the services on them."""

import asyncio
from collections.abc import Callable, Sequence

import asyncpg  # type: ignore[import-untyped]  # ships no types

from rtx_engine.config import Database
from rtx_engine.domain.events import AccountEvent
from rtx_engine.store.accounts import Accounts
from rtx_engine.store.errors import UnavailableError
from rtx_engine.store.fence import FenceState, FenceWatch
from rtx_engine.store.reader import Reader
from rtx_engine.store.session import Session
from rtx_engine.store.transactions import Quotes
from rtx_engine.store.writer import PRODUCTION, STOP_TIMEOUT_SECONDS, Limits, OrderWriter

CANCEL_INTERVAL_SECONDS = 0.5


class Store:
    """`orders` has a connection of its own; `reader`, `accounts` and `fence` share the other one."""

    def __init__(
        self,
        database: Database,
        colour: str,
        source: Quotes,
        on_committed: Callable[[Sequence[AccountEvent]], None],
        limits: Limits = PRODUCTION,
        revision: str = "",
    ) -> None:
        """`on_committed` gets the events of each committed batch, in order per account. It must not block."""
        self.fence = FenceWatch(colour, revision)
        self.orders = OrderWriter(database, colour, self.fence, source, on_committed, limits, revision)
        self._session = Session(database, colour, self.fence.listen, revision)
        self.reader = Reader(self._session)
        self.accounts = Accounts(self._session, self.fence)
        self._writing: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[FenceState | None] | None = None  # waits for the connection

    async def start(self) -> None:
        """Start in the background; does not wait for the database."""
        self._writing = asyncio.create_task(self.orders.run(), name="order writer")
        self._watching = asyncio.create_task(self.fence.run(self._session), name="fence watch")

    async def read_fence(self) -> FenceState | None:
        """Read the fence now, which also updates `fence`. None as in FenceWatch.refresh. Raises UnavailableError.

        Callers share a read that still waits for the connection, but not one that has started: it may be too old.
        """
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_fence(), name="fence read")
        return await asyncio.shield(self._reading)

    async def _read_fence(self) -> FenceState | None:
        try:
            async with self._session.use() as connection:
                self._reading = None  # later callers need a read that starts later
                return await self.fence.refresh(connection)
        except asyncpg.PostgresError as error:
            raise UnavailableError("cannot read the fence; try again") from error
        finally:
            if self._reading is asyncio.current_task():
                self._reading = None

    async def stop(self) -> None:
        """Write the queued orders, within STOP_TIMEOUT_SECONDS, and close the connections."""
        self.orders.stop()
        if self._writing is not None:
            await asyncio.wait([self._writing], timeout=STOP_TIMEOUT_SECONDS)
        for task in (self._writing, self._watching, self._reading):
            while task is not None and not task.done():
                task.cancel()
                await asyncio.wait(
                    [task], timeout=CANCEL_INTERVAL_SECONDS
                )  # a client library may swallow a cancellation
        await self._session.close()
