"""The fence's schema: `fence.sql`, and whether a database has it."""

from importlib.resources import files
from typing import Any

# EXCLUSIVE on the table first: its queue is fair, whereas an UPDATE alone starves under overlapping FOR SHARE readers.
LOCK = "LOCK TABLE rtx_operator.execution_fence IN EXCLUSIVE MODE"
_EXISTS = "SELECT to_regclass('rtx_operator.execution_fence') IS NOT NULL"
_IS_CURRENT = "SELECT to_regclass('rtx_operator.execution_fence_history') IS NOT NULL"


async def exists(connection: Any) -> bool:
    """Whether the database has the fence's table."""
    return bool(await connection.fetchval(_EXISTS))


async def lock_and_update(connection: Any) -> None:
    """Lock the fence and bring its schema up to date, inside a transaction."""
    if await exists(connection):
        await connection.execute(LOCK)
    if not await connection.fetchval(_IS_CURRENT):
        # The schema and its row appear together, so that nobody ever sees a fence without a row.
        sql = files(__package__).joinpath("fence.sql").read_text(encoding="utf-8")
        await connection.execute(sql)
