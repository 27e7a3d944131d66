"""Creates and updates the fence's schema, `fence.sql`."""

from importlib.resources import files
from typing import Any

# A table lock is granted in the order of requests; an UPDATE alone starves under overlapping FOR SHARE readers.
LOCK = "LOCK TABLE rtx_operator.execution_fence IN EXCLUSIVE MODE"
_EXISTS = "SELECT to_regclass('rtx_operator.execution_fence') IS NOT NULL"
_HAS_HISTORY = "SELECT to_regclass('rtx_operator.execution_fence_history') IS NOT NULL"
_NAMES_REVISIONS = (
    "SELECT EXISTS (SELECT FROM pg_attribute WHERE attname = 'revisions'"
    " AND attrelid = to_regclass('rtx_operator.execution_fence'))"
)


async def exists(connection: Any) -> bool:
    """Whether the database has the fence's table. Raises asyncpg's errors."""
    return bool(await connection.fetchval(_EXISTS))


async def lock_and_update(connection: Any, *, to_name_revisions: bool) -> bool:
    """Lock the fence's table, if there is one, and run `fence.sql` where something that is needed is missing.

    A fence without the column `revisions` gets it only `to_name_revisions`: that takes a lock which waits for every
    reader. Returns whether the row can name revisions.
    The caller opens the transaction and inserts the row in it, so that nobody ever reads a fence without a row.
    Raises asyncpg.LockNotAvailableError after LOCK_TIMEOUT_MS, and asyncpg's other errors.
    """
    if await exists(connection):
        await connection.execute(LOCK)
    names_revisions = bool(await connection.fetchval(_NAMES_REVISIONS))
    if await connection.fetchval(_HAS_HISTORY) and (names_revisions or not to_name_revisions):
        return names_revisions
    sql = files(__package__).joinpath("fence.sql").read_text(encoding="utf-8")
    await connection.execute(sql)
    return True
