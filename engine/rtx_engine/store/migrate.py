"""Applies and reverses migrations: one runner at a time, each migration completely or not at all."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import asyncpg  # type: ignore[import-untyped]  # ships no types
import structlog

from rtx_engine.config import Database
from rtx_engine.store import concurrent_indexes
from rtx_engine.store.migration_files import (
    ConcurrentIndex,
    Half,
    Migration,
    load,
    runs_concurrently,
    runs_in_transaction,
)
from rtx_engine.store.migration_waits import SessionWatch

LOCK_KEY = 0x52545800  # "RTX"; key of the runner's advisory lock
CONNECT_TIMEOUT_SECONDS = 30.0  # all attempts included; a new database may still be starting
RUNNER_LOCK_TIMEOUT_SECONDS = 60.0  # to wait for another runner
RUNNER_LOCK_PAUSE_SECONDS = 0.2  # between two tries to get its lock
MAX_CONCURRENT_ATTEMPTS = 3  # to build an index: each builds the whole of it
ORPHAN_CHECK = "5s"  # PostgreSQL ends the statement of a runner that is gone this long after it has gone

_GRANT = "GRANT SELECT ON schema_migrations TO rtx_engine"  # pods need it
# PostgreSQL runs all of these in one transaction.
_TABLE = f"""
CREATE TABLE IF NOT EXISTS schema_migrations (
    version integer NOT NULL,
    half text NOT NULL CHECK (half IN ('expand', 'contract')),
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    applied_for text,  -- the cutover, if it was one's
    PRIMARY KEY (version, half)
);
ALTER TABLE schema_migrations ADD COLUMN IF NOT EXISTS applied_for text;
{_GRANT}
"""

log = structlog.get_logger(__name__)


class MigrationError(Exception):
    """A migration failed; earlier ones of the same run stay applied. The one line of its message says what is left."""

    def __init__(self, message: str) -> None:
        super().__init__(
            " ".join(message.split())
        )  # PostgreSQL's details have lines of their own; status shows the last


class MigrationState(StrEnum):
    APPLIED = "applied"
    PENDING = "pending"
    CHANGED = "changed"  # applied, then the file was edited
    UNKNOWN = "unknown"  # applied by another build; this one lacks its file


@dataclass(frozen=True, slots=True)
class LockRetries:
    """How a migration gets its table locks. The defaults are for production."""

    timeout_ms: int = 300  # of one attempt: orders queue behind a lock request that waits
    attempts: int = 30
    pause_seconds: float = 0.5  # between attempts, so that queued orders can proceed


PRODUCTION = LockRetries()


@dataclass(frozen=True, slots=True)
class MigrationStatus:
    version: int
    half: Half
    name: str
    state: MigrationState
    applied_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Applied:
    name: str
    checksum: str
    applied_at: datetime
    applied_for: str | None


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
        connection = await _connect(database, lock)
        try:
            watcher = await _connect(database, lock)
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
        async with self._exclusive():
            await self._check_owner()
            await self._create_table()
            applied = await self._applied()
            await self._drop_unfinished_indexes(applied)
            self._check_unchanged(applied)
            self._check_not_contracted(applied)
            pending = [one for one in self._migrations if (one.version, one.half) not in applied]
            wanted = [one for one in pending if half in (None, one.half) and (to is None or one.version <= to)]
            _check_expanded(wanted, left=[one for one in pending if one not in wanted])
            for migration in wanted:
                record = (_RECORD, *_recorded(migration), cutover)
                await self._run(migration, migration.sql, record, "migration applied")
            return wanted

    async def down(self, to: int | None = None, cutover: str | None = None) -> list[Migration]:
        """Reverse every version above `to` (default: only the newest), or the migrations applied for `cutover`.

        Returns the reversed migrations. Raises MigrationError, also if this build lacks the file of one of them.
        """
        async with self._exclusive():
            await self._check_owner()
            await self._create_table()
            applied = await self._applied()
            await self._drop_unfinished_indexes(applied)
            if not applied:
                return []
            if cutover is not None:
                unwanted = [key for key, found in applied.items() if found.applied_for == cutover]
            else:
                keep = max(version for version, _ in applied) - 1 if to is None else to
                unwanted = [key for key in applied if key[0] > keep]
            known = {(migration.version, migration.half): migration for migration in self._migrations}
            backwards = sorted(unwanted, key=lambda key: (key[0], key[1] is Half.CONTRACT), reverse=True)
            for version, _ in (key for key in backwards if key not in known):
                raise MigrationError(
                    f"version {version:04} was applied by another build; reverse it with that build's image"
                )
            _check_not_below_contract(backwards, left=[key for key in applied if key not in unwanted])
            for key in backwards:
                record = (_UNRECORD, *_recorded(known[key]))
                await self._run(known[key], known[key].reverse, record, "migration reversed")
            return [known[key] for key in backwards]

    async def status(self) -> list[MigrationStatus]:
        """The state of each half of each version, in order."""
        applied = await self._applied()
        known = {(migration.version, migration.half): migration for migration in self._migrations}
        rows = []
        for key in sorted({*applied, *known}, key=lambda key: (key[0], key[1] is Half.CONTRACT)):
            found, file = applied.get(key), known.get(key)
            if found is None and file is not None:
                rows.append(MigrationStatus(*key, file.name, MigrationState.PENDING, None))
            elif found is not None:
                changed = file is not None and file.checksum != found.checksum
                state = (
                    MigrationState.UNKNOWN
                    if file is None
                    else MigrationState.CHANGED
                    if changed
                    else MigrationState.APPLIED
                )
                rows.append(MigrationStatus(*key, found.name, state, found.applied_at))
        return rows

    @asynccontextmanager
    async def _exclusive(self) -> AsyncIterator[None]:
        """Hold the runner lock. It is a session lock: PostgreSQL releases it if the runner dies.

        It is tried and not waited for: a statement that waits has a snapshot, for which an index that the other runner
        builds concurrently would wait in turn.
        """
        deadline = asyncio.get_running_loop().time() + RUNNER_LOCK_TIMEOUT_SECONDS
        while not await self._connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK_KEY):
            if asyncio.get_running_loop().time() > deadline:
                holder = await self._connection.fetchval(_RUNNER, LOCK_KEY)
                raise MigrationError(
                    f"another migration, of database session {holder}, has run for {RUNNER_LOCK_TIMEOUT_SECONDS:g} s; "
                    "try again when it has ended"
                )
            await asyncio.sleep(RUNNER_LOCK_PAUSE_SECONDS)
        try:
            yield
        finally:
            if not self._connection.is_closed():
                await self._connection.execute("SELECT pg_advisory_unlock_all()")

    async def _check_owner(self) -> None:
        """Raise if the database is another engine's, as after a restore of the wrong backup; not if it has no fence."""
        if not self._owner or not await self._connection.fetchval(_HAS_FENCE):
            return
        owner = await self._connection.fetchval("SELECT owner FROM rtx_operator.execution_fence")
        if owner is not None and not owner.startswith(f"{self._owner}/"):
            raise MigrationError(
                f"the database belongs to the TradingEngine {owner}, not to {self._owner}; nothing was changed: "
                "restore this engine's own data"
            )

    async def _create_table(self) -> None:
        """Create the record of migrations, or add what it lacks: only then, as others may be reading it for long.

        An earlier release's runner that was killed, or a restore without rights, may have left it without the grant.
        """
        if not await self._connection.fetchval(_TABLE_IS_COMPLETE):
            await self._retried("the record of migrations", lambda: self._connection.execute(_TABLE))
        if not await self._connection.fetchval(_TABLE_IS_READABLE):
            await self._connection.execute(_GRANT)

    async def _applied(self) -> dict[tuple[int, Half], _Applied]:
        if await self._connection.fetchval("SELECT to_regclass('public.schema_migrations') IS NULL"):
            return {}
        # As JSON, because the column may not exist yet: `up` adds it.
        rows = await self._connection.fetch(
            "SELECT version, half, name, checksum, applied_at, to_jsonb(m) ->> 'applied_for' AS applied_for"
            " FROM schema_migrations m"
        )
        return {
            (row["version"], Half(row["half"])): _Applied(
                row["name"], row["checksum"], row["applied_at"], row["applied_for"]
            )
            for row in rows
        }

    def _check_unchanged(self, applied: dict[tuple[int, Half], _Applied]) -> None:
        for migration in self._migrations:
            found = applied.get((migration.version, migration.half))
            if found is not None and found.checksum != migration.checksum:
                message = f"{migration.label} was edited after it was applied; put the change into a new version"
                raise MigrationError(message)

    def _check_not_contracted(self, applied: dict[tuple[int, Half], _Applied]) -> None:
        """Raise if another build contracted the database: this build may need what that removed."""
        known = {(migration.version, migration.half) for migration in self._migrations}
        for version, half in sorted(applied):
            if half is Half.CONTRACT and (version, half) not in known:
                raise MigrationError(
                    f"version {version:04} was contracted by a newer build; this build cannot run on it: run that "
                    "build or a newer one, or reverse the contract half with its image"
                )

    async def _run(self, migration: Migration, sql: str, record: tuple[object, ...], event: str) -> None:
        """Run one migration and the statement that records it; retry if it did not get a lock."""
        run = self._in_transaction if runs_in_transaction(sql) else self._without_transaction
        try:
            await self._retried(migration.label, lambda: run(migration, sql, record), _attempts(sql, self._lock))
        except concurrent_indexes.IndexNotMadeError as error:
            raise MigrationError(f"{migration.label} failed: {error}") from error
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            raise MigrationError(f"{migration.label} failed and changed nothing: {error}") from error
        log.info(event, migration=migration.label)

    async def _retried(self, label: str, work: Callable[[], Awaitable[object]], attempts: int | None = None) -> None:
        """Run `work` until it gets its locks. Raises MigrationError when the attempts are used up."""
        attempts = attempts or self._lock.attempts
        for attempt in range(1, attempts + 1):
            try:
                await work()
            except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
                log.warning("migration waits for a lock", migration=label, attempt=attempt)
                if attempt == attempts:
                    held = f" (last held by {self._watch.last_seen})" if self._watch.last_seen else ""
                    raise MigrationError(f"{label} got no lock in {attempts} attempts{held}: {error}") from error
                await asyncio.sleep(self._lock.pause_seconds)
            else:
                return

    async def _in_transaction(self, migration: Migration, sql: str, record: tuple[object, ...]) -> None:
        async with self._connection.transaction():
            await self._connection.execute(sql)
            if not self._connection.is_in_transaction():
                raise MigrationError(f"{migration.label} ends its own transaction; take COMMIT out of its file")
            await self._connection.execute(*record)

    async def _without_transaction(self, _: Migration, sql: str, record: tuple[object, ...]) -> None:
        """Run one statement, then record it. Drops an invalid index before and, on failure or cancellation, after.

        A concurrent one waits as long as it takes, for locks and old snapshots of others: no order queues behind it,
        and each new try would build the whole index anew.
        """
        index = ConcurrentIndex.of(sql)
        if index is not None:
            if not await concurrent_indexes.exists(self._connection, index):
                await concurrent_indexes.create(self._connection, index, sql)
        elif runs_concurrently(sql):
            async with concurrent_indexes.without_lock_timeout(self._connection):
                await self._connection.execute(sql)
        else:
            await self._connection.execute(sql)
        await self._connection.execute(*record)

    async def _drop_unfinished_indexes(self, applied: dict[tuple[int, Half], _Applied]) -> None:
        """Drop the indexes that a killed runner has left invalid: orders keep them up to date, and nobody uses them."""
        for migration in self._migrations:
            index = ConcurrentIndex.of(migration.sql)
            if index is not None and (migration.version, migration.half) not in applied:
                await concurrent_indexes.drop_invalid(self._connection, index)


