"""The order path: orders that arrive while one batch commits are the next batch.

A batch is one transaction. The first attempt reads without a lock and then writes, in one statement, only if nothing
has changed since: two round trips, for a batch whose orders are new and whose accounts nobody else trades on just now.
Every other attempt holds the accounts' row locks while it reads, and running it again is always right: the locks wait
for whatever became of the attempt before, and the lookup by client_order_id finds what that attempt has committed. So a
connection that is lost, at COMMIT or anywhere else, needs nothing but another try.
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
from rtx_engine.store.batch import Found, Placed, Plan, columns, found_from, plan, repeat
from rtx_engine.store.errors import CONNECTION_LOST, CONTENTION, OrderError, OrderErrorReason, is_fenced
from rtx_engine.store.fence import FenceWatch
from rtx_engine.store.session import Session

MAX_BATCH = 512  # orders; larger ones only make the first of them wait
MANY = 8  # orders that wait for no pace
STOP_DEADLINE = 5.0  # seconds to finish what is queued

_NOT_PLACED = "the database did not take the order; try again with the same client_order_id"
_UNKNOWN = "the database went away at the order's COMMIT; try again with the same client_order_id to learn its outcome"
_FENCED = "another colour executes orders now; try again with the same client_order_id"
_SYNC_CANCELLED = "canceling wait for synchronous replication"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """What orders wait for, and for how long. The defaults are production's."""

    queue: int = 4096  # orders: about a second's work, after which waiting is worse than being told
    # Orders that come closer share a transaction, which costs what one does. Waiting costs throughput once there are
    # many: then a batch begins as soon as the one before has been committed.
    pace: float = 0.03  # seconds from one batch to the next
    settle: float = 5.0  # seconds for a batch, all tries included


PRODUCTION = Limits()


class Quotes(Protocol):
    """Where prices come from."""

    def quotes(self) -> Mapping[str, Quote]:
        """The newest quote of each symbol; never waits."""
        ...


@dataclass(frozen=True, slots=True)
class _Pending:
    order: MarketOrder
    answer: "asyncio.Future[Placed]"

    def settle(self, outcome: Placed | OrderError) -> None:
        if self.answer.done():
            return  # who asked has gone away
        if isinstance(outcome, Placed):
            self.answer.set_result(outcome)
        else:
            self.answer.set_exception(outcome)


class _UnsettledError(Exception):
    """The attempt came to no end that we know of. `at_commit`: it may have been committed."""

    def __init__(self, *, at_commit: bool) -> None:
        super().__init__()
        self.at_commit = at_commit


@dataclass(frozen=True, slots=True)
class _Settled:
    outcomes: Sequence[Placed | OrderError]
    events: Sequence[AccountEvent] = ()


_Write = Callable[["asyncpg.Connection", list[MarketOrder], Executor], Awaitable[_Settled | None]]


