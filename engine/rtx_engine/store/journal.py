"""Enters deposits and withdrawals: each once, under its account's row lock and the fence.

It waits for nobody while it holds the fence: an account that an order path holds is tried again. The order path notices
by the account's sequence that the account has moved.
"""

import asyncio
import datetime as dt
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import asyncpg  # type: ignore[import-untyped]  # ships no types

from rtx_engine.domain.entries import Entry
from rtx_engine.domain.events import AccountEvent, entry_event
from rtx_engine.domain.transfers import Transfer, enter
from rtx_engine.store import statements
from rtx_engine.store.columns import entry_arguments, entry_from, portfolios_from
from rtx_engine.store.database_errors import CONTENTION, costs_connection, is_fenced, lacks_partition
from rtx_engine.store.errors import OrderError, OrderErrorReason, UnavailableError
from rtx_engine.store.fence import FenceWatch
from rtx_engine.store.partitions import make_weeks
from rtx_engine.store.read_admission import Shared
from rtx_engine.store.reads import Reads
from rtx_engine.store.session import UnconfirmedError
from rtx_engine.store.transactions import Quotes
from rtx_engine.store.turns import Turns

RETRY_PAUSE_SECONDS = 0.02  # at most, before an account that somebody holds is tried again
MAX_TRANSFERS = 32  # at once, which a pod enters within a second; they take turns, and each of them turns with reads
MAX_TRANSFERS_OF_ACCOUNT = 16  # so that one that somebody holds leaves places

_FENCED = "another colour executes now; try again with the same id"
_HELD = "another session holds the account; try again with the same id"
_TOO_MANY = "too many deposits and withdrawals wait; try again in a second with the same id"
_TOO_MANY_OF_ACCOUNT = "too many deposits and withdrawals of this account wait; try again in a second with the same id"
_UNAVAILABLE = "the database did not accept the entry in time; try again with the same id"
_NO_WEEK = "the journal has no partition for this week, and none can be made now; try again with the same id"
_UNKNOWN = "the database was lost during the entry's COMMIT; try again with the same id to get its outcome"


@dataclass(frozen=True, slots=True)
class Entered:
    """An entry. `replayed`: an earlier request with the same content entered it."""

    entry: Entry
    replayed: bool


@dataclass(slots=True)
class _Attempt:
    deadline: float  # by the event loop's clock
    committing: bool = False
    obstacle: str | None = None  # that it has met


