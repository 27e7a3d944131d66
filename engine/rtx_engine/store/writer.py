"""One queue, one connection, one batch after the other. Orders that arrive while one commits form the next.

A batch is one transaction, of one round trip: it plans on what it remembers of the accounts, and writes in one
statement those that are still so. It waits for no account. Orders of one that has moved on, that somebody holds, or
that has a repeated order in the batch head the next one. From the third time on such accounts are tried by themselves,
under their locks, until their orders' deadline; and at once after a batch that waited for another lock in vain. If they
wait for it, too, fewer of them are tried at once, until the account is alone that it belongs to.
Repeating an attempt is safe: the look-up by client_order_id finds what an earlier one has committed, and what still
runs holds its accounts. So a lost connection, also at COMMIT, needs only another attempt.
"""

import asyncio
import datetime as dt
import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import asyncpg  # type: ignore[import-untyped]  # ships no types
import structlog

from rtx_engine.domain.events import AccountEvent
from rtx_engine.domain.orders import MarketOrder
from rtx_engine.store.database_errors import CONNECTION_LOST
from rtx_engine.store.errors import OrderError, OrderErrorReason
from rtx_engine.store.pace import MAX_WAIT_SECONDS, Arrivals, Pace
from rtx_engine.store.plan import Key, Outcome, Placed, key_of
from rtx_engine.store.queue import OrderQueue, Pending
from rtx_engine.store.session import Session
from rtx_engine.store.settle import Settlement
from rtx_engine.store.transactions import AttemptFailedError, Transactions

RETRY_PAUSE_SECONDS = 0.02  # at most, after an attempt that failed as a whole
GONE_POLL_SECONDS = 0.01  # to see whether an order whose client has gone is settled
STOP_TIMEOUT_SECONDS = 5.0  # for the queued orders

_NOT_PLACED = "the database did not accept the order; try again with the same client_order_id"
_EXPIRED = "valid_until passed before this request placed the order; look the order up"
_HELD = "another session holds the account of this order; try again with the same client_order_id"
_UNKNOWN = (
    "the order's COMMIT was not confirmed, since the database was lost or no standby confirms; "
    "try again with the same client_order_id to get its outcome"
)
_TOO_MANY = "too many orders of this account wait for their results; try again in a second"
_INTERNAL = "the order was not placed because of an internal error; contact support"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """Queue size and timing. The defaults are for production."""

    max_queued: int = 4096  # orders, about one second of work; further ones are answered Overloaded
    max_of_account: int = 256  # orders that wait for their results, so that one account cannot fill the queue
    order_timeout_seconds: float = 5.0  # from its submission, all attempts included
    transfer_timeout_seconds: float = 3.0  # of a deposit or withdrawal, all attempts included; below a forward's


PRODUCTION = Limits()


