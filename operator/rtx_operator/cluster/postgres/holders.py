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

# A transaction younger than one try is left out: it is a running order and ends by itself. A session that holds a lock
# is in a transaction: without a start of that, the operator's role does not see what the session does.
_HOLDERS = """
SELECT pid, coalesce(holder.application_name, '') AS application_name,
    holder.application_name = ANY ($1) IS TRUE AS is_colour,
    (holder.state = 'idle in transaction'
        AND holder.state_change < clock_timestamp() - $2 * interval '1 millisecond') IS TRUE AS is_silent,
    holder.xact_start IS NULL AS is_hidden
FROM (
    SELECT DISTINCT pid FROM pg_locks
    WHERE granted AND relation = 'rtx_operator.execution_fence'::regclass AND pid <> pg_backend_pid()
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND mode <> 'AccessShareLock'
) AS locks JOIN pg_stat_activity AS holder USING (pid)
WHERE holder.xact_start IS NULL OR holder.xact_start < clock_timestamp() - $2 * interval '1 millisecond'
"""
_UNSEEN = (
    "sessions that the operator's role may not see: grant it SELECT on pg_stat_activity and pg_locks, "
    "and the role pg_read_all_stats"
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Holder:
    """A session that has held a lock on the fence for longer than one try (LOCK_TIMEOUT_MS)."""

    pid: int
    name: str  # its application_name
    is_colour: bool
    is_silent: bool  # idle in its transaction for longer than one try
    is_hidden: bool = False  # the operator may not see what it does, nor for how long


async def _find_holders(connection: Any) -> list[Holder] | None:
    """Every session that has held a lock on the fence for longer than one try, or may have. None: nobody is shown."""
    try:
        rows = await connection.fetch(_HOLDERS, [colour.value for colour in Colour], LOCK_TIMEOUT_MS)
    except asyncpg.InsufficientPrivilegeError:  # a hardened server: the move goes on without ending anybody
        return None
    return [
        Holder(row["pid"], row["application_name"], row["is_colour"], row["is_silent"], row["is_hidden"])
        for row in rows
    ]


async def describe_holders(connection: Any) -> str:
    """Who holds the fence, in words. Raises asyncpg's errors."""
    holders = await _find_holders(connection)
    if holders is None:
        return _UNSEEN
    named = [f"{holder.name or 'an unnamed session'} (pid {holder.pid})" for holder in holders]
    if any(holder.is_hidden for holder in holders):
        named.append(_UNSEEN)
    return ", ".join(named) or "short transactions"


async def end_holders(connection: Any, *, only_silent: bool) -> None:
    """End the holders that are colours; with `only_silent`, only those that are idle in their transaction.

    A holder that the operator may not see or end is left, the latter logged. Raises asyncpg's other errors.
    """
    for holder in await _find_holders(connection) or ():
        if holder.is_colour and not holder.is_hidden and (holder.is_silent or not only_silent):
            log.warning("ending a session that blocks the move of the fence", colour=holder.name, pid=holder.pid)
            try:
                await connection.execute("SELECT pg_terminate_backend($1)", holder.pid)
            except asyncpg.InsufficientPrivilegeError:
                # A role that is not the engine's, so no engine pod; or a server that lets nobody end sessions. The
                # move's error names it.
                log.warning(
                    "the operator may not end a session that blocks the move of the fence",
                    colour=holder.name,
                    pid=holder.pid,
                )
            else:
                FENCE_HOLDERS_TERMINATED.inc()
