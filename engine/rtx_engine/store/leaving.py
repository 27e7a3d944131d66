"""How a connection is given up so that the server keeps no session of it.

A backend that waits for a standby or a lock does not notice that its client has gone: it would keep its place among the
role's connections, the fence and the rows of its accounts. The server is asked to cancel its statement, which needs no
place. That is lost if the backend had yet to begin the statement, may come late, and cannot be asked for over a
connection that is lost. So a session that nobody has seen end is ended over the next connection.
"""

import asyncio
import datetime as dt
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import asyncpg  # type: ignore[import-untyped]  # ships no types

from rtx_engine.store.database_errors import CONNECTION_LOST

CANCEL_TIMEOUT_SECONDS = 1.0  # for the server to say that it has ended the statement
END_TIMEOUT_MS = 500  # for the sessions that are ended: then the next connection is used beside those that are not

_SELF = "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
# In one query, so that those which have ended by themselves cost no wait.
_END = """
SELECT pid, backend_start, pg_terminate_backend(pid, $3) AS ended
FROM pg_stat_activity JOIN unnest($1::integer[], $2::timestamptz[]) AS given_up (pid, backend_start)
    USING (pid, backend_start)
"""


@dataclass(frozen=True, slots=True)
class SessionId:
    """A session at a server. Its number alone may be another's: after a failover servers have the same ones."""

    number: int
    began: dt.datetime


async def identify(connection: "asyncpg.Connection") -> SessionId:
    """Raises asyncpg's errors."""
    return SessionId(*await connection.fetchrow(_SELF))


async def has_closed(connection: "asyncpg.Connection") -> bool:
    """Close the connection once nothing runs any more. False if that took too long: then it is closed, but not known.

    asyncpg has asked the server to cancel what ran when its caller stopped waiting, and waits for that before it sends
    anything else.
    """
    try:
        async with asyncio.timeout(CANCEL_TIMEOUT_SECONDS):
            await _answered(connection)
            await connection.close()
    except CONNECTION_LOST:
        return False
    finally:
        connection.terminate()
    return True


async def end(connection: "asyncpg.Connection", sessions: AbstractSet[SessionId]) -> set[SessionId]:
    """End sessions of the same role. Returns those that have not ended in time. Raises asyncpg's errors."""
    numbers, starts = [one.number for one in sessions], [one.began for one in sessions]
    rows = await connection.fetch(_END, numbers, starts, END_TIMEOUT_MS)
    return {SessionId(row["pid"], row["backend_start"]) for row in rows if not row["ended"]}


async def _answered(connection: "asyncpg.Connection") -> None:
    try:
        await connection.execute("SELECT")
    except CONNECTION_LOST:
        raise
    except asyncpg.PostgresError:  # in a transaction that has failed
        return