class OrderWriter:
    """Places the orders of some accounts. An acknowledged order is in the database."""

    def __init__(
        self,
        session: Session,
        transactions: Transactions,
        publish: Callable[[Sequence[AccountEvent]], None],
        limits: Limits,
        cpu_share: Callable[[], float],
    ) -> None:
        """`cpu_share`: of what the pod may use; from 0.0."""
        self._session = session
        self._transactions = transactions
        self._publish = publish
        self._limits = limits
        self._cpu_share = cpu_share
        self._pace = Pace()
        self._submitted = 0  # orders since the start
        self._arrivals = Arrivals()
        self._enough_orders = 1  # for which the next batch waits
        self._queue = OrderQueue()
        self._pending: dict[Key, list[Pending]] = {}  # an order and its repeats; a later one may expire first
        self._of_account: Counter[int] = Counter()  # orders without a result
        self._wake = asyncio.Event()
        self._enough = asyncio.Event()
        self._stopping = False
        self._ended = False
        self._prepared = False
        self._batch_callbacks: list[Callable[[int], None]] = []
        session.on_connect(self._on_connect)

    def on_batch(self, callback: Callable[[int], None]) -> None:
        """Call `callback` with the size of each batch."""
        self._batch_callbacks.append(callback)

    def place(self, order: MarketOrder) -> "asyncio.Future[Placed]":
        """Place `order`, or find its earlier execution. Raises OrderError at once, or in the future, without a result.

        Whoever cancels the future has no order cancelled.
        """
        if self._ended:
            raise OrderError(OrderErrorReason.UNAVAILABLE, _NOT_PLACED)
        if self._stopping or len(self._queue) >= self._limits.max_queued:
            raise OrderError(OrderErrorReason.OVERLOADED, "too many orders are queued; try again in a second")
        if self._of_account[order.account_id] >= self._limits.max_of_account:
            raise OrderError(OrderErrorReason.TOO_MANY_REQUESTS, _TOO_MANY)
        loop, key = asyncio.get_running_loop(), key_of(order)
        deadline = loop.time() + self._limits.order_timeout_seconds
        pending = Pending(order, loop.create_future(), deadline, loop.time() + _seconds_left(order))
        self._queue.append(pending)
        self._submitted += 1
        self._pending.setdefault(key, []).append(pending)
        self._of_account[order.account_id] += 1
        self._wake.set()
        if self._queue.waiting >= self._enough_orders:
            self._enough.set()
        return pending.future

    async def wait_for(self, key: Key) -> None:
        """Return when no order of this key waits for its result."""
        while of_key := self._pending.get(key):
            pending = of_key[-1]
            if pending.future.done():  # its client has gone, and it goes on
                await asyncio.sleep(GONE_POLL_SECONDS)
            else:
                await asyncio.wait([pending.future])

    async def run(self) -> None:
        """Write the submitted orders until `stop`. If cancelled, fail the orders that are still queued."""
        clock = asyncio.get_running_loop().time
        try:
            while await self._wait_for_work():
                if not self._prepared:
                    await self._prepare()
                await self._wait_for_company()
                self._fail_late(clock())
                if contested := self._queue.next_contested(clock()):
                    await self._begin(contested, contested=True)
                if batch := self._queue.next_batch():
                    began = clock()
                    await self._begin(batch)
                    self._pace = self._pace.after_commit(clock() - began, len(batch))
        finally:
            self._ended = True
            self._fail(self._queue.take_all(), OrderErrorReason.UNAVAILABLE, _NOT_PLACED)

    def stop(self) -> None:
        """Refuse new orders; `run` returns when the queue is empty."""
        self._stopping = True
        self._wake.set()
        self._enough.set()

    async def close(self) -> None:
        """Close the connection, once `run` has ended: what cancels that, again and again, would cut this short."""
        await self._session.close()

    async def _wait_for_work(self) -> bool:
        """Wait until there are orders to write, or a new connection. False when the writer has stopped."""
        clock = asyncio.get_running_loop().time
        while len(self._queue) or not self._stopping:
            due = self._queue.contested_at
            if self._queue.waiting or due <= clock() or not self._prepared:
                return True
            self._wake.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(None if math.isinf(due) else due):
                    await self._wake.wait()
        return False

    async def _prepare(self) -> None:
        """Prepare the connection for orders, opening it if necessary."""
        with suppress(*CONNECTION_LOST, asyncpg.PostgresError):  # opened anew by the next batch, or unprepared
            async with self._session.exclusive() as connection:
                self._prepared = True
                await self._transactions.prepare(connection)

    async def _on_connect(self, _: "asyncpg.Connection") -> None:
        self._prepared = False
        self._wake.set()

    async def _wait_for_company(self) -> None:
        """Wait, if the pace says so, until there are enough orders for a batch."""
        waiting = self._queue.waiting
        self._arrivals = self._arrivals.after(self._submitted, asyncio.get_running_loop().time())
        self._enough_orders = self._pace.enough_orders(self._cpu_share(), waiting, self._arrivals.per_second)
        if self._stopping or not 0 < waiting < self._enough_orders:
            return
        self._enough.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(MAX_WAIT_SECONDS):
                await self._enough.wait()

    async def _begin(self, batch: list[Pending], *, contested: bool = False) -> None:
        await self._write(batch, contested=contested)
        for callback in self._batch_callbacks:  # last: one that fails leaves no order without an answer
            callback(len(batch))

    async def _write(self, batch: list[Pending], *, contested: bool) -> None:
        """One attempt: complete the orders that it decides, and put back the others."""
        try:
            settlement = await self._transactions.write([pending.order for pending in batch], contested=contested)
        except AttemptFailedError as error:
            await self._try_again(batch, error, contested=contested)
        except OrderError as error:
            self._fail(batch, error.reason, str(error))
        except asyncio.CancelledError:
            self._fail(batch, OrderErrorReason.OUTCOME_UNKNOWN, _UNKNOWN)
            raise
        except Exception:
            if len(batch) > 1:  # one bad order must not fail the others: find it
                await self._write_halves(batch, contested=contested)
                return
            log.exception("order failed", order_id=str(batch[0].order.order_id))
            self._fail(batch, OrderErrorReason.INTERNAL, _INTERNAL)
        else:
            self._complete(batch, settlement)
            if contested and any(outcome is not None for outcome in settlement.outcomes):
                self._queue.widen()

    async def _write_halves(self, batch: list[Pending], *, contested: bool) -> None:
        middle = len(batch) // 2
        try:
            await self._write(batch[:middle], contested=contested)
            await self._write(batch[middle:], contested=contested)
        except asyncio.CancelledError:  # of the first half, before the second began
            self._fail(batch[middle:], OrderErrorReason.UNAVAILABLE, _NOT_PLACED)
            raise

    async def _try_again(self, batch: list[Pending], error: AttemptFailedError, *, contested: bool) -> None:
        """Put back a batch of which the attempt says nothing.

        If it waited for a lock, its accounts are contested: under their locks, the one is found that is held.
        """
        for pending in batch:
            pending.in_doubt = pending.in_doubt or error.at_commit
        now = asyncio.get_running_loop().time()
        if contested and error.waited:
            self._queue.put_last(batch, now)
            return
        self._queue.put_back(batch, now, all_contested=error.waited)
        await asyncio.sleep(random.uniform(0, RETRY_PAUSE_SECONDS))  # noqa: S311  # not for security

    def _complete(self, batch: list[Pending], settlement: Settlement) -> None:
        undecided = []
        for pending, outcome in zip(batch, settlement.outcomes, strict=True):
            if outcome is None:
                pending.attempts += 1
                undecided.append(pending)
            else:
                self._finish(pending, outcome)
        self._publish(settlement.events)
        if undecided:
            self._queue.put_back(undecided, asyncio.get_running_loop().time())

    def _fail_late(self, now: float) -> None:
        for pending in self._queue.take_expired(now):
            if pending.valid_until <= now:
                self._fail([pending], OrderErrorReason.EXPIRED, _EXPIRED)
            else:
                self._fail([pending], OrderErrorReason.UNAVAILABLE, _HELD if pending.attempts else _NOT_PLACED)

    def _fail(self, batch: Iterable[Pending], reason: OrderErrorReason, message: str) -> None:
        """Fail orders of which no attempt said anything; never as not placed if one may have placed them."""
        for pending in batch:
            if pending.in_doubt:
                self._finish(pending, OrderError(OrderErrorReason.OUTCOME_UNKNOWN, _UNKNOWN))
            else:
                self._finish(pending, OrderError(reason, message))

    def _finish(self, pending: Pending, outcome: Outcome) -> None:
        key = key_of(pending.order)
        of_key = self._pending[key]
        of_key.remove(pending)
        if not of_key:
            del self._pending[key]
        self._of_account[pending.order.account_id] -= 1
        if not self._of_account[pending.order.account_id]:
            del self._of_account[pending.order.account_id]  # so that the table stays as small as the queue
        pending.complete(outcome)


def _seconds_left(order: MarketOrder) -> float:
    """Of its valid_until, by this pod's clock. The database's decides; by then at the latest it is not tried again."""
    if order.valid_until is None:
        return math.inf
    return (order.valid_until - dt.datetime.now(dt.UTC)).total_seconds()
