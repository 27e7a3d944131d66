"""The order path. Orders that arrive while one batch commits form the next batch.

A batch is one transaction. The first attempt reads without locks and then writes in one statement, only if nothing has
changed since. That takes two round trips, for a batch of new orders on accounts that no other pod trades on.
Every further attempt locks the account rows before it reads. Repeating it is safe: the locks wait for the previous
attempt, and the look-up by client_order_id finds what that attempt committed. So a lost connection, also at COMMIT,
needs only another attempt.
"""

import asyncio
import datetime as dt
import math
import random
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import asyncpg  # type: ignore[import-untyped]  # ships no types
import structlog

from rtx_engine.config import Database
from rtx_engine.domain.events import AccountEvent, order_event
from rtx_engine.domain.execution import Executor
from rtx_engine.domain.orders import MarketOrder
from rtx_engine.domain.pricing import Quote
from rtx_engine.store import statements
from rtx_engine.store.batch import BatchInput, BatchResult, Placed, batch_input, execute_batch, replay, write_arguments
from rtx_engine.store.errors import CONNECTION_LOST, CONTENTION, OrderError, OrderErrorReason, is_fenced
from rtx_engine.store.fence import FenceWatch
from rtx_engine.store.session import Session

MAX_BATCH_ORDERS = 512  # larger batches would only delay their first orders
MIN_IMMEDIATE_BATCH = 8  # queued orders from which a batch starts before its interval is over
STOP_TIMEOUT_SECONDS = 5.0  # for the queued orders

_NOT_PLACED = "the database did not accept the order; try again with the same client_order_id"
_UNKNOWN = "the database was lost during the order's COMMIT; try again with the same client_order_id to get its outcome"
_FENCED = "another colour executes orders now; try again with the same client_order_id"
_SYNC_CANCELLED = "canceling wait for synchronous replication"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """Queue size and timing. The defaults are for production."""

    max_queued: int = 4096  # orders, about one second of work; further ones are answered Overloaded
    # Orders within the interval share a transaction, at the cost of one. 30 ms instead of 15 saves a fifth of a core at
    # 600 requests/s and adds 7 ms to p50 (ADR 0019). MIN_IMMEDIATE_BATCH queued orders end the interval.
    batch_interval_seconds: float = 0.03  # from the start of one batch to the start of the next
    batch_timeout_seconds: float = 5.0  # all attempts included


PRODUCTION = Limits()


class Quotes(Protocol):
    """A source of prices."""

    def quotes(self) -> Mapping[str, Quote]:
        """The newest quote of each symbol. Never blocks."""
        ...


@dataclass(frozen=True, slots=True)
class _Pending:
    order: MarketOrder
    future: "asyncio.Future[Placed]"

    def complete(self, outcome: Placed | OrderError) -> None:
        if self.future.done():
            return  # the caller was cancelled
        if isinstance(outcome, Placed):
            self.future.set_result(outcome)
        else:
            self.future.set_exception(outcome)


class _RetryError(Exception):
    """The attempt must be repeated. `at_commit`: it may have been committed."""

    def __init__(self, *, at_commit: bool) -> None:
        super().__init__()
        self.at_commit = at_commit


@dataclass(frozen=True, slots=True)
class _BatchOutcome:
    outcomes: Sequence[Placed | OrderError]
    events: Sequence[AccountEvent] = ()


