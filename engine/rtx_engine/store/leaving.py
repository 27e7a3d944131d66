"""How a connection is given up so that the server keeps no session of it.

A backend that waits for a standby or a lock does not notice that its client has gone: it would keep its place among the
role's connections, the fence and the rows of its accounts. The server is asked to cancel its statement, which needs no
place. That is lost if the backend had yet to begin the statement, and may come late. So a session of which nobody knows
that it has ended is ended over another connection.
"""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg  # type: ignore[import-untyped]  # ships no types
import structlog

from rtx_engine.store.database_errors import CONNECTION_LOST

CANCEL_TIMEOUT_SECONDS = 1.0  # for the server to say that it has ended the statement
PAUSES_SECONDS = (0.0, 1.0, 2.0, 4.0, 8.0)  # before each attempt to end the session over another connection

# The number may be another's by now, for a server that has just started gives the same ones again: so only a session is
# ended that is of this colour and as old as the connection was. To connect, and to ask for this, takes seconds.
_END = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid = $1 AND usename = current_user AND datname = current_database()
    AND application_name = current_setting('application_name')
    AND extract(epoch FROM clock_timestamp() - backend_start) BETWEEN $2::float8 - 1 AND $2::float8 + 10
"""

log = structlog.get_logger(__name__)


async def leave(
    connection: "asyncpg.Connection", since: float, connect: Callable[[], Awaitable["asyncpg.Connection"]]
) -> None:
    """Close the connection and end its session. A connection that is lost anyway is not asked for.

    `since`: the event loop's time when it was opened. `connect` opens another one as the same role. Raises nothing:
    after half a minute at most it gives up.
    """
    if connection.is_closed():
        return
    session = connection.get_server_pid()
    if await _has_closed(connection):
        return
    for pause in PAUSES_SECONDS:
        await asyncio.sleep(pause)
        try:
            await _end(session, since, connect)
        except (*CONNECTION_LOST, asyncpg.PostgresError) as error:
            log.debug("cannot end a session that was given up", session=session, error=str(error))
        else:
            return
    log.warning("a session that was given up may be left at the database", session=session)


async def _has_closed(connection: "asyncpg.Connection") -> bool:
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


async def _end(session: int, since: float, connect: Callable[[], Awaitable["asyncpg.Connection"]]) -> None:
    other = await connect()
    try:
        await other.fetch(_END, session, asyncio.get_running_loop().time() - since)
    finally:
        other.terminate()
