"""Applies migrations and takes them back: one runner at a time, each migration whole or not at all."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import asyncpg  # type: ignore[import-untyped]  # ships no types
import structlog

from rtx_engine.config import Database
from rtx_engine.store.migration_files import Half, Migration, index_made_by, load, runs_in_transaction

LOCK_KEY = 0x52545800  # "RTX": of the advisory lock that one runner holds
CONNECT_DEADLINE = 30.0  # seconds, tries included: a database that has just been made may still be starting
RUNNER_DEADLINE = 60  # seconds to wait for another runner

_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version integer NOT NULL,
    half text NOT NULL CHECK (half IN ('expand', 'contract')),
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    applied_for text,  -- the cutover, if it was one's
    PRIMARY KEY (version, half)
);
ALTER TABLE schema_migrations ADD COLUMN IF NOT EXISTS applied_for text
"""

log = structlog.get_logger(__name__)


class MigrationError(Exception):
    """A migration was not carried out; the message is one sentence. What came before it stands."""


class State(StrEnum):
    APPLIED = "applied"
    PENDING = "pending"
    CHANGED = "changed"  # applied, but the file has been edited since
    UNKNOWN = "unknown"  # applied by another build, which has its file


@dataclass(frozen=True, slots=True)
class LockTries:
    """How a migration gets its locks. The defaults are production's."""

    timeout_ms: int = 300  # of one try: orders queue behind a lock that a migration waits for
    tries: int = 30
    pause: float = 0.5  # seconds between tries, in which orders flow


PRODUCTION = LockTries()


@dataclass(frozen=True, slots=True)
class Status:
    version: int
    half: Half
    name: str
    state: State
    applied_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Applied:
    name: str
    checksum: str
    applied_at: datetime
    applied_for: str | None