_TABLE_IS_COMPLETE = (
    "SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('public.schema_migrations')"
    " AND attname = 'applied_for')"
)

_TABLE_IS_READABLE = "SELECT has_table_privilege('rtx_engine', 'public.schema_migrations', 'SELECT')"

_HAS_FENCE = "SELECT to_regclass('rtx_operator.execution_fence') IS NOT NULL"

# The session that holds the lock of runners; NULL if none does any more.
_RUNNER = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = 0 AND objid = $1 AND granted"

_RECORD = "INSERT INTO schema_migrations (version, half, name, checksum, applied_for) VALUES ($1, $2, $3, $4, $5)"
# Matches all columns, so that it deletes no record of another migration.
_UNRECORD = "DELETE FROM schema_migrations WHERE (version, half, name, checksum) = ($1, $2, $3, $4)"


def _check_expanded(wanted: Sequence[Migration], left: Sequence[Migration]) -> None:
    """Raise if `wanted` takes away what an expand half in `left`, which is not applied, has yet to copy.

    A Job that contracts may find a database that was restored from before the upgrade.
    """
    for contract in (one for one in wanted if one.half is Half.CONTRACT):
        for expand in (one for one in left if one.half is Half.EXPAND and one.version <= contract.version):
            raise MigrationError(
                f"{contract.label} was not applied, nor was anything else: it follows {expand.label}, which the "
                "database lacks; apply the expand halves first"
            )


