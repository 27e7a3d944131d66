"""Makes the indexes that migrations create concurrently: PostgreSQL leaves an invalid one when that fails or is ended.

An index counts as made when it is valid and has the shape that its statement gives it, not by its name.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg  # type: ignore[import-untyped]  # ships no types
import structlog

from rtx_engine.store.migration_files import ConcurrentIndex

CLEANUP_TIMEOUT_SECONDS = 10.0  # to drop an invalid index when the runner fails or is ended

_FAILURES = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
# Whether an invalid index of that name is on that table.
_IS_LEFT_INVALID = (
    "SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass($1) AND indrelid = to_regclass($2)"
    " AND NOT indisvalid)"
)
_IS_VALID = "SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass($1) AND indisvalid)"
# The index of that name, and the name of its table.
_INDEX = (
    "SELECT relname AS of, pg_get_indexdef(indexrelid) AS definition"
    " FROM pg_index JOIN pg_class ON pg_class.oid = indrelid WHERE indexrelid = to_regclass($1)"
)

log = structlog.get_logger(__name__)


class IndexNotMadeError(Exception):
    """The index is not there. The message says why, and what is left of it."""


async def exists(connection: "asyncpg.Connection", index: ConcurrentIndex) -> bool:
    """Whether a runner that died before it recorded the index has made it. Drops an invalid one.

    Raises IndexNotMadeError when another index has its name.
    """
    await drop_invalid(connection, index)
    found = await connection.fetchrow(_INDEX, f"public.{index.name}")
    if found is None:
        return False
    if (found["of"], _shape(found["definition"])) != (index.table, await _wanted_shape(connection, index)):
        raise IndexNotMadeError(
            f"another index is called {index.name} ({found['definition']}); rename or drop it. Nothing was changed"
        )
    return True


async def create(connection: "asyncpg.Connection", index: ConcurrentIndex, sql: str) -> None:
    """Run `sql`, which creates the index. On failure or cancellation an invalid one is dropped.

    Raises IndexNotMadeError when it may be left, and asyncpg's errors when none is.
    """
    try:
        async with without_lock_timeout(connection):
            await connection.execute(sql)
    except BaseException as error:  # also when the runner is ended
        if await _is_cleaned_up(connection, index) or not isinstance(error, Exception):
            raise
        left = f"it may have left index {index.name} invalid, which the next run drops"
        raise IndexNotMadeError(f"{error}; {left}") from error
    if not await connection.fetchval(_IS_VALID, f"public.{index.name}"):
        raise IndexNotMadeError(f"{index.name} is no valid index after its statement")


async def drop_invalid(connection: "asyncpg.Connection", index: ConcurrentIndex) -> None:
    """Drop the index if it is invalid: orders keep it up to date, and nobody uses it."""
    if await connection.fetchval(_IS_LEFT_INVALID, f"public.{index.name}", f"public.{index.table}"):
        async with without_lock_timeout(connection):
            await connection.execute(f"DROP INDEX CONCURRENTLY public.{index.name}")


@asynccontextmanager
async def without_lock_timeout(connection: "asyncpg.Connection") -> AsyncIterator[None]:
    """For statements that wait for transactions of others, and behind which no order queues meanwhile."""
    await connection.execute("SET lock_timeout = 0")
    try:
        yield
    finally:
        if not connection.is_closed():
            await connection.execute("RESET lock_timeout")


async def _is_cleaned_up(connection: "asyncpg.Connection", index: ConcurrentIndex) -> bool:
    """Whether no invalid index is left. What keeps it from being dropped never hides why it was not made."""
    try:
        async with asyncio.timeout(CLEANUP_TIMEOUT_SECONDS):
            await drop_invalid(connection, index)
    except _FAILURES as error:
        log.warning("an invalid index may be left", index=index.name, error=str(error) or type(error).__name__)
        return False
    return True


async def _wanted_shape(connection: "asyncpg.Connection", index: ConcurrentIndex) -> tuple[bool, str]:
    """The shape that the statement gives the index: of one that is made for a moment on an empty copy of its table."""
    probe = connection.transaction()
    await probe.start()
    try:
        await connection.execute(f"CREATE TEMPORARY TABLE {index.table} (LIKE public.{index.table})")
        await connection.execute(index.in_transaction)
        made = await connection.fetchrow(_INDEX, f"pg_temp.{index.name}")
        return _shape(made["definition"])
    finally:
        await probe.rollback()


def _shape(definition: str) -> tuple[bool, str]:
    """Whether the index is unique, and its method, columns, options and condition: all but the names."""
    head, _, shape = definition.partition(" USING ")
    return head.startswith("CREATE UNIQUE"), shape