class Migrator:
    """Runs migrations over one connection of the role rtx_migrator."""

    def __init__(
        self, connection: "asyncpg.Connection", migrations: Sequence[Migration], lock: LockTries = PRODUCTION
    ) -> None:
        self._connection = connection
        self._migrations = migrations
        self._lock = lock

    @classmethod
    @asynccontextmanager
    async def connected(
        cls, database: Database, migrations: Sequence[Migration] | None = None, lock: LockTries = PRODUCTION
    ) -> AsyncIterator["Migrator"]:
        """Raises MigrationError when the database cannot be reached."""
        connection = await _connect(database)
        try:
            yield cls(connection, load() if migrations is None else migrations, lock)
        finally:
            await connection.close(timeout=5)

    async def up(self, half: Half | None = None, to: int | None = None, cutover: str | None = None) -> list[Migration]:
        """Apply what is pending, of one half or of both, up to version `to`. Returns what was applied.

        `cutover` is noted beside each, for `down`. Raises MigrationError, also when a newer build has contracted the
        database beyond what this build can run on; the migration that failed has left nothing behind.
        """
        async with self._alone():
            await self._make_table()
            applied = await self._applied()
            self._check_unchanged(applied)
            self._check_not_contracted(applied)
            done = []
            for migration in self._migrations:
                wanted = (half is None or migration.half is half) and (to is None or migration.version <= to)
                if wanted and (migration.version, migration.half) not in applied:
                    note = (_RECORD, *_recorded(migration), cutover)
                    await self._carry_out(migration, migration.sql, note, "migration applied")
                    done.append(migration)
            return done

    async def down(self, to: int | None = None, cutover: str | None = None) -> list[Migration]:
        """Take back every version above `to` (default: only the newest one), or just what was applied for `cutover`.

        Returns what was taken back. Raises MigrationError, also when something to take back is not among this build's
        files.
        """
        async with self._alone():
            await self._make_table()
            applied = await self._applied()
            if not applied:
                return []
            if cutover is not None:
                unwanted = [key for key, there in applied.items() if there.applied_for == cutover]
            else:
                keep = max(version for version, _ in applied) - 1 if to is None else to
                unwanted = [key for key in applied if key[0] > keep]
            known = {(migration.version, migration.half): migration for migration in self._migrations}
            backwards = sorted(unwanted, key=lambda key: (key[0], key[1] is Half.CONTRACT), reverse=True)
            for version, _ in (key for key in backwards if key not in known):
                raise MigrationError(
                    f"version {version:04} was applied by another build; take it back with that build's image"
                )
            for key in backwards:
                note = (_FORGET, *_recorded(known[key]))
                await self._carry_out(known[key], known[key].reverse, note, "migration taken back")
            return [known[key] for key in backwards]

    async def status(self) -> list[Status]:
        """Each half of each version, applied or not, in order."""
        applied = await self._applied()
        known = {(migration.version, migration.half): migration for migration in self._migrations}
        rows = []
        for key in sorted({*applied, *known}, key=lambda key: (key[0], key[1] is Half.CONTRACT)):
            there, file = applied.get(key), known.get(key)
            if there is None and file is not None:
                rows.append(Status(*key, file.name, State.PENDING, None))
            elif there is not None:
                changed = file is not None and file.checksum != there.checksum
                state = State.UNKNOWN if file is None else State.CHANGED if changed else State.APPLIED
                rows.append(Status(*key, there.name, state, there.applied_at))
        return rows

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Hold the runners' lock. It belongs to the session, so that a runner that dies lets go of it."""
        try:
            async with self._connection.transaction():
                await self._connection.execute(f"SET LOCAL lock_timeout = '{RUNNER_DEADLINE}s'")
                await self._connection.execute("SELECT pg_advisory_lock($1)", LOCK_KEY)
        except asyncpg.LockNotAvailableError:
            message = f"another migration has been running for {RUNNER_DEADLINE} s; wait for it to end and try again"
            raise MigrationError(message) from None
        try:
            yield
        finally:
            if not self._connection.is_closed():
                await self._connection.execute("SELECT pg_advisory_unlock_all()")

    async def _make_table(self) -> None:
        await self._connection.execute(_TABLE)
        await self._connection.execute("GRANT SELECT ON schema_migrations TO rtx_engine")

    async def _applied(self) -> dict[tuple[int, Half], _Applied]:
        if await self._connection.fetchval("SELECT to_regclass('public.schema_migrations') IS NULL"):
            return {}
        # As JSON, where a column that `up` has yet to add is only absent.
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
            there = applied.get((migration.version, migration.half))
            if there is not None and there.checksum != migration.checksum:
                message = f"{migration.label} was edited after it had been applied; put the change into a new version"
                raise MigrationError(message)

    def _check_not_contracted(self, applied: dict[tuple[int, Half], _Applied]) -> None:
        """What another build has added does no harm; what it has taken away may be what this build relies on."""
        known = {(migration.version, migration.half) for migration in self._migrations}
        for version, half in sorted(applied):
            if half is Half.CONTRACT and (version, half) not in known:
                raise MigrationError(
                    f"version {version:04} was contracted by a newer build; this build cannot run on it: run that "
                    "build or a newer one, or take the contract half back with its image"
                )

    async def _carry_out(self, migration: Migration, sql: str, note: tuple[object, ...], event: str) -> None:
        """One migration and the statement that notes it; tried again when it only could not get a lock."""
        run = self._in_transaction if runs_in_transaction(sql) else self._without_transaction
        tries = self._lock.tries
        for attempt in range(1, tries + 1):
            try:
                await run(migration, sql, note)
            except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
                log.warning("migration waits for a lock", migration=migration.label, attempt=attempt)
                if attempt == tries:
                    raise MigrationError(f"{migration.label} got no lock in {tries} tries: {error}") from error
                await asyncio.sleep(self._lock.pause)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
                raise MigrationError(f"{migration.label} failed and left nothing behind: {error}") from error
            else:
                log.info(event, migration=migration.label)
                return

    async def _in_transaction(self, migration: Migration, sql: str, note: tuple[object, ...]) -> None:
        async with self._connection.transaction():
            await self._connection.execute(f"SET LOCAL lock_timeout = '{self._lock.timeout_ms}ms'")
            await self._connection.execute(sql)
            if not self._connection.is_in_transaction():
                raise MigrationError(f"{migration.label} ends its own transaction; take COMMIT out of its file")
            await self._connection.execute(*note)

    async def _without_transaction(self, _: Migration, sql: str, note: tuple[object, ...]) -> None:
        """One statement, and the note after it. An index that was left half made is dropped, before and after."""
        index = index_made_by(sql)
        await self._connection.execute(f"SET lock_timeout = '{self._lock.timeout_ms}ms'")
        try:
            if index is not None:
                await self._drop_if_half_made(index)
            if index is None or not await self._connection.fetchval(_INDEX_STATE, index):
                await self._connection.execute(sql)
            await self._connection.execute(*note)
        except asyncpg.PostgresError:
            if index is not None:
                await self._drop_if_half_made(index)
            raise
        finally:
            if not self._connection.is_closed():
                await self._connection.execute("RESET lock_timeout")

    async def _drop_if_half_made(self, index: str) -> None:
        """An index whose making failed stays, costs each order, and serves no query."""
        if await self._connection.fetchval(_INDEX_STATE, index) is False:
            await self._connection.execute(f"DROP INDEX CONCURRENTLY {index}")


# Whether the index may be used; NULL: there is none.
_INDEX_STATE = "SELECT (SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1))"


_RECORD = "INSERT INTO schema_migrations (version, half, name, checksum, applied_for) VALUES ($1, $2, $3, $4, $5)"
# Names what was recorded in full, so that nothing is forgotten that is not the migration that was taken back.
_FORGET = "DELETE FROM schema_migrations WHERE (version, half, name, checksum) = ($1, $2, $3, $4)"


def _recorded(migration: Migration) -> tuple[object, ...]:
    return (migration.version, str(migration.half), migration.name, migration.checksum)


async def _connect(database: Database) -> "asyncpg.Connection":
    error: Exception | None = None
    deadline = asyncio.get_running_loop().time() + CONNECT_DEADLINE
    while asyncio.get_running_loop().time() < deadline:
        try:
            return await asyncpg.connect(
                host=database.host,
                port=database.port,
                database=database.name,
                user=database.user,
                password=database.password,
                timeout=5,
                server_settings={"application_name": "rtx-migrate"},
            )
        except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError) as refusal:
            error = refusal
            break
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as failure:
            error = failure
            await asyncio.sleep(0.5)
    where = f"{database.host}:{database.port}/{database.name}"
    raise MigrationError(f"the database {where} did not let {database.user} in: {error}") from error
