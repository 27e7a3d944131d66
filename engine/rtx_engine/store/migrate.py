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
from rtx_engine.store.migration_files import Half, Migration, load

LOCK_KEY = 0x52545800  # "RTX": of the advisory lock that one runner holds
CONNECT_DEADLINE = 30.0  # seconds, tries included: a database that has just been made may still be starting
RUNNER_DEADLINE = 60  # seconds to wait for another runner
LOCK_TIMEOUT = "2s"  # of one try: orders queue behind a lock that a migration waits for
LOCK_TRIES = 10
LOCK_PAUSE = 1.0  # seconds between tries, in which orders flow

_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version integer NOT NULL,
    half text NOT NULL CHECK (half IN ('expand', 'contract')),
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (version, half)
)
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


class Migrator:
    """Runs migrations over one connection of the role rtx_migrator."""

    def __init__(self, connection: "asyncpg.Connection", migrations: Sequence[Migration]) -> None:
        self._connection = connection
        self._migrations = migrations

    @classmethod
    @asynccontextmanager
    async def connected(
        cls, database: Database, migrations: Sequence[Migration] | None = None
    ) -> AsyncIterator["Migrator"]:
        """Raises MigrationError when the database cannot be reached."""
        connection = await _connect(database)
        try:
            yield cls(connection, load() if migrations is None else migrations)
        finally:
            await connection.close(timeout=5)

    async def up(self, half: Half | None = None, to: int | None = None) -> list[Migration]:
        """Apply what is pending, of one half or of both, up to version `to`. Returns what was applied.

        Raises MigrationError; the migration that failed has left nothing behind.
        """
        async with self._alone():
            await self._make_table()
            applied = await self._applied()
            self._check_unchanged(applied)
            done = []
            for migration in self._migrations:
                wanted = (half is None or migration.half is half) and (to is None or migration.version <= to)
                if wanted and (migration.version, migration.half) not in applied:
                    await self._carry_out(migration, migration.sql, _RECORD, "migration applied")
                    done.append(migration)
            return done

    async def down(self, to: int | None = None) -> list[Migration]:
        """Take back every version above `to` (default: only the newest one). Returns what was taken back.

        Raises MigrationError, also when a version to take back is not among this build's files.
        """
        async with self._alone():
            await self._make_table()
            applied = await self._applied()
            if not applied:
                return []
            newest = max(version for version, _ in applied)
            keep = newest - 1 if to is None else to
            known = {(migration.version, migration.half): migration for migration in self._migrations}
            backwards = sorted(
                (key for key in applied if key[0] > keep),
                key=lambda key: (key[0], key[1] is Half.CONTRACT),
                reverse=True,
            )
            for version, _ in (key for key in backwards if key not in known):
                raise MigrationError(
                    f"version {version:04} was applied by another build; take it back with that build's image"
                )
            for key in backwards:
                await self._carry_out(known[key], known[key].reverse, _FORGET, "migration taken back")
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
        rows = await self._connection.fetch("SELECT version, half, name, checksum, applied_at FROM schema_migrations")
        return {
            (row["version"], Half(row["half"])): _Applied(row["name"], row["checksum"], row["applied_at"])
            for row in rows
        }

    def _check_unchanged(self, applied: dict[tuple[int, Half], _Applied]) -> None:
        for migration in self._migrations:
            there = applied.get((migration.version, migration.half))
            if there is not None and there.checksum != migration.checksum:
                message = f"{migration.label} was edited after it had been applied; put the change into a new version"
                raise MigrationError(message)

    async def _carry_out(self, migration: Migration, sql: str, record: str, event: str) -> None:
        """One migration and its record, in one transaction; tried again when it only could not get a lock."""
        for attempt in range(1, LOCK_TRIES + 1):
            try:
                async with self._connection.transaction():
                    await self._connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
                    await self._connection.execute(sql)
                    if not self._connection.is_in_transaction():
                        raise MigrationError(f"{migration.label} ends its own transaction; take COMMIT out of its file")
                    arguments = (migration.version, str(migration.half), migration.name, migration.checksum)
                    await self._connection.execute(record, *arguments)
            except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
                log.warning("migration waits for a lock", migration=migration.label, attempt=attempt)
                if attempt == LOCK_TRIES:
                    raise MigrationError(f"{migration.label} got no lock in {LOCK_TRIES} tries: {error}") from error
                await asyncio.sleep(LOCK_PAUSE)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                raise MigrationError(f"{migration.label} failed and left nothing behind: {error}") from error
            else:
                log.info(event, migration=migration.label)
                return


_RECORD = "INSERT INTO schema_migrations (version, half, name, checksum) VALUES ($1, $2, $3, $4)"
# Names what was recorded in full, so that nothing is forgotten that is not the migration that was taken back.
_FORGET = "DELETE FROM schema_migrations WHERE (version, half, name, checksum) = ($1, $2, $3, $4)"


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