def _check_not_below_contract(unwanted: Sequence[tuple[int, Half]], left: Sequence[tuple[int, Half]]) -> None:
    """Raise if an expand half would be reversed whose contract half stays: no column would have the values then."""
    for version, half in unwanted:
        if half is Half.EXPAND and (version, Half.CONTRACT) in left:
            raise MigrationError(
                f"version {version:04} is contracted, for another cutover or by hand; nothing was reversed: reverse "
                f"with --to {version - 1}"
            )


def _recorded(migration: Migration) -> tuple[object, ...]:
    return (migration.version, str(migration.half), migration.name, migration.checksum)


def _attempts(sql: str, lock: LockRetries) -> int:
    """What is built concurrently waits as long as it takes: only a deadlock ends it, and a new try builds it anew."""
    return min(lock.attempts, MAX_CONCURRENT_ATTEMPTS) if runs_concurrently(sql) else lock.attempts


async def _connect(database: Database, lock: LockRetries) -> "asyncpg.Connection":
    """A session of which every statement has the lock budget, unless it sets another one."""
    error: Exception | None = None
    deadline = asyncio.get_running_loop().time() + CONNECT_TIMEOUT_SECONDS
    while asyncio.get_running_loop().time() < deadline:
        try:
            return await asyncpg.connect(
                host=database.host,
                port=database.port,
                database=database.name,
                user=database.user,
                password=database.password,
                timeout=5,
                server_settings={
                    "application_name": "rtx-migrate",
                    "client_connection_check_interval": ORPHAN_CHECK,
                    "lock_timeout": f"{lock.timeout_ms}ms",
                },
            )
        except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError) as refusal:
            error = refusal
            break
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as failure:
            error = failure
            await asyncio.sleep(0.5)
    where = f"{database.host}:{database.port}/{database.name}"
    raise MigrationError(f"the database {where} refused {database.user}: {error}") from error
