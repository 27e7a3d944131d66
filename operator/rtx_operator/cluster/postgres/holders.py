"""Finds and ends the sessions that block a move of the fence.

Only a session whose application_name is a colour is ended: it belongs to an engine pod, which reconnects. A session
that is silent in its transaction is ended after one try of the move, because orders wait with the move. A session in
mid-statement is ended after mover.TRIES tries.
"""

from dataclasses import dataclass
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # ships no types
import structlog

from rtx_operator.api.enums import Colour
from rtx_operator.cluster.postgres.session import LOCK_TIMEOUT_MS
from rtx_operator.metrics import FENCE_HOLDERS_TERMINATED

# A transaction younger than one try is left out: it is a running order and ends by itself.
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
    """A session that has held a lock on the fence for longer than one try (LOCK_TIMEOUT_MS)."""

    pid: int
    name: str  # its application_name
    is_colour: bool
    is_silent: bool  # idle in its transaction for longer than one try


async def find_holders(connection: Any) -> list[Holder]:
    """Every session that has held a lock on the fence for longer than one try. Raises asyncpg's errors."""
    rows = await connection.fetch(_HOLDERS, [colour.value for colour in Colour], LOCK_TIMEOUT_MS)
    return [Holder(row["pid"], row["application_name"], row["is_colour"], row["is_silent"]) for row in rows]


async def end_holders(connection: Any, *, only_silent: bool) -> None:
    """End the holders that are colours; with `only_silent`, only those that are idle in their transaction.

    A holder that the operator may not end is logged and left. Raises asyncpg's other errors.
    """
    for holder in await find_holders(connection):
        if holder.is_colour and (holder.is_silent or not only_silent):
            log.warning("ending a session that blocks the move of the fence", colour=holder.name, pid=holder.pid)
            try:
                await connection.execute("SELECT pg_terminate_backend($1)", holder.pid)
            except asyncpg.InsufficientPrivilegeError:
                # Its role is not the engine's, so it is no engine pod. The move's error names it.
                log.warning(
                    "the operator may not end a session that blocks the move of the fence",
                    colour=holder.name,
                    pid=holder.pid,
                )
            else:
                FENCE_HOLDERS_TERMINATED.inc()
