"""The sessions that hold the fence."""

from dataclasses import dataclass
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # ships no types
import structlog

from rtx_operator.api.enums import Colour
from rtx_operator.cluster.postgres.session import LOCK_TIMEOUT_MS
from rtx_operator.metrics import FENCE_HOLDERS_TERMINATED

# A transaction younger than one try is at work and ends by itself.
_HOLDERS = """
SELECT holder.pid, holder.application_name, holder.application_name = ANY ($1) AS is_colour,
    holder.state = 'idle in transaction'
        AND holder.state_change < clock_timestamp() - $2 * interval '1 millisecond' AS is_silent
FROM pg_stat_activity AS holder
WHERE holder.pid <> pg_backend_pid() AND holder.xact_start < clock_timestamp() - $2 * interval '1 millisecond'
    AND EXISTS (
        SELECT FROM pg_locks AS lock
        WHERE lock.pid = holder.pid AND lock.granted AND lock.relation = 'rtx_operator.execution_fence'::regclass
            AND lock.database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND lock.mode <> 'AccessShareLock'
    )
"""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Holder:
    """A session that has held the fence for longer than one try."""

    pid: int
    name: str  # its application_name
    is_colour: bool
    is_silent: bool  # amid its transaction it has asked for nothing for as long


async def find_holders(connection: Any) -> list[Holder]:
    """Every session that has held the fence for longer than one try."""
    rows = await connection.fetch(_HOLDERS, [colour.value for colour in Colour], LOCK_TIMEOUT_MS)
    return [Holder(row["pid"], row["application_name"], row["is_colour"], row["is_silent"]) for row in rows]


async def end_holders(connection: Any, *, only_silent: bool) -> None:
    """End the holders that are colours, of them only the silent ones if `only_silent`."""
    for holder in await find_holders(connection):
        if holder.is_colour and (holder.is_silent or not only_silent):
            log.warning("ending a session that holds the fence", colour=holder.name, pid=holder.pid)
            try:
                await connection.execute("SELECT pg_terminate_backend($1)", holder.pid)
            except asyncpg.InsufficientPrivilegeError:  # no engine pod, whatever its name says: it is named in the end
                log.warning("a session that holds the fence is not ours to end", colour=holder.name, pid=holder.pid)
            else:
                FENCE_HOLDERS_TERMINATED.inc()
