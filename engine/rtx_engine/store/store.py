"""The store: its connections and the services on them."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

import asyncpg  # type: ignore[import-untyped]  # ships no types

from rtx_engine.config import MIN_CONNECTIONS, Database
from rtx_engine.domain.events import AccountEvent
from rtx_engine.store.accounts import Accounts
from rtx_engine.store.errors import UnavailableError
from rtx_engine.store.fence import FenceState, FenceWatch
from rtx_engine.store.lookup import OrderLookup
from rtx_engine.store.reader import Reader
from rtx_engine.store.session import Session
from rtx_engine.store.transactions import Quotes
from rtx_engine.store.writer import PRODUCTION, STOP_TIMEOUT_SECONDS, Limits
from rtx_engine.store.writers import Writers

CANCEL_INTERVAL_SECONDS = 0.5


class Store:
    """`reader` and `accounts` share one connection, and `orders` has the others.

    The fence is heard and read on a writer's: no slow query holds that one up.
    """

    def __init__(
        self,
        database: Database,
        colour: str,
        source: Quotes,
        on_committed: Callable[[Sequence[AccountEvent]], None],
        limits: Limits = PRODUCTION,
        revision: str = "",
        connections: int = MIN_CONNECTIONS,
        owner: str = "",
    ) -> None:
        """`on_committed` gets the events of each committed batch, in order per account. It must not block."""
        self.fence = FenceWatch(colour, revision, owner)
        self.orders = Writers(
            database,
            colour,
            self.fence,
            source,
            on_committed,
            connections - 1,
            limits,
            revision=revision,
            owner=owner,
        )
        self._session = Session(database, colour, revision, owner)
        self.reader = Reader(self._session)
        self.lookup = OrderLookup(self.orders, self.reader)
        self.accounts = Accounts(self._session, self.fence)
        self._writing: list[asyncio.Task[None]] = []
        self._watching: asyncio.Task[None] | None = None
        self._opening: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[FenceState | None] | None = None  # waits for the connection

    async def start(self) -> None:
        """Start in the background; does not wait for the database."""
        self._writing = self.orders.start()
        self._watching = asyncio.create_task(self.fence.run(self.orders.control_session), name="fence watch")
        self._opening = asyncio.create_task(self._open_reader(), name="first connection of the reader")

    @property
    def tasks(self) -> tuple["asyncio.Task[None]", ...]:
        """The tasks that run from `start` to `stop`."""
        return tuple(task for task in (*self._writing, self._watching) if task is not None)

    async def read_fence(self) -> FenceState | None:
        """Read the fence now, which also updates `fence`. None as in FenceWatch.refresh. Raises UnavailableError.

        Callers share a read that still waits for the connection, but not one that has started: it may be too old.
        """
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_fence(), name="fence read")
        return await asyncio.shield(self._reading)

    async def _read_fence(self) -> FenceState | None:
        try:
            async with self.orders.control_session.use() as connection:
                self._reading = None  # later callers need a read that starts later
                return await self.fence.refresh(connection)
        except asyncpg.PostgresError as error:
            raise UnavailableError("cannot read the fence; try again") from error
        finally:
            if self._reading is asyncio.current_task():
                self._reading = None

    async def _open_reader(self) -> None:
        """So that the first read after a cutover finds a connection."""
        with suppress(UnavailableError):
            async with self._session.use():
                pass

    async def stop(self) -> None:
        """Write the queued orders, within STOP_TIMEOUT_SECONDS, and close the connections."""
        self.orders.stop()
        if self._writing:
            await asyncio.wait(self._writing, timeout=STOP_TIMEOUT_SECONDS)
        for task in (*self._writing, self._watching, self._opening, self._reading):
            while task is not None and not task.done():
                task.cancel()
                await asyncio.wait(
                    [task], timeout=CANCEL_INTERVAL_SECONDS
                )  # a client library may swallow a cancellation
        await self._session.close()