class OrderWriter:
    """Places orders. An order that is answered is in the database."""

    def __init__(
        self,
        database: Database,
        colour: str,
        fence: FenceWatch,
        source: Quotes,
        publish: Callable[[Sequence[AccountEvent]], None],
        limits: Limits = PRODUCTION,
    ) -> None:
        self._limits = limits
        self._session = Session(database, colour, self._on_connect)
        self._fence = fence
        self._colour = colour
        self._source = source
        self._publish = publish
        self._queue: deque[_Pending] = deque()
        self._arrived = asyncio.Event()
        self._many = asyncio.Event()
        self._stopping = False
        self._replication_in_doubt = False
        self._batch_callbacks: list[Callable[[int], None]] = []

    def on_batch(self, callback: Callable[[int], None]) -> None:
        """Call `callback` with the size of each batch."""
        self._batch_callbacks.append(callback)

    async def submit(self, order: MarketOrder) -> Placed:
        """Place `order`, or find it placed before. Raises OrderError when there is no result to tell."""
        if self._stopping or len(self._queue) >= self._limits.queue:
            raise OrderError(OrderErrorReason.OVERLOADED, "too many orders are waiting; try again in a second")
        pending = _Pending(order, asyncio.get_running_loop().create_future())
        self._queue.append(pending)
        self._arrived.set()
        if len(self._queue) >= MANY:
            self._many.set()
        return await pending.answer

    async def run(self) -> None:
        """Settle what is submitted, until `stop`; cancelled, it answers all that it has not settled."""
        clock, began = asyncio.get_running_loop().time, -math.inf
        try:
            with suppress(*CONNECTION_LOST):  # the first batch tries again
                await self._session.open()
            while not (self._stopping and not self._queue):
                if not self._queue:
                    self._arrived.clear()
                    await self._arrived.wait()
                    continue
                await self._wait_for_many(until=began + self._limits.pace)
                began = clock()
                batch = [self._queue.popleft() for _ in range(min(len(self._queue), MAX_BATCH))]
                for callback in self._batch_callbacks:
                    callback(len(batch))
                await self._settle(batch, began + self._limits.settle)
        finally:
            for pending in self._queue:
                pending.settle(OrderError(OrderErrorReason.UNAVAILABLE, _NOT_PLACED))
            await self._session.close()

    def stop(self) -> None:
        """Take no more orders; `run` ends when those queued are settled."""
        self._stopping = True
        self._arrived.set()
        self._many.set()

    async def _wait_for_many(self, until: float) -> None:
        """Until MANY orders wait, or that time of the loop's clock."""
        if self._stopping or len(self._queue) >= MANY or until <= asyncio.get_running_loop().time():
            return
        self._many.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._many.wait()

    async def _settle(self, batch: list[_Pending], deadline: float) -> None:
        """Answer every order of `batch`, whatever happens."""
        try:
            settled = await self._place([pending.order for pending in batch], deadline)
        except asyncio.CancelledError:
            _settle_all(batch, OrderErrorReason.OUTCOME_UNKNOWN, _UNKNOWN)
            raise
        except OrderError as error:
            _settle_all(batch, error.reason, str(error))
        except Exception:
            if len(batch) > 1:  # one bad order must not fail the others
                for pending in batch:
                    await self._settle([pending], deadline)
                return
            log.exception("order failed", order_id=str(batch[0].order.order_id))
            _settle_all(batch, OrderErrorReason.INTERNAL, "the order was not placed, by a fault of ours; tell us")
        else:
            for pending, outcome in zip(batch, settled.outcomes, strict=True):
                pending.settle(outcome)
            self._publish(settled.events)

    async def _place(self, orders: list[MarketOrder], deadline: float) -> _Settled:
        """One batch, tried until it is settled. Raises OrderError for all of it when time is up."""
        may_be_committed = False
        write = self._write_unlocked
        while asyncio.get_running_loop().time() < deadline:
            try:
                settled = await self._attempt(orders, write)
                if settled is not None:
                    return settled
            except _UnsettledError as error:
                may_be_committed = may_be_committed or error.at_commit
            except CONTENTION:
                await asyncio.sleep(random.uniform(0, 0.02))  # noqa: S311  # no secret
            write = self._write_locked
        if may_be_committed:
            raise OrderError(OrderErrorReason.OUTCOME_UNKNOWN, _UNKNOWN)
        raise OrderError(OrderErrorReason.UNAVAILABLE, _NOT_PLACED)

    async def _attempt(self, orders: list[MarketOrder], write: _Write) -> _Settled | None:
        """One transaction, by `write`; None when that has written nothing.

        Raises _UnsettledError when it should be tried again; other errors have rolled it back.
        """
        try:
            connection = await self._session.open()
            state = self._fence.state or await self._fence.refresh(connection)
            if state is None:
                return _Settled([OrderError(OrderErrorReason.FENCED, _FENCED) for _ in orders])
            await self._session.adopt(connection, state.epoch)
            try:
                done = await write(connection, orders, Executor(self._colour, state.epoch))
            except asyncpg.PostgresError as error:
                if connection.is_in_transaction():
                    await connection.execute("ROLLBACK")
                if not is_fenced(error):
                    raise
                return await self._when_fenced(connection, orders)
            except BaseException:  # a fault of ours, or cancelled half-way: nobody knows where the session stands
                self._session.drop()
                raise
        except CONNECTION_LOST as error:
            self._session.drop()
            raise _UnsettledError(at_commit=False) from error
        return done

    async def _write_unlocked(
        self, connection: "asyncpg.Connection", orders: list[MarketOrder], executor: Executor
    ) -> _Settled | None:
        """The short way, for orders that are all new; None when one is not, or when an account has moved on."""
        portfolios = await connection.fetch(statements.PORTFOLIOS, _accounts_of(orders))
        done = self._plan(orders, found_from(portfolios), executor)
        if done.executions:
            answer = await self._commit(connection, statements.WRITE, *columns(done))
            if answer == statements.NOTHING_WRITTEN:
                return None
        return _Settled(done.outcomes, done.events)

    async def _write_locked(
        self, connection: "asyncpg.Connection", orders: list[MarketOrder], executor: Executor
    ) -> _Settled:
        account_ids = _accounts_of(orders)
        await connection.execute(statements.BEGIN)
        await connection.execute(statements.LOCK, account_ids)
        portfolios = await connection.fetch(statements.PORTFOLIOS, account_ids)
        placed = await self._placed(connection, orders)
        done = self._plan(orders, found_from(portfolios, placed), executor)
        if done.executions:
            answer = await connection.execute(statements.WRITE, *columns(done))
            if answer == statements.NOTHING_WRITTEN:
                raise RuntimeError("an account moved on under its lock")  # never acknowledge what is not there
        await self._commit(connection, "COMMIT")
        return _Settled(done.outcomes, [*done.settled, *done.events])

    def _plan(self, orders: list[MarketOrder], found: Found, executor: Executor) -> Plan:
        return plan(orders, found, self._source.quotes(), executor, dt.datetime.now(dt.UTC))

    async def _commit(self, connection: "asyncpg.Connection", statement: str, *arguments: object) -> str:
        """Run the statement that ends the transaction; returns what PostgreSQL says that it did."""
        self._replication_in_doubt = False
        try:
            answer: str = await connection.execute(statement, *arguments)
        except asyncpg.QueryCanceledError:
            raise  # by a timeout, and so before the end
        except CONNECTION_LOST as error:
            self._session.drop()
            raise _UnsettledError(at_commit=True) from error
        if self._replication_in_doubt:
            raise _UnsettledError(at_commit=True)  # the next attempt's COMMIT waits for the standby again
        return answer

    async def _when_fenced(self, connection: "asyncpg.Connection", orders: list[MarketOrder]) -> _Settled:
        """The fence has moved. If it still names us, go on at its new epoch; else tell what was placed before.

        The move has waited for every transaction of the epoch before, so what is not there will never be.
        """
        await self._fence.refresh(connection)
        if self._fence.executing:
            raise _UnsettledError(at_commit=False)
        rows = await self._placed(connection, orders)
        found = found_from((), rows).executions
        outcomes: list[Placed | OrderError] = []
        for order in orders:
            before = found.get((order.account_id, order.client_order_id))
            fenced = OrderError(OrderErrorReason.FENCED, _FENCED)
            outcomes.append(fenced if before is None else repeat(order, before))
        ours = {order.order_id for order in orders}
        return _Settled(outcomes, [order_event(e) for e in found.values() if e.order.order_id in ours])

    async def _placed(self, connection: "asyncpg.Connection", orders: list[MarketOrder]) -> list["asyncpg.Record"]:
        accounts, ids = [order.account_id for order in orders], [order.client_order_id for order in orders]
        rows: list[asyncpg.Record] = await connection.fetch(statements.PLACED, accounts, ids)
        return rows

    async def _on_connect(self, connection: "asyncpg.Connection") -> None:
        self._watch_replication(connection)
        # A new server process learns the catalogue now, not while the first orders after a cutover wait for it.
        await connection.fetch(statements.PORTFOLIOS, [])
        await connection.fetch(statements.PLACED, [], [])
        await connection.prepare(statements.WRITE)

    def _watch_replication(self, connection: "asyncpg.Connection") -> None:
        """A COMMIT that gave up waiting for its standby looks like any other but for a warning."""

        def on_message(_: object, message: "asyncpg.PostgresLogMessage") -> None:
            if message.message.startswith(_SYNC_CANCELLED):
                self._replication_in_doubt = True

        connection.add_log_listener(on_message)


def _accounts_of(orders: list[MarketOrder]) -> list[int]:
    return sorted({order.account_id for order in orders})


def _settle_all(batch: list[_Pending], reason: OrderErrorReason, message: str) -> None:
    for pending in batch:
        pending.settle(OrderError(reason, message))
