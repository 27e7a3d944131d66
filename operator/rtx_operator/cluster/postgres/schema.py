"""Creates the fence's schema, `fence.sql`, and brings that of an earlier release up to date (ADR 0032, 0049)."""

from importlib.resources import files
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # ships no types

from rtx_operator.cluster.postgres.session import LOCK_TIMEOUT_MS
from rtx_operator.observation import FENCE_SCHEMA, FENCE_SCHEMA_NEEDS, FenceSchema

STEP_LOCK_TIMEOUT_MS = 100  # of a step beside a move; orders queue behind it
# A table lock is granted in the order of requests; an UPDATE alone starves under overlapping FOR SHARE readers.
LOCK = "LOCK TABLE rtx_operator.execution_fence IN EXCLUSIVE MODE"
_EXISTS = "SELECT to_regclass('rtx_operator.execution_fence') IS NOT NULL"
_HAS_VERSION = "SELECT to_regclass('rtx_operator.fence_schema') IS NOT NULL"
_VERSION = "SELECT version, needs FROM rtx_operator.fence_schema ORDER BY version DESC LIMIT 1"
_RECORD = "INSERT INTO rtx_operator.fence_schema (version, needs) VALUES ($1, $2)"
# Two operators would replace one function at the same time, and one of them fail. Ends with the transaction.
_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtext('rtx_operator.fence_schema'))"


def sql() -> str:
    """The text of `fence.sql`."""
    return files(__package__).joinpath("fence.sql").read_text(encoding="utf-8")


def steps() -> dict[int, str]:
    """What each version changes in tables that an earlier one has made, by version, in order: `steps/NNNN_*.sql`."""
    found = sorted(files(__package__).joinpath("steps").iterdir(), key=lambda file: file.name)
    return {int(file.name.partition("_")[0]): file.read_text(encoding="utf-8") for file in found}


async def exists(connection: Any) -> bool:
    """Whether the database has the fence's table. Raises asyncpg's errors."""
    return bool(await connection.fetchval(_EXISTS))


async def version(connection: Any) -> FenceSchema:
    """The version of the schema that is there; 0 where none is recorded. Raises asyncpg's errors."""
    row = await connection.fetchrow(_VERSION) if await connection.fetchval(_HAS_VERSION) else None
    return FenceSchema(row["version"], row["needs"]) if row else FenceSchema(0, 0)


async def bring_up_to_date_at_once(connection: Any) -> FenceSchema:
    """The same beside a move, which does not wait for it: where a step gets no lock, the version that is there stays.

    A dump of the database may hold a lock for hours. A schema that is not there at all is waited for.
    """
    try:
        async with connection.transaction():  # a savepoint
            await connection.execute(f"SET LOCAL lock_timeout = '{STEP_LOCK_TIMEOUT_MS}ms'")
            found = await bring_up_to_date(connection)
            await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_MS}ms'")
            return found
    except asyncpg.LockNotAvailableError:
        if not await exists(connection):
            raise
        return await version(connection)


async def bring_up_to_date(connection: Any) -> FenceSchema:
    """Run the steps since the version that is there, and `fence.sql`; nothing where it is not an older one.

    The caller opens the transaction, so that a step is run once or not at all. With a fence that is created, the caller
    inserts the row in it: nobody ever reads a fence without a row. Returns the version that is there now.
    Raises asyncpg.LockNotAvailableError after LOCK_TIMEOUT_MS, and asyncpg's other errors.
    """
    if not (found := await version(connection)).is_older:
        return found
    await connection.execute(_ONE_AT_A_TIME)
    if not (found := await version(connection)).is_older:
        return found  # another operator has just done it
    if await exists(connection):
        for number, step in steps().items():
            if number > found.version:
                await connection.execute(step)
    await connection.execute(sql())
    await connection.execute(_RECORD, FENCE_SCHEMA, FENCE_SCHEMA_NEEDS)
    return FenceSchema(FENCE_SCHEMA, FENCE_SCHEMA_NEEDS)
