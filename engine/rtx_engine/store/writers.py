"""The order path: which writer places an account's orders. An account is always served by the same one."""

import asyncio
from collections.abc import Callable, Sequence

from rtx_engine.config import Database
from rtx_engine.domain.events import AccountEvent
from rtx_engine.domain.orders import MarketOrder
from rtx_engine.store.cpu import CpuMeter
from rtx_engine.store.dialing import Addresses
from rtx_engine.store.fence import FenceWatch
from rtx_engine.store.plan import Key, Placed
from rtx_engine.store.session import Session
from rtx_engine.store.transactions import Quotes, Transactions
from rtx_engine.store.writer import PRODUCTION, Limits, OrderWriter

# Of a batch. It waits for no account, so only for what nobody should hold: a position, a table. Above the 300 ms for
# which a migration asks for a table, behind which orders queue.
LOCK_TIMEOUT_MS = 500


class Writers:
    """Places orders over several connections: one idles while its commit is flushed or waits for a standby."""

    def __init__(
        self,
        database: Database,
        colour: str,
        fence: FenceWatch,
        source: Quotes,
        publish: Callable[[Sequence[AccountEvent]], None],
        count: int = 1,
        limits: Limits = PRODUCTION,
        *,
        revision: str = "",
        owner: str = "",
        addresses: Addresses | None = None,
    ) -> None:
        """`publish` gets the events of each committed batch, in order per account. It must not block.

        `addresses`: as for Session.
        """
        cpu = CpuMeter()
        self._writers: list[OrderWriter] = []
        for _ in range(count):
            session = Session(database, colour, revision, owner, lock_timeout_ms=LOCK_TIMEOUT_MS, addresses=addresses)
            transactions = Transactions(session, colour, fence, source)
            self._writers.append(OrderWriter(session, transactions, publish, limits, cpu.share))

    def on_batch(self, callback: Callable[[int], None]) -> None:
        """Call `callback` with the size of each batch."""
        for writer in self._writers:
            writer.on_batch(callback)

    async def submit(self, order: MarketOrder) -> Placed:
        """Place `order`, or return its earlier execution. Raises OrderError if there is no result."""
        return await self.place(order)

    def place(self, order: MarketOrder) -> "asyncio.Future[Placed]":
        """As `submit`, for a caller that needs no task to wait; it may also raise OrderError at once."""
        return self._writer(order.account_id).place(order)

    async def wait_for(self, key: Key) -> None:
        """Return when no order of this key waits for its result in this pod."""
        await self._writer(key[0]).wait_for(key)

    def start(self) -> list["asyncio.Task[None]"]:
        """Start a task for each writer, which ends after `stop` when its queue is empty."""
        return [
            asyncio.create_task(writer.run(), name=f"order writer {number}")
            for number, writer in enumerate(self._writers)
        ]

    def stop(self) -> None:
        """Refuse new orders, and write those that are queued."""
        for writer in self._writers:
            writer.stop()

    async def close(self) -> None:
        """Close the connections, once the tasks have ended."""
        await asyncio.gather(*(writer.close() for writer in self._writers))

    def _writer(self, account_id: int) -> OrderWriter:
        return self._writers[account_id % len(self._writers)]
