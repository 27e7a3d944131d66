"""The database session of a runner of migrations: how it connects, and that it is the only one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg  # type: ignore[import-untyped]  # ships no types

from rtx_engine.config import Database
from rtx_engine.store.database_errors import CONNECTION_LOST, READ_ONLY
from rtx_engine.store.migration_plan import MigrationError

LOCK_KEY = 0x52545800  # "RTX"; key of the runner's advisory lock
CONNECT_TIMEOUT_SECONDS = 30.0  # all attempts included; a new database may still be starting
RETRY_PAUSE_SECONDS = 0.5
RUNNER_LOCK_TIMEOUT_SECONDS = 60.0  # to wait for another runner
RUNNER_LOCK_PAUSE_SECONDS = 0.2  # between two tries to get its lock
ORPHAN_CHECK = "5s"  # PostgreSQL ends the statement of a runner that is gone this long after it has gone

# The session that holds the lock of runners; NULL if none does any more.
_RUNNER = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = 0 AND objid = $1 AND granted"
_HAS_FENCE = "SELECT to_regclass('rtx_operator.execution_fence') IS NOT NULL"


@dataclass(frozen=True, slots=True)
class LockRetries:
    """How a migration gets its table locks. The defaults are for production."""

    timeout_ms: int = 300  # of one attempt: orders queue behind a lock request that waits
    attempts: int = 30
    pause_seconds: float = 0.5  # between attempts, so that queued orders can proceed


PRODUCTION = LockRetries()


async def connect(database: Database, lock: LockRetries) -> "asyncpg.Connection":
    """A session of which every statement has the lock budget, unless it sets another one. Raises MigrationError."""
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
                target_session_attrs="read-write",  # in a failover the address may lead to a standby for a moment
                server_settings={
                    "application_name": "rtx-migrate",
                    "client_connection_check_interval": ORPHAN_CHECK,
                    "lock_timeout": f"{lock.timeout_ms}ms",
                },
            )
        except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError) as refusal:
            error = refusal
            break
        except asyncpg.TargetServerAttributeNotMatched:
            error = ConnectionError(READ_ONLY)
            await asyncio.sleep(RETRY_PAUSE_SECONDS)
        except (*CONNECTION_LOST, asyncpg.PostgresError) as failure:
            error = failure
            await asyncio.sleep(RETRY_PAUSE_SECONDS)
    where = f"{database.host}:{database.port}/{database.name}"
    raise MigrationError(f"the database {where} refused {database.user}: {error}") from error


@asynccontextmanager
async def exclusive(connection: "asyncpg.Connection") -> AsyncIterator[None]:
    """Hold the runner lock. It is a session lock: PostgreSQL releases it if the runner dies. Raises MigrationError.

    It is tried and not waited for: a statement that waits has a snapshot, for which an index that the other runner
    builds concurrently would wait in turn.
    """
    deadline = asyncio.get_running_loop().time() + RUNNER_LOCK_TIMEOUT_SECONDS
    while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK_KEY):
        if asyncio.get_running_loop().time() > deadline:
            holder = await connection.fetchval(_RUNNER, LOCK_KEY)
            raise MigrationError(
                f"another migration, of database session {holder}, has run for {RUNNER_LOCK_TIMEOUT_SECONDS:g} s; "
                "try again when it has ended"
            )
        await asyncio.sleep(RUNNER_LOCK_PAUSE_SECONDS)
    try:
        yield
    finally:
        if not connection.is_closed():
            await connection.execute("SELECT pg_advisory_unlock_all()")


async def check_owner(connection: "asyncpg.Connection", wanted: str) -> None:
    """Raise MigrationError if the database is another engine's, as after a restore of the wrong backup.

    Not if it has no fence, or if `wanted` is empty.
    """
    if not wanted or not await connection.fetchval(_HAS_FENCE):
        return
    owner = await connection.fetchval("SELECT owner FROM rtx_operator.execution_fence")
    if owner is not None and not owner.startswith(f"{wanted}/"):
        raise MigrationError(
            f"the database belongs to the TradingEngine {owner}, not to {wanted}; nothing was changed: "
            "restore this engine's own data"
        )
