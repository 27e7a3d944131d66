"""The store: its connections and the services on them."""

import asyncio
from collections.abc import Callable, Sequence

import asyncpg  # type: ignore[import-untyped]  # ships no types

from rtx_engine.config import MIN_CONNECTIONS, Database
from rtx_engine.domain.events import AccountEvent
from rtx_engine.store.accounts import Accounts
from rtx_engine.store.dialing import Addresses
from rtx_engine.store.errors import UnavailableError
from rtx_engine.store.fence import FenceState, FenceWatch
from rtx_engine.store.fenced_writes import FencedWrites
from rtx_engine.store.journal import Journal
from rtx_engine.store.lookup import OrderLookup
from rtx_engine.store.partitions import Partitions
from rtx_engine.store.read_admission import PRODUCTION as READ_LIMITS
from rtx_engine.store.read_admission import ReadLimits
from rtx_engine.store.reader import Reader
from rtx_engine.store.reads import Reads
from rtx_engine.store.session import Session
from rtx_engine.store.token_rules import TokenRulesWatch
from rtx_engine.store.transactions import Quotes
from rtx_engine.store.users import Users
from rtx_engine.store.writer import PRODUCTION, STOP_TIMEOUT_SECONDS, Limits
from rtx_engine.store.writers import Writers

CANCEL_INTERVAL_SECONDS = 0.5


class Store:
    """Of its `connections` one is for all that is no order, the others are for `orders`. One more is for the fence.

    So neither reads nor orders, however slow or many, delay what the pod knows of the fence.
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
        read_limits: ReadLimits = READ_LIMITS,
        *,
        owner: str = "",
    ) -> None:
        """`on_committed` gets the events of each commit, in order per account and connection. It must not block."""
        addresses = Addresses()
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
            addresses=addresses,
        )
        self._fence_session = Session(database, colour, revision, owner, addresses=addresses)
        self._fence_session.on_connect(self.fence.listen)
        self._read_session = Session(database, colour, revision, owner, addresses=addresses)
        self._reads = Reads(self._read_session, read_limits)
        self.reader = Reader(self._reads)
        self.lookup = OrderLookup(self.orders, self.reader)
        writes = FencedWrites(self._reads, self.fence)
        self.accounts = Accounts(writes)
        self.users = Users(self._reads, writes)
        self.token_rules = TokenRulesWatch(self._reads)
        self.journal = Journal(self._reads, colour, self.fence, source, on_committed, limits.transfer_timeout_seconds)
        self._partitions = Partitions(self._reads)
        self.fence.on_restore(self._partitions.want)
        self._writing: list[asyncio.Task[None]] = []
        self._upkeep: list[asyncio.Task[None]] = []
        self._reading: asyncio.Task[FenceState | None] | None = None  # waits for the connection

    async def start(self) -> None:
        """Start in the background; does not wait for the database."""
        self._writing = self.orders.start()
        self._upkeep = [
            asyncio.create_task(self.fence.run(self._fence_session), name="fence watch"),
            # Its first read opens the reader's connection, so that the first request after a cutover finds one.
            asyncio.create_task(self.token_rules.run(), name="token rules"),
            asyncio.create_task(self._partitions.run(), name="partition maker"),
        ]

    @property
    def tasks(self) -> tuple["asyncio.Task[None]", ...]:
        """The tasks that run from `start` to `stop`."""
        return (*self._writing, *self._upkeep)

    async def read_fence(self) -> FenceState | None:
        """Read the fence now, which also updates `fence`. None as in FenceWatch.refresh. Raises UnavailableError.

        Callers share a read that still waits for the connection, but not one that has started: it may be too old.
        """
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_fence(), name="fence read")
        return await asyncio.shield(self._reading)

    async def _read_fence(self) -> FenceState | None:
        try:
            async with self._fence_session.use() as connection:
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
        if self._writing:
            await asyncio.wait(self._writing, timeout=STOP_TIMEOUT_SECONDS)
        for task in (*self._writing, *self._upkeep, self._reading):
            while task is not None and not task.done():
                task.cancel()
                await asyncio.wait(
                    [task], timeout=CANCEL_INTERVAL_SECONDS
                )  # a client library may swallow a cancellation
        await asyncio.gather(self.orders.close(), self._read_session.close(), self._fence_session.close())
