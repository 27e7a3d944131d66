"""The order path. Orders that arrive while one batch commits form the next batch.

A batch is one transaction, of two round trips: it reads, and writes in one statement those accounts that are still as
they were read. It waits for nobody. Orders of an account that has moved on, that somebody holds, or that has a repeated
order in the batch head the next one. From the third time on such accounts are tried by themselves, under their locks,
until their orders' deadline. Repeating an attempt is safe: the look-up by client_order_id finds what an earlier one has
committed, and what still runs holds its accounts. So a lost connection, also at COMMIT, needs only another attempt.
"""

import asyncio
import math
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import asyncpg  # type: ignore[import-untyped]  # ships no types
import structlog

from rtx_engine.config import Database
from rtx_engine.domain.events import AccountEvent
from rtx_engine.domain.orders import MarketOrder
from rtx_engine.store.database_errors import CONNECTION_LOST
from rtx_engine.store.errors import OrderError, OrderErrorReason
from rtx_engine.store.fence import FenceWatch
from rtx_engine.store.plan import Placed
from rtx_engine.store.queue import OrderQueue, Pending
from rtx_engine.store.session import Session
from rtx_engine.store.settle import Settlement
from rtx_engine.store.transactions import AttemptFailedError, Quotes, Transactions

MIN_IMMEDIATE_BATCH = 8  # queued orders from which a batch starts before its interval is over
RETRY_PAUSE_SECONDS = 0.02  # at most, after an attempt that failed as a whole
STOP_TIMEOUT_SECONDS = 5.0  # for the queued orders

_NOT_PLACED = "the database did not accept the order; try again with the same client_order_id"
_HELD = "another session holds the account of this order; try again with the same client_order_id"
_UNKNOWN = "the database was lost during the order's COMMIT; try again with the same client_order_id to get its outcome"
_INTERNAL = "the order was not placed because of an internal error; contact support"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """Queue size and timing. The defaults are for production."""

    max_queued: int = 4096  # orders, about one second of work; further ones are answered Overloaded
    # Orders within the interval share a transaction, at the cost of one. 30 ms instead of 15 saves a fifth of a core at
    # 600 requests/s and adds 7 ms to p50 (ADR 0019). MIN_IMMEDIATE_BATCH queued orders end the interval.
    batch_interval_seconds: float = 0.03  # from the start of one batch to the start of the next
    order_timeout_seconds: float = 5.0  # from its submission, all attempts included


PRODUCTION = Limits()


