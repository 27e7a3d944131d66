"""One attempt at a batch: one transaction, and what it says of each order."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

import asyncpg  # type: ignore[import-untyped]  # ships no types

from rtx_engine.domain.execution import Executor, Portfolio
from rtx_engine.domain.orders import Execution, MarketOrder
from rtx_engine.domain.pricing import Quote
from rtx_engine.store import statements
from rtx_engine.store.cache import PortfolioCache
from rtx_engine.store.columns import executions_from, portfolios_from, write_arguments, written_from
from rtx_engine.store.database_errors import CONNECTION_LOST, CONTENTION, NOT_COMMITTED, NOT_MIGRATED, is_fenced
from rtx_engine.store.errors import OrderError, OrderErrorReason
from rtx_engine.store.fence import FenceWatch
from rtx_engine.store.plan import Plan, plan_batch
from rtx_engine.store.session import Session, UnconfirmedError
from rtx_engine.store.settle import NOTHING_WRITTEN, Settlement, settle, settle_fenced

_FENCED = "another colour executes orders now; try again with the same client_order_id"


class Quotes(Protocol):
    """A source of prices."""

    def quotes(self) -> Mapping[str, Quote]:
        """The newest quote of each symbol. Never blocks."""
        ...


class AttemptFailedError(Exception):
    """The attempt decided nothing and may be repeated.

    `at_commit`: it may have been committed. `waited`: for a lock, until it was given up, and it wrote nothing.
    """

    def __init__(self, *, at_commit: bool, waited: bool = False) -> None:
        super().__init__()
        self.at_commit = at_commit
        self.waited = waited


class Transactions:
    """Executes batches on one connection, one after the other."""

    def __init__(self, session: Session, colour: str, fence: FenceWatch, source: Quotes) -> None:
        self._session = session
        self._colour = colour
        self._fence = fence
        self._source = source
        self._cache = PortfolioCache()

    async def prepare(self, connection: "asyncpg.Connection") -> None:
        """Warm the caches of a new server process, so that the first orders after a cutover do not wait for it."""
        with suppress(*NOT_MIGRATED):
            # First: a statement that asyncpg only prepares holds its locks until the next one: a migration would wait.
            await connection.prepare(statements.WRITE)
            await connection.fetch(statements.READ, [])
            await connection.fetch(statements.PLACED, [], [])

    async def write(self, orders: Sequence[MarketOrder], *, contested: bool = False) -> Settlement:
        """Execute a batch, waiting for nobody who holds an account. `contested`: hold the accounts before reading them.

        Raises AttemptFailedError, OrderError (Fenced), and other errors after which nothing of the batch is written.
        """
        try:
            async with self._session.exclusive() as connection:
                state = self._fence.state or await self._fence.refresh(connection)
                if state is None:
                    raise OrderError(OrderErrorReason.FENCED, _FENCED)
                await self._session.set_epoch(connection, state.epoch)
                self._cache.adopt(state.data, connection)
                return await self._attempt(connection, orders, Executor(self._colour, state.epoch), contested)
        except CONNECTION_LOST as error:
            self._session.drop()
            raise AttemptFailedError(at_commit=False) from error

    async def _attempt(
        self, connection: "asyncpg.Connection", orders: Sequence[MarketOrder], executor: Executor, contested: bool
    ) -> Settlement:
        try:
            if contested:
                return await self._write_contested(connection, orders, executor)
            return await self._write_at_once(connection, orders, executor)
        except asyncpg.PostgresError as error:
            if connection.is_in_transaction():
                await connection.execute("ROLLBACK")
            if isinstance(error, (*CONTENTION, asyncpg.QueryCanceledError)):
                waited = isinstance(error, asyncpg.LockNotAvailableError)
                raise AttemptFailedError(at_commit=False, waited=waited) from error
            if not is_fenced(error):
                raise
            return await self._settle_fenced(connection, orders)
        except AttemptFailedError:
            raise
        except BaseException:  # a bug or a cancellation: the state of the session is unknown
            self._session.drop()
            raise

    async def _write_at_once(
        self, connection: "asyncpg.Connection", orders: Sequence[MarketOrder], executor: Executor
    ) -> Settlement:
        """Write, in one statement, the accounts that are as they are remembered. Reads only those that are not.

        Repeats of remembered orders are answered when this has committed. Where nothing else is to be written, the
        statement looks them up.
        """
        accounts = _accounts_of(orders)
        portfolios = self._cache.portfolios(accounts)
        if len(portfolios) < len(accounts):
            missing = [account_id for account_id in accounts if account_id not in portfolios]
            read = portfolios_from(await connection.fetch(statements.READ, missing))
            self._cache.remember(read.values())
            portfolios |= read
        placed = self._cache.executions.of(orders)
        plan = self._plan(orders, portfolios, executor, placed)
        if placed and not plan.executions:
            plan = self._plan(orders, portfolios, executor)
        if not plan.executions:
            return settle(plan, NOTHING_WRITTEN)
        written = written_from(await self._commit(connection, statements.WRITE, *write_arguments(plan)))
        self._cache.learn(plan, written)
        return settle(plan, written)

    async def _write_contested(
        self, connection: "asyncpg.Connection", orders: Sequence[MarketOrder], executor: Executor
    ) -> Settlement:
        """Lock the accounts that nobody holds, then read and write them: until the COMMIT nobody else can move them."""
        await connection.execute(statements.BEGIN_CONTESTED)
        locked = {row["id"] for row in await connection.fetch(statements.LOCK_PORTFOLIOS, _accounts_of(orders))}
        ours = [order for order in orders if order.account_id in locked]
        if not ours:
            await connection.execute("ROLLBACK")
            return Settlement([None] * len(orders))
        portfolios = portfolios_from(await connection.fetch(statements.READ, sorted(locked)))
        placed = executions_from(await connection.fetch(statements.PLACED, *_keys_of(ours)))
        plan = self._plan(ours, portfolios, executor, placed.values())
        written = NOTHING_WRITTEN
        if plan.executions:
            written = written_from(await connection.fetch(statements.WRITE, *write_arguments(plan)))
            may_be_late = {order.account_id for order in ours if order.valid_until is not None}
            if {portfolio.account_id for portfolio in plan.before} - written.accounts - may_be_late:
                raise RuntimeError("an account that this transaction has locked was not written")
        await self._commit(connection, "COMMIT")
        self._cache.learn(plan, written)
        settlement = settle(plan, written)
        outcomes = iter(settlement.outcomes)
        return Settlement(
            [next(outcomes) if order.account_id in locked else None for order in orders], settlement.events
        )

    async def _settle_fenced(self, connection: "asyncpg.Connection", orders: Sequence[MarketOrder]) -> Settlement:
        """The end after the fence has moved. Raises AttemptFailedError if it still names this colour.

        A move waits for all transactions of the previous epoch, so an order not found now was not placed. One that is
        found may be of a transaction that the move has ended while it waited for its standby: so this one waits too.
        """
        await self._fence.refresh(connection)
        if self._fence.executing:
            raise AttemptFailedError(at_commit=False)
        try:
            rows = await self._session.commit(connection, statements.CONFIRMED_PLACED, *_keys_of(orders))
        except UnconfirmedError as error:
            raise AttemptFailedError(at_commit=False) from error
        return settle_fenced(orders, executions_from(rows), OrderError(OrderErrorReason.FENCED, _FENCED))

    def _plan(
        self,
        orders: Sequence[MarketOrder],
        portfolios: Mapping[int, Portfolio],
        executor: Executor,
        placed: Iterable[Execution] = (),
    ) -> Plan:
        return plan_batch(orders, portfolios, self._source.quotes(), executor, dt.datetime.now(dt.UTC), placed)

    async def _commit(
        self, connection: "asyncpg.Connection", statement: str, *arguments: object
    ) -> list["asyncpg.Record"]:
        """Run the statement that ends the transaction. Raises AttemptFailedError if nobody knows whether it did."""
        try:
            return await self._session.commit(connection, statement, *arguments)
        except UnconfirmedError as error:
            raise AttemptFailedError(at_commit=True) from error  # the next commit waits for the standby again
        except NOT_COMMITTED:
            raise
        except CONNECTION_LOST as error:
            self._session.drop()
            raise AttemptFailedError(at_commit=True) from error


def _accounts_of(orders: Iterable[MarketOrder]) -> list[int]:
    return sorted({order.account_id for order in orders})


def _keys_of(orders: Sequence[MarketOrder]) -> tuple[list[int], list[str]]:
    """The arguments of statements.PLACED."""
    return [order.account_id for order in orders], [order.client_order_id for order in orders]
