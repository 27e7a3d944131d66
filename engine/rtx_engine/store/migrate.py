"""Applies and reverses migrations: one runner at a time, each migration completely or not at all.

What is reversed together is reversed in one transaction as far as PostgreSQL allows: an old version that refuses, since
its data would be lost, must not have cost those of the newer ones. All of them get their locks before one alters a
table: one that is not free must not make the newer ones rewrite their tables with each try.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import groupby, takewhile

import asyncpg  # type: ignore[import-untyped]  # ships no types
import structlog

from rtx_engine.config import Database
from rtx_engine.store import concurrent_indexes, migration_locks, migration_plan, migration_record
from rtx_engine.store.migration_files import (
    ConcurrentIndex,
    Half,
    Migration,
    load,
    runs_concurrently,
    runs_in_transaction,
)
from rtx_engine.store.migration_plan import Applied, Key, MigrationError, MigrationStatus
from rtx_engine.store.migration_record import Step
from rtx_engine.store.migration_session import PRODUCTION, LockRetries, check_owner, connect, exclusive
from rtx_engine.store.migration_waits import SessionWatch

MAX_CONCURRENT_ATTEMPTS = 3  # to build an index: each builds the whole of it

# Deferred triggers that have yet to look at a table's rows bar the next step from altering it.
_LOOK_NOW = "SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED"
# Those of some tables that are there: first accounts, which order transactions lock before the others. pg_restore has
# made the tables in another order than the migrations.
_THERE = """
SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname = ANY ($1::text[])
ORDER BY relname <> 'accounts', oid
"""
# 300 ms more than it takes until autovacuum gives its locks up, unless it prevents a wraparound.
_OUTWAIT_AUTOVACUUM = """
SELECT set_config('lock_timeout', (setting::int + 300)::text, false) FROM pg_settings WHERE name = 'deadlock_timeout'
"""

log = structlog.get_logger(__name__)


class Migrator:
    """Runs migrations over one connection with the role rtx_migrator."""

    def __init__(
        self,
        connection: "asyncpg.Connection",
        watch: SessionWatch,
        migrations: Sequence[Migration],
        lock: LockRetries = PRODUCTION,
        owner: str = "",
    ) -> None:
        """`owner`: namespace/name of the TradingEngine whose database it must be; empty: anybody's."""
        self._connection = connection
        self._watch = watch
        self._migrations = migrations
        self._lock = lock
        self._owner = owner

    @classmethod
    @asynccontextmanager
    async def connected(
        cls,
        database: Database,
        migrations: Sequence[Migration] | None = None,
        lock: LockRetries = PRODUCTION,
        owner: str = "",
    ) -> AsyncIterator["Migrator"]:
        """A migrator with an open connection. Raises MigrationError if the database cannot be reached."""
        connection = await connect(database, lock)
        try:
            watcher = await connect(database, lock)
            try:
                async with SessionWatch.of(connection, watcher) as watch:
                    yield cls(connection, watch, load() if migrations is None else migrations, lock, owner)
            finally:
                await watcher.close(timeout=5)
        finally:
            await connection.close(timeout=5)

    async def up(self, half: Half | None = None, to: int | None = None, cutover: str | None = None) -> list[Migration]:
        """Apply the pending migrations of one half or of both, up to version `to`. Returns those applied.

        `cutover` is recorded with each, for `down`. Raises MigrationError, also if a newer build has contracted the
        database, or if a contract half would run before an expand half that it follows; the failed migration is rolled
        back.
        """
        async with exclusive(self._connection):
            wanted = migration_plan.to_apply(self._migrations, await self._prepare(), half, to)
            for migration in wanted:
                await self._run([migration_record.applying(migration, cutover)], "migration applied")
            return wanted

    async def down(self, to: int | None = None, cutover: str | None = None) -> list[Migration]:
        """Reverse every version above `to` (default: only the newest), or the migrations applied for `cutover`.

        Returns the reversed migrations. Raises MigrationError, also if this build lacks the file of one of them. Then
        nothing is reversed, except what is newer than a half that cannot run in a transaction.
        """
        async with exclusive(self._connection):
            unwanted = migration_plan.to_reverse(self._migrations, await self._prepare(), to, cutover)
            for steps in _together([migration_record.reversing(migration) for migration in unwanted]):
                await self._run(steps, "migration reversed")
            return unwanted

    async def status(self) -> list[MigrationStatus]:
        """The state of each half of each version, in order."""
        return migration_plan.statuses(self._migrations, await migration_record.read(self._connection))

    async def _prepare(self) -> dict[Key, Applied]:
        """What is applied, in a database that is this engine's, has a record, and no index that was not finished."""
        await check_owner(self._connection, self._owner)
        if not await migration_record.is_complete(self._connection):  # only then: others may be reading it for long
            await self._retried("the record of migrations", lambda: migration_record.create(self._connection))
        await migration_record.make_readable(self._connection)
        applied = await migration_record.read(self._connection)
        await self._drop_unfinished_indexes(applied)
        return applied

    async def _run(self, steps: Sequence[Step], event: str) -> None:
        """Take all of these steps or none; retry if they did not get a lock."""
        first, last = steps[0], steps[-1]
        label = first.label if first is last else f"{first.label} to {last.label}"
        run = self._in_transaction if runs_in_transaction(first.sql) else self._without_transaction
        with _named(label):
            await self._retried(label, lambda: run(steps), _attempts(first.sql, self._lock))
        for step in steps:
            log.info(event, migration=step.label)

    async def _retried(self, label: str, work: Callable[[], Awaitable[object]], attempts: int | None = None) -> None:
        """Run `work` until it gets its locks. Raises MigrationError when the attempts are used up.

        Autovacuum gives its lock up to whoever has waited for the server's `deadlock_timeout`: after an attempt that
        it was in the way of, the next one waits so long.
        """
        attempts = attempts or self._lock.attempts
        for attempt in range(1, attempts + 1):
            try:
                async with self._patience():
                    await work()
            except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
                log.warning("migration waits for a lock", migration=label, attempt=attempt)
                if attempt == attempts:
                    held = f" (last held by {self._watch.last_seen})" if self._watch.last_seen else ""
                    raise MigrationError(f"{label} got no lock in {attempts} attempts{held}: {error}") from error
                await asyncio.sleep(self._lock.pause_seconds)
            else:
                return

    @asynccontextmanager
    async def _patience(self) -> AsyncIterator[None]:
        """Within, locks are waited for until autovacuum has given them up, if that was in the way before."""
        if not self._watch.forget_autovacuum():
            yield
            return
        await self._connection.execute(_OUTWAIT_AUTOVACUUM)
        try:
            yield
        finally:
            if not self._connection.is_closed():
                await self._connection.execute("RESET lock_timeout")

    async def _in_transaction(self, steps: Sequence[Step]) -> None:
        async with self._connection.transaction():
            ahead = list(takewhile(lambda step: not migration_locks.split(step.sql)[0], steps))
            if ahead and len(ahead) < len(steps):
                await self._probe_locks(steps)
            for step in ahead:
                await self._take(step)
            await self._take_locks(steps)
            for step in steps[len(ahead) :]:
                await self._take(step)

    async def _take(self, step: Step) -> None:
        with _named(step.label):
            await self._connection.execute(step.sql)
            if not self._connection.is_in_transaction():
                raise MigrationError(f"{step.label} ends its own transaction; take COMMIT out of its file")
            await self._connection.execute(_LOOK_NOW)
            await self._connection.execute(*step.record)

    async def _probe_locks(self, steps: Sequence[Step]) -> None:
        """Take the locks and give them back: no order waits for steps that need none, nor are those done in vain."""
        probe = self._connection.transaction()
        await probe.start()
        await self._take_locks(steps)
        await probe.rollback()

    async def _take_locks(self, steps: Sequence[Step]) -> None:
        """Take the locks that the steps name. A table that is not there is made by one of them: nobody else has it."""
        wanted = migration_locks.of_all(step.sql for step in steps)
        for row in await self._connection.fetch(_THERE, list(wanted)) if wanted else ():
            table = row["relname"]
            await self._connection.execute(f"LOCK TABLE {table} IN {wanted[table]} MODE")

    async def _without_transaction(self, steps: Sequence[Step]) -> None:
        """Run one statement, then record it. Drops an invalid index before and, on failure or cancellation, after.

        A concurrent one waits as long as it takes, for locks and old snapshots of others: no order queues behind it,
        and each new try would build the whole index anew.
        """
        [step] = steps
        sql, index = step.sql, ConcurrentIndex.of(step.sql)
        if index is not None:
            if not await concurrent_indexes.exists(self._connection, index):
                await concurrent_indexes.create(self._connection, index, sql)
        elif runs_concurrently(sql):
            async with concurrent_indexes.without_lock_timeout(self._connection):
                await self._connection.execute(sql)
        else:
            await self._connection.execute(sql)
        await self._connection.execute(*step.record)

    async def _drop_unfinished_indexes(self, applied: dict[Key, Applied]) -> None:
        """Drop the indexes that a killed runner has left invalid: orders keep them up to date, and nobody uses them."""
        for migration in self._migrations:
            index = ConcurrentIndex.of(migration.sql)
            if index is not None and (migration.version, migration.half) not in applied:
                await concurrent_indexes.drop_invalid(self._connection, index)


def _together(steps: Sequence[Step]) -> Iterator[list[Step]]:
    """The steps in order, those together that run in one transaction."""
    for in_transaction, neighbours in groupby(steps, lambda step: runs_in_transaction(step.sql)):
        if in_transaction:
            yield list(neighbours)
        else:
            yield from ([step] for step in neighbours)


@contextmanager
def _named(label: str) -> Iterator[None]:
    """Raise errors as MigrationErrors that name what has failed, but for locks that were not free."""
    try:
        yield
    except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
        raise
    except concurrent_indexes.IndexNotMadeError as error:
        raise MigrationError(f"{label} failed: {error}") from error
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise MigrationError(f"{label} failed and changed nothing: {error}") from error


def _attempts(sql: str, lock: LockRetries) -> int:
    """What is built concurrently waits as long as it takes: only a deadlock ends it, and a new try builds it anew."""
    return min(lock.attempts, MAX_CONCURRENT_ATTEMPTS) if runs_concurrently(sql) else lock.attempts