class OrderWriter:
    """Places orders. An acknowledged order is in the database."""

    def __init__(
        self,
        database: Database,
        colour: str,
        fence: FenceWatch,
        source: Quotes,
        publish: Callable[[Sequence[AccountEvent]], None],
        limits: Limits = PRODUCTION,
        revision: str = "",
    ) -> None:
        self._limits = limits
        self._session = Session(database, colour, self._prepare, revision)
        self._transactions = Transactions(self._session, colour, fence, source)
        self._publish = publish
        self._queue = OrderQueue()
        self._wake = asyncio.Event()
        self._batch_ready = asyncio.Event()
        self._stopping = False
        self._batch_callbacks: list[Callable[[int], None]] = []

    def on_batch(self, callback: Callable[[int], None]) -> None:
        """Call `callback` with the size of each batch."""
        self._batch_callbacks.append(callback)

    async def submit(self, order: MarketOrder) -> Placed:
        """Place `order`, or return its earlier execution. Raises OrderError if there is no result."""
        if self._stopping or len(self._queue) >= self._limits.max_queued:
            raise OrderError(OrderErrorReason.OVERLOADED, "too many orders are queued; try again in a second")
        loop = asyncio.get_running_loop()
        pending = Pending(order, loop.create_future(), loop.time() + self._limits.order_timeout_seconds)
        self._queue.append(pending)
        self._wake.set()
        if self._queue.waiting >= MIN_IMMEDIATE_BATCH:
            self._batch_ready.set()
        return await pending.future

    async def run(self) -> None:
        """Write the submitted orders until `stop`. If cancelled, fail the orders that are still queued."""
        clock, began = asyncio.get_running_loop().time, -math.inf
        try:
            with suppress(*CONNECTION_LOST):  # the first batch connects again
                await self._session.open()
            while await self._wait_for_orders():
                if self._queue.waiting:
                    await self._wait_for_batch(until=began + self._limits.batch_interval_seconds)
                began = clock()
                for pending in self._queue.take_expired(began):
                    _expire(pending)
                if contested := self._queue.next_contested(began):
                    await self._begin(contested, contested=True)
                if batch := self._queue.next_batch():
                    await self._begin(batch)
        finally:
            for pending in self._queue.take_all():
                _fail(pending, OrderErrorReason.UNAVAILABLE, _NOT_PLACED)
            await self._session.close()

    def stop(self) -> None:
        """Refuse new orders; `run` returns when the queue is empty."""
        self._stopping = True
        self._wake.set()
        self._batch_ready.set()

    async def _wait_for_orders(self) -> bool:
        """Wait until there are orders to write. False when the writer has stopped."""
        clock = asyncio.get_running_loop().time
        while not self._queue.waiting and clock() < self._queue.contested_at:
            if self._stopping and not len(self._queue):
                return False
            self._wake.clear()
            due = self._queue.contested_at
            with suppress(TimeoutError):
                async with asyncio.timeout_at(None if math.isinf(due) else due):
                    await self._wake.wait()
        return True

    async def _wait_for_batch(self, until: float) -> None:
        """Wait until MIN_IMMEDIATE_BATCH orders are queued, at most until `until` (event loop time)."""
        enough = self._queue.waiting >= MIN_IMMEDIATE_BATCH
        if self._stopping or enough or until <= asyncio.get_running_loop().time():
            return
        self._batch_ready.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._batch_ready.wait()

    async def _begin(self, batch: list[Pending], *, contested: bool = False) -> None:
        for callback in self._batch_callbacks:
            callback(len(batch))
        await self._write(batch, contested=contested)

    async def _write(self, batch: list[Pending], *, contested: bool) -> None:
        """One attempt: complete the orders that it decides, and put back the others."""
        try:
            settlement = await self._transactions.write([pending.order for pending in batch], contested=contested)
        except AttemptFailedError as error:
            await self._try_again(batch, in_doubt=error.at_commit)
        except asyncio.CancelledError:
            for pending in batch:
                _fail(pending, OrderErrorReason.OUTCOME_UNKNOWN, _UNKNOWN)
            raise
        except Exception:
            if len(batch) > 1:  # one bad order must not fail the others: find it
                middle = len(batch) // 2
                await self._write(batch[:middle], contested=contested)
                await self._write(batch[middle:], contested=contested)
                return
            log.exception("order failed", order_id=str(batch[0].order.order_id))
            _fail(batch[0], OrderErrorReason.INTERNAL, _INTERNAL)
        else:
            self._complete(batch, settlement)

    async def _try_again(self, batch: list[Pending], *, in_doubt: bool) -> None:
        """Put back a batch of which the attempt says nothing."""
        for pending in batch:
            pending.in_doubt = pending.in_doubt or in_doubt
        self._queue.put_back(batch, asyncio.get_running_loop().time())
        await asyncio.sleep(random.uniform(0, RETRY_PAUSE_SECONDS))  # noqa: S311  # not for security

    def _complete(self, batch: list[Pending], settlement: Settlement) -> None:
        undecided = []
        for pending, outcome in zip(batch, settlement.outcomes, strict=True):
            if outcome is None:
                pending.attempts += 1
                undecided.append(pending)
            else:
                pending.complete(outcome)
        self._publish(settlement.events)
        if undecided:
            self._queue.put_back(undecided, asyncio.get_running_loop().time())

    async def _prepare(self, connection: "asyncpg.Connection") -> None:
        await self._transactions.prepare(connection)


def _expire(pending: Pending) -> None:
    _fail(pending, OrderErrorReason.UNAVAILABLE, _HELD if pending.attempts else _NOT_PLACED)


def _fail(pending: Pending, reason: OrderErrorReason, message: str) -> None:
    """Fail an order of which no attempt said anything; never as not placed if one may have placed it."""
    if pending.in_doubt:
        reason, message = OrderErrorReason.OUTCOME_UNKNOWN, _UNKNOWN
    pending.complete(OrderError(reason, message))