_Write = Callable[["asyncpg.Connection", list[MarketOrder], Executor], Awaitable[_BatchOutcome | None]]


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
        self._session = Session(database, colour, self._on_connect, revision)
        self._fence = fence
        self._colour = colour
        self._source = source
        self._publish = publish
        self._queue: deque[_Pending] = deque()
        self._not_empty = asyncio.Event()
        self._batch_ready = asyncio.Event()
        self._stopping = False
        self._ended = False
        self._replication_in_doubt = False
        self._batch_callbacks: list[Callable[[int], None]] = []

    def on_batch(self, callback: Callable[[int], None]) -> None:
        """Call `callback` with the size of each batch."""
        self._batch_callbacks.append(callback)

    async def submit(self, order: MarketOrder) -> Placed:
        """Place `order`, or return its earlier execution. Raises OrderError if there is no result."""
        if self._ended:
            raise OrderError(OrderErrorReason.UNAVAILABLE, _NOT_PLACED)
        if self._stopping or len(self._queue) >= self._limits.max_queued:
            raise OrderError(OrderErrorReason.OVERLOADED, "too many orders are queued; try again in a second")
        pending = _Pending(order, asyncio.get_running_loop().create_future())
        self._queue.append(pending)
        self._not_empty.set()
        if len(self._queue) >= MIN_IMMEDIATE_BATCH:
            self._batch_ready.set()
        return await pending.future

    async def run(self) -> None:
        """Write the submitted orders until `stop`. If cancelled, fail the orders that are still queued."""
        clock, began = asyncio.get_running_loop().time, -math.inf
        try:
            with suppress(*CONNECTION_LOST):  # the first batch connects again
                await self._session.open()
            while not (self._stopping and not self._queue):
                if not self._queue:
                    self._not_empty.clear()
                    await self._not_empty.wait()
                    continue
                await self._wait_for_batch(until=began + self._limits.batch_interval_seconds)
                began = clock()
                batch = [self._queue.popleft() for _ in range(min(len(self._queue), MAX_BATCH_ORDERS))]
                await self._complete_batch(batch, began + self._limits.batch_timeout_seconds)
                for callback in self._batch_callbacks:  # last: one that fails leaves no order without an answer
                    callback(len(batch))
        finally:
            self._ended = True
            for pending in self._queue:
                pending.complete(OrderError(OrderErrorReason.UNAVAILABLE, _NOT_PLACED))
            await self._session.close()

    def stop(self) -> None:
        """Refuse new orders; `run` returns when the queue is empty."""
        self._stopping = True
        self._not_empty.set()
        self._batch_ready.set()

    async def _wait_for_batch(self, until: float) -> None:
        """Wait until MIN_IMMEDIATE_BATCH orders are queued, at most until `until` (event loop time)."""
        if self._stopping or len(self._queue) >= MIN_IMMEDIATE_BATCH or until <= asyncio.get_running_loop().time():
            return
        self._batch_ready.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._batch_ready.wait()

    async def _complete_batch(self, batch: list[_Pending], deadline: float) -> None:
        """Complete every order of `batch`, with a result or an error."""
        try:
            written = await self._write_batch([pending.order for pending in batch], deadline)
        except asyncio.CancelledError:
            _fail_all(batch, OrderErrorReason.OUTCOME_UNKNOWN, _UNKNOWN)
            raise
        except OrderError as error:
            _fail_all(batch, error.reason, str(error))
        except Exception:
            if len(batch) > 1:  # one bad order must not fail the others: write them one by one
                for pending in batch:
                    await self._complete_batch([pending], deadline)
                return
            log.exception("order failed", order_id=str(batch[0].order.order_id))
            _fail_all(
                batch,
                OrderErrorReason.INTERNAL,
                "the order was not placed because of an internal error; contact support",
            )
        else:
            for pending, outcome in zip(batch, written.outcomes, strict=True):
                pending.complete(outcome)
            self._publish(written.events)

    async def _write_batch(self, orders: list[MarketOrder], deadline: float) -> _BatchOutcome:
        """Attempt a batch until it is written or refused. Raises OrderError for the whole batch at `deadline`."""
        may_be_committed = False
        write = self._write_unlocked
        while asyncio.get_running_loop().time() < deadline:
            try:
                outcome = await self._attempt(orders, write)
                if outcome is not None:
                    return outcome
            except _RetryError as error:
                may_be_committed = may_be_committed or error.at_commit
            except CONTENTION:
                await asyncio.sleep(random.uniform(0, 0.02))  # noqa: S311  # not for security
            write = self._write_locked
        if may_be_committed:
            raise OrderError(OrderErrorReason.OUTCOME_UNKNOWN, _UNKNOWN)
        raise OrderError(OrderErrorReason.UNAVAILABLE, _NOT_PLACED)

    async def _attempt(self, orders: list[MarketOrder], write: _Write) -> _BatchOutcome | None:
        """One transaction, by `write`. None if it wrote nothing.

        Raises _RetryError if it must be repeated; after other errors it is rolled back.
        """
        try:
            connection = await self._session.open()
            state = self._fence.state or await self._fence.refresh(connection)
            if state is None:
                return _BatchOutcome([OrderError(OrderErrorReason.FENCED, _FENCED) for _ in orders])
            await self._session.set_epoch(connection, state.epoch)
            try:
                result = await write(connection, orders, Executor(self._colour, state.epoch))
            except asyncpg.PostgresError as error:
                if connection.is_in_transaction():
                    await connection.execute("ROLLBACK")
                if not is_fenced(error):
                    raise
                return await self._outcome_when_fenced(connection, orders)
            except BaseException:  # a bug or a cancellation: the state of the session is unknown
                self._session.drop()
                raise
        except CONNECTION_LOST as error:
            self._session.drop()
            raise _RetryError(at_commit=False) from error
        return result

    async def _write_unlocked(
        self, connection: "asyncpg.Connection", orders: list[MarketOrder], executor: Executor
    ) -> _BatchOutcome | None:
        """The attempt without locks. None if an order exists already or an account has changed since the read."""
        portfolios = await connection.fetch(statements.PORTFOLIOS, _accounts_of(orders))
        result = self._execute(orders, batch_input(portfolios), executor)
        if result.executions:
            answer = await self._commit(connection, statements.WRITE, *write_arguments(result))
            if answer == statements.NOTHING_WRITTEN:
                return None
        return _BatchOutcome(result.outcomes, result.events)

    async def _write_locked(
        self, connection: "asyncpg.Connection", orders: list[MarketOrder], executor: Executor
    ) -> _BatchOutcome:
        account_ids = _accounts_of(orders)
        await connection.execute(statements.BEGIN)
        await connection.execute(statements.LOCK, account_ids)
        portfolios = await connection.fetch(statements.PORTFOLIOS, account_ids)
        placed = await self._placed(connection, orders)
        result = self._execute(orders, batch_input(portfolios, placed), executor)
        if result.executions:
            answer = await connection.execute(statements.WRITE, *write_arguments(result))
            if answer == statements.NOTHING_WRITTEN:
                raise RuntimeError(
                    "an account changed although its row was locked"
                )  # never acknowledge an unwritten order
        await self._commit(connection, "COMMIT")
        return _BatchOutcome(result.outcomes, [*result.recovered, *result.events])

    def _execute(self, orders: list[MarketOrder], found: BatchInput, executor: Executor) -> BatchResult:
        return execute_batch(orders, found, self._source.quotes(), executor, dt.datetime.now(dt.UTC))

    async def _commit(self, connection: "asyncpg.Connection", statement: str, *arguments: object) -> str:
        """Run the statement that ends the transaction. Returns PostgreSQL's command tag, such as "UPDATE 0"."""
        self._replication_in_doubt = False
        try:
            answer: str = await connection.execute(statement, *arguments)
        except asyncpg.QueryCanceledError:
            raise  # a statement timeout, so nothing is committed
        except CONNECTION_LOST as error:
            self._session.drop()
            raise _RetryError(at_commit=True) from error
        if self._replication_in_doubt:
            raise _RetryError(at_commit=True)  # the next attempt's COMMIT waits for the standby again
        return answer

    async def _outcome_when_fenced(self, connection: "asyncpg.Connection", orders: list[MarketOrder]) -> _BatchOutcome:
        """The outcome after the fence has moved: orders found in the database, Fenced for the others.

        Raises _RetryError if the fence still names this colour. A move waits for all transactions of the previous
        epoch, so an order not found now was not placed.
        """
        await self._fence.refresh(connection)
        if self._fence.executing:
            raise _RetryError(at_commit=False)
        rows = await self._placed(connection, orders)
        found = batch_input((), rows).executions
        outcomes: list[Placed | OrderError] = []
        for order in orders:
            before = found.get((order.account_id, order.client_order_id))
            fenced = OrderError(OrderErrorReason.FENCED, _FENCED)
            outcomes.append(fenced if before is None else replay(order, before))
        ours = {order.order_id for order in orders}
        return _BatchOutcome(outcomes, [order_event(e) for e in found.values() if e.order.order_id in ours])

    async def _placed(self, connection: "asyncpg.Connection", orders: list[MarketOrder]) -> list["asyncpg.Record"]:
        accounts, ids = [order.account_id for order in orders], [order.client_order_id for order in orders]
        rows: list[asyncpg.Record] = await connection.fetch(statements.PLACED, accounts, ids)
        return rows

    async def _on_connect(self, connection: "asyncpg.Connection") -> None:
        self._watch_replication(connection)
        # Warms the caches of the new server process, so that the first orders after a cutover do not wait for it.
        await connection.fetch(statements.PORTFOLIOS, [])
        await connection.fetch(statements.PLACED, [], [])
        await connection.prepare(statements.WRITE)

    def _watch_replication(self, connection: "asyncpg.Connection") -> None:
        """Detect a COMMIT that stopped waiting for its standby: it succeeds, with a warning."""

        def on_message(_: object, message: "asyncpg.PostgresLogMessage") -> None:
            if message.message.startswith(_SYNC_CANCELLED):
                self._replication_in_doubt = True

        connection.add_log_listener(on_message)


def _accounts_of(orders: list[MarketOrder]) -> list[int]:
    return sorted({order.account_id for order in orders})


def _fail_all(batch: list[_Pending], reason: OrderErrorReason, message: str) -> None:
    for pending in batch:
        pending.complete(OrderError(reason, message))