class Journal:
    """Enters what changes an account's money and is no fill."""

    def __init__(
        self,
        reads: Reads,
        colour: str,
        fence: FenceWatch,
        source: Quotes,
        publish: Callable[[Sequence[AccountEvent]], None],
        timeout_seconds: float,
    ) -> None:
        """`publish` gets the event of each new entry. It must not block. `timeout_seconds`: of one transfer."""
        self._reads = reads
        self._session = reads.session
        self._standby = reads.standby
        self._colour = colour
        self._fence = fence
        self._source = source
        self._publish = publish
        self._timeout_seconds = timeout_seconds
        self._transfers = Counter[int]()  # without an outcome, by account
        self._turns = Turns[None]()

    async def enter(self, transfer: Transfer) -> Entered:
        """Enter `transfer`, or return its earlier entry.

        Raises TransferRefusedError, and OrderError if nobody knows or nothing was done.
        """
        account_id = transfer.account_id
        if self._transfers.total() >= MAX_TRANSFERS:
            raise OrderError(OrderErrorReason.TOO_MANY_REQUESTS, _TOO_MANY)
        if self._transfers[account_id] >= MAX_TRANSFERS_OF_ACCOUNT:
            raise OrderError(OrderErrorReason.TOO_MANY_REQUESTS, _TOO_MANY_OF_ACCOUNT)
        self._transfers[account_id] += 1
        try:
            return await self._enter_in_time(transfer)
        finally:
            self._transfers[account_id] -= 1
            if not self._transfers[account_id]:
                del self._transfers[account_id]  # so that the table stays small

    async def _enter_in_time(self, transfer: Transfer) -> Entered:
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._timeout_seconds
        in_doubt, failure = False, OrderError(OrderErrorReason.UNAVAILABLE, _UNAVAILABLE)
        while clock() < deadline:
            attempt = _Attempt(deadline)
            try:
                once = partial(self._try_once, transfer=transfer, attempt=attempt)
                async with self._turns.take(None, deadline):
                    entered = await self._reads.run(once, Shared.WRITES)
            except (UnavailableError, UnconfirmedError):
                in_doubt = in_doubt or attempt.committing
            except OrderError as error:
                if error.reason is OrderErrorReason.FENCED and in_doubt:
                    break
                raise
            else:
                if entered is not None:
                    return entered
                if attempt.obstacle is not None:
                    failure = OrderError(OrderErrorReason.UNAVAILABLE, attempt.obstacle)
            await asyncio.sleep(random.uniform(0, RETRY_PAUSE_SECONDS))  # noqa: S311  # not for security
        raise OrderError(OrderErrorReason.OUTCOME_UNKNOWN, _UNKNOWN) if in_doubt else failure

    async def _try_once(
        self, connection: "asyncpg.Connection", transfer: Transfer, attempt: _Attempt
    ) -> Entered | None:
        """None if it may succeed next time, as when somebody holds what it needs, or if its turn has come too late."""
        if asyncio.get_running_loop().time() >= attempt.deadline:
            return None  # the turn for the connection has come too late
        async with asyncio.timeout_at(attempt.deadline):
            state = self._fence.state or await self._fence.refresh(connection)
            if state is None:
                raise OrderError(OrderErrorReason.FENCED, _FENCED)
            await self._session.set_epoch(connection, state.epoch)
            try:
                entered = await self._transact(connection, transfer, attempt, state.epoch)
            except Exception as error:
                if not await self._may_be_repeated(connection, error, attempt):
                    raise
                return None
        if isinstance(entered, OrderError):
            raise entered
        if entered is not None and not entered.replayed:
            self._publish([entry_event(entered.entry)])
        return entered

    async def _transact(
        self, connection: "asyncpg.Connection", transfer: Transfer, attempt: _Attempt, epoch: int
    ) -> Entered | OrderError | None:
        """One transaction; returns and raises as `_enter` does."""
        self._standby.check()
        await connection.execute(statements.BEGIN_WITHIN_BUDGET)
        entered = await self._enter(connection, transfer, epoch)
        if entered is None:
            attempt.obstacle = _HELD
            await connection.execute("ROLLBACK")
            return None
        # The transaction holds the fence's row, so its commit is written and confirmed also if it enters nothing: what
        # is told of an earlier entry that it has found then outlives a failover, too.
        attempt.committing = True
        await self._standby.commit(connection, "COMMIT")
        return entered

    async def _may_be_repeated(self, connection: "asyncpg.Connection", error: Exception, attempt: _Attempt) -> bool:
        """Leave a transaction that failed, unless the session drops the connection.

        Raises OrderError (Fenced; Unavailable where the week's partition can be neither found nor made).
        """
        if costs_connection(error):
            return False
        if isinstance(error, asyncpg.PostgresError):
            attempt.committing = False  # the server has refused it
        if connection.is_in_transaction():
            await connection.execute("ROLLBACK")
        if lacks_partition(error):  # as after the restore of an old backup
            await _make_weeks(connection, attempt)
            return True
        if not (isinstance(error, CONTENTION) or is_fenced(error)):
            return False
        attempt.obstacle = _HELD
        await self._fence.refresh(connection)
        if is_fenced(error) and not self._fence.executing:
            raise OrderError(OrderErrorReason.FENCED, _FENCED) from error
        return True

    async def _enter(
        self, connection: "asyncpg.Connection", transfer: Transfer, epoch: int
    ) -> Entered | OrderError | None:
        """Within the transaction: the entry, or a Conflict; None if somebody holds the account.

        Raises OrderError (UnknownAccount) and TransferRefusedError.
        """
        account = [transfer.account_id]
        locked = await connection.fetch(statements.LOCK, account)
        portfolio = portfolios_from(await connection.fetch(statements.READ, account)).get(transfer.account_id)
        if portfolio is None:
            raise OrderError(OrderErrorReason.UNKNOWN_ACCOUNT, f"account {transfer.account_id} does not exist")
        if not locked:
            return None
        row = await connection.fetchrow(statements.ENTERED, transfer.account_id, transfer.key)
        if row is not None:
            entry = entry_from(row)
            if not transfer.same_request(entry):
                message = f"id {transfer.transfer_id!r} belongs to another entry of this account; use a new one"
                return OrderError(OrderErrorReason.CONFLICT, message)
            return Entered(entry, replayed=True)
        entry = enter(portfolio, transfer, self._source.quotes(), dt.datetime.now(dt.UTC))
        arguments = entry_arguments(entry, transfer, epoch, self._colour)
        written = await connection.fetch(statements.ENTER, *arguments)
        if len(written) != 1:
            raise RuntimeError("an account that this transaction has locked was not written")
        return Entered(entry, replayed=False)


async def _make_weeks(connection: "asyncpg.Connection", attempt: _Attempt) -> None:
    """Make the journal's partitions, unless somebody holds a lock that this needs: then the next attempt tries again.

    After the transaction, which held the fence. Another pod that makes them holds that lock for some 100 ms. Raises
    OrderError (Unavailable) if they cannot be made.
    """
    try:
        await make_weeks(connection)
    except CONTENTION:
        attempt.obstacle = _NO_WEEK
    except asyncpg.PostgresError as error:
        if costs_connection(error):
            raise
        raise OrderError(OrderErrorReason.UNAVAILABLE, _NO_WEEK) from error
