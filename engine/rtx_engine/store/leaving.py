"""How a connection is given up so that the server keeps no session of it.

A backend that waits for a standby or a lock does not notice that its client has gone: it would keep its place among the
role's connections, the fence and the rows of its accounts. The server is asked to cancel its statement, which needs no
place. That is lost if the backend had yet to begin the statement, may come late, and cannot be asked for over a
connection that is lost. So a session that nobody has seen end is ended over the next connection.

That is for its locks and its place alone. What a client is told does not rest on it, so no connection is refused for
what a session before it does, or for what a server does not let this role do.
"""

import asyncio
import datetime as dt
from dataclasses import dataclass

import asyncpg  # type: ignore[import-untyped]  # ships no types
import structlog

from rtx_engine.store.database_errors import CONNECTION_LOST, costs_connection

CANCEL_TIMEOUT_SECONDS = 1.0  # for the server to say that it has ended the statement
END_TIMEOUT_SECONDS = 0.5  # for all sessions: then the next connection is used beside those that have not ended
END_POLL_SECONDS = 0.05

_SELF = "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
# Waits for none of them: a wait for each would add up to more than a statement's time. Those that have ended by
# themselves are not among its rows.
_END = """
SELECT pid, backend_start, pg_terminate_backend(pid)
FROM pg_stat_activity JOIN unnest($1::integer[], $2::timestamptz[]) AS given_up (pid, backend_start)
    USING (pid, backend_start)
"""
_MAY_GO_ON = "sessions that this pod leaves behind at the database may keep their locks and places there"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SessionId:
    """A session at a server. Its number alone may be another's: after a failover servers have the same ones."""

    number: int
    began: dt.datetime


class LeftSessions:
    """The sessions of earlier connections that nobody has seen end.

    Each method raises an error only if it costs the connection. What keeps sessions from being ended is logged once,
    until all of them have ended.
    """

    def __init__(self) -> None:
        self._sessions: set[SessionId] = set()
        self._warned = False

    def __bool__(self) -> bool:
        return bool(self._sessions)

    def note(self, session: SessionId) -> None:
        self._sessions.add(session)

    async def identify(self, connection: "asyncpg.Connection") -> SessionId | None:
        """The session of `connection`. None if the server does not tell: then it cannot be ended."""
        try:
            return SessionId(*await connection.fetchrow(_SELF))
        except asyncpg.PostgresError as error:
            self._report(error)
            return None

    async def end(self, connection: "asyncpg.Connection", seconds: float = END_TIMEOUT_SECONDS) -> None:
        """End them, and wait for all together. What has not ended within `seconds` stays noted."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + seconds
        try:
            while await self.ask_to_end(connection) and self._sessions and clock() < deadline:  # noqa: ASYNC110  # nothing tells of it
                await asyncio.sleep(END_POLL_SECONDS)
        finally:
            if self._sessions:
                self._warn("they have not ended yet")

    async def ask_to_end(self, connection: "asyncpg.Connection") -> bool:
        """Ask the server to end them, and forget those that have ended. False if it refuses."""
        asked = frozenset(self._sessions)  # others may come meanwhile
        if not asked:
            return True
        try:
            rows = await connection.fetch(_END, [one.number for one in asked], [one.began for one in asked])
        except asyncpg.PostgresError as error:
            self._report(error)
            return False
        self._sessions -= asked - {SessionId(row["pid"], row["backend_start"]) for row in rows}
        self._warned = self._warned and bool(self._sessions)
        return True

    def _report(self, error: "asyncpg.PostgresError") -> None:
        """Log what the server refuses. Raises `error` if it costs the connection."""
        if costs_connection(error):
            raise error
        self._warn(str(error))

    def _warn(self, reason: str) -> None:
        if not self._warned:
            log.warning(_MAY_GO_ON, reason=reason)
        self._warned = True


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


async def _answered(connection: "asyncpg.Connection") -> None:
    try:
        await connection.execute("SELECT")
    except CONNECTION_LOST:
        raise
    except asyncpg.PostgresError:  # in a transaction that has failed
        return
