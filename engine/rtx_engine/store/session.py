"""A database connection that is opened on demand, dropped on failure and reopened with backoff.

It is one to a server that can be written: a standby, or a former primary that is read-only now, is as good as none. A
server that accepts connections and then fails each of them is asked as seldom as one that refuses them.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import asyncpg  # type: ignore[import-untyped]  # ships no types
import structlog

from rtx_engine.config import Database
from rtx_engine.store.database_errors import CONNECTION_LOST, READ_ONLY
from rtx_engine.store.dialing import Addresses, Dialer
from rtx_engine.store.errors import UnavailableError
from rtx_engine.store.leaving import CANCEL_TIMEOUT_SECONDS, LeftSessions, SessionId, has_closed

CONNECT_TIMEOUT_SECONDS = 3.0  # of one attempt
STATEMENT_TIMEOUT_SECONDS = 3.0  # above the role's statement_timeout, for a server that does not respond at all
USE_TIMEOUT_SECONDS = 3.0  # from the first statement of a use to its end
WAIT_TIMEOUT_SECONDS = 3.0  # for the uses before
CLOSE_TIMEOUT_SECONDS = 5.0  # to end the sessions that are left, if not all of them have ended at once
MAX_BACKOFF_SECONDS = 0.5  # the pod finds a new primary so much later at most
# Before the server is asked again to end sessions that are left; twice as long each time, as it may take no notice.
END_PAUSE_SECONDS, MAX_END_PAUSE_SECONDS = 0.5, 5.0

# Every look-up is by key, so one generic plan suits all arguments, and planning would cost more than running. Plans are
# made while the tables are empty and then kept: without enable_seqscan=off some would scan for ever.
_PLANNER_SETTINGS = {"enable_seqscan": "off", "jit": "off", "plan_cache_mode": "force_generic_plan"}
_SYNC_CANCELLED = "canceling wait for synchronous replication"
# Which a server reports when it changes them, unasked (PostgreSQL 14 and later).
_READ_ONLY_SETTINGS = ("in_hot_standby", "default_transaction_read_only")
_CLOSED = "this server is stopping; try again"
_SET_EPOCH = "SELECT set_config('rtx.epoch', $1, false)"

log = structlog.get_logger(__name__)


class UnconfirmedError(Exception):
    """Nobody knows whether a commit counts: it stopped waiting for its standby, or its answer was lost.

    `in_vain`: it has waited for its standby as long as it might.
    """

    def __init__(self, *, in_vain: bool = False) -> None:
        super().__init__()
        self.in_vain = in_vain


class ClosedError(ConnectionError):
    """The session is closed, and opens no connection any more; the message is one sentence."""


class Session:
    """A connection with the settings that the fence checks: rtx.colour, rtx.revision, rtx.owner and rtx.epoch.

    Its application_name is the colour.
    One caller at a time uses it (`use`). Every wait has a timeout, and to wait for others costs no connection.
    """

    def __init__(
        self,
        database: Database,
        colour: str,
        revision: str = "",
        owner: str = "",
        *,
        lock_timeout_ms: int = 0,
        addresses: Addresses | None = None,
    ) -> None:
        """`lock_timeout_ms`: how long a statement waits for a lock; 0: as long as it may run.

        `addresses`: what the pod's sessions know of the database's host; None: its own.
        """
        self._database = database
        self._lock_timeout_ms = lock_timeout_ms
        self._addresses = addresses or Addresses()
        self._colour = str(colour)  # asyncpg rejects a StrEnum
        self._revision = revision
        self._owner = owner
        self._connect_callbacks: list[Callable[[asyncpg.Connection], Awaitable[None]]] = []
        self._lock = asyncio.Lock()
        self._connection: asyncpg.Connection | None = None
        self._opening: asyncio.Timeout | None = None  # of a connection that is being opened: `close` ends it
        self._id: SessionId | None = None  # of the newest connection, if the server tells
        self._leaving: set[asyncio.Task[None]] = set()  # of the connections before
        self._left = LeftSessions()
        self._ending: asyncio.Task[None] | None = None  # ends those
        self._closing = False
        self._epoch: int | None = None
        self._failures = 0  # since a connection was last of use
        self._retry_at = 0.0
        self._proved = False  # the present connection has been of use
        self._wait_cancelled = False  # PostgreSQL says so in a warning

    def on_connect(self, callback: Callable[["asyncpg.Connection"], Awaitable[None]]) -> None:
        """Await `callback` with each new connection before it is used. What it raises costs the connection."""
        self._connect_callbacks.append(callback)

    @asynccontextmanager
    async def use(
        self, timeout_seconds: float = USE_TIMEOUT_SECONDS, wait_seconds: float = WAIT_TIMEOUT_SECONDS
    ) -> AsyncIterator["asyncpg.Connection"]:
        """The connection, for at most `timeout_seconds` from when it is this caller's turn.

        Raises UnavailableError if the turn does not come within `wait_seconds`, if the database does not answer in
        time, or after `close`; other errors propagate. A statement that the server gives up costs no connection.
        """
        async with self._turn(wait_seconds):
            try:
                connection = await self.open()
                try:
                    async with asyncio.timeout(timeout_seconds):
                        yield connection
                    self._check_writable(connection)
                except asyncpg.QueryCanceledError:
                    raise
                except (asyncio.CancelledError, *CONNECTION_LOST):
                    self.drop()  # its state is unknown
                    raise
            except ClosedError as error:
                raise UnavailableError(str(error)) from error
            except CONNECTION_LOST as error:
                raise UnavailableError("the database does not answer; try again") from error
            self._prove()

    @asynccontextmanager
    async def _turn(self, seconds: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(seconds):
                await self._lock.acquire()
        except TimeoutError as error:
            raise UnavailableError("the database is busy; try again") from error
        try:
            yield
        finally:
            self._lock.release()

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator["asyncpg.Connection"]:
        """The connection, for a caller that bounds its own waits and drops the connection after its own failures.

        Raises as `open` does.
        """
        async with self._lock:
            yield await self.open()

    async def open(self) -> "asyncpg.Connection":
        """The connection, opened if necessary; waits for the backoff of the last failure.

        Raises an error of CONNECTION_LOST; ConnectionError if the server refuses the connection; ClosedError after
        `close`, also if that comes meanwhile.
        """
        if self._connection is not None and not self._connection.is_closed():
            return self._connection
        try:
            async with asyncio.timeout(None) as self._opening:
                connection = await self._connect_when_due()
        except TimeoutError as error:
            if self._closing:
                raise ClosedError(_CLOSED) from error
            raise
        finally:
            self._opening = None
        self._connection, self._proved = connection, False
        if self._closing:  # since the last moment
            self._leave()
            raise ClosedError(_CLOSED)
        return connection

    async def _connect_when_due(self) -> "asyncpg.Connection":
        if self._leaving:  # so that a pod's connections are hardly ever more than its sessions
            await asyncio.wait(self._leaving, timeout=CANCEL_TIMEOUT_SECONDS)
        await asyncio.sleep(max(0.0, self._retry_at - asyncio.get_running_loop().time()))
        if self._closing:
            raise ClosedError(_CLOSED)
        try:
            return await self._connect_prepared()
        except Exception as error:
            self._count_failure(str(error) or type(error).__name__)
            if isinstance(error, asyncpg.PostgresError):
                raise ConnectionError(str(error)) from error
            raise

    async def commit(
        self,
        connection: "asyncpg.Connection",
        statement: str,
        *arguments: object,
        timeout_seconds: float | None = None,
    ) -> list["asyncpg.Record"]:
        """Run a statement that ends its transaction. Its rows are true after a failover to a standby, too.

        Raises UnconfirmedError if nobody knows that. So it does after `timeout_seconds`: the statement is cancelled.
        Without them its timeout costs the connection.
        """
        self._wait_cancelled = False
        try:
            rows: list[asyncpg.Record] = await connection.fetch(statement, *arguments, timeout=timeout_seconds)
        except TimeoutError as error:
            if timeout_seconds is None:
                raise
            await connection.execute("SELECT")  # asyncpg has cancelled the statement; this waits for its end
            self._prove()
            raise UnconfirmedError(in_vain=self._wait_cancelled) from error
        self._prove()
        if self._wait_cancelled:
            raise UnconfirmedError
        return rows

    async def set_epoch(self, connection: "asyncpg.Connection", epoch: int) -> None:
        """Set rtx.epoch. Costs a round trip only if `epoch` is new."""
        if self._epoch != epoch:
            await connection.execute(_SET_EPOCH, str(epoch))
            self._epoch = epoch

    def drop(self) -> None:
        """Give up the connection without waiting. The next use opens another: at once, if this one has been of use."""
        if self._leave() and not self._proved:
            self._count_failure("lost at its first use")

    async def close(self) -> None:
        """Close the connection, also one that is being opened, and end the sessions of those before.

        From now on `open` refuses. Takes CLOSE_TIMEOUT_SECONDS at most. If cancelled, that goes on.
        """
        self._closing = True
        if self._opening is not None and not self._opening.expired():
            self._opening.reschedule(0.0)
        self._leave()
        await asyncio.wait([asyncio.create_task(self._end_all(), name="sessions that are left")])

    def _leave(self) -> bool:
        """End the session of the connection, if there is one. A connection that is lost cannot be asked for that."""
        connection, self._connection = self._connection, None
        if connection is None:
            return False
        if connection.is_closed():
            self._note_left(self._id)
        else:
            leaving = asyncio.create_task(self._ask_to_end(connection, self._id), name="connection that is given up")
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)
        return True

    async def _ask_to_end(self, connection: "asyncpg.Connection", session: SessionId | None) -> None:
        if not await has_closed(connection):
            self._note_left(session)

    def _note_left(self, session: SessionId | None) -> None:
        """Have the session ended over the next connection, which is opened for that if for nothing else."""
        if session is None:
            return
        self._left.note(session)
        if not self._closing and (self._ending is None or self._ending.done()):
            self._ending = asyncio.create_task(self._end_left(), name="sessions that are left")

    async def _end_left(self) -> None:
        pause = END_PAUSE_SECONDS
        while self._left:
            await asyncio.sleep(pause)
            pause = min(2 * pause, MAX_END_PAUSE_SECONDS)
            with suppress(UnavailableError):
                async with self.use() as connection:  # which others want, too: it is not kept until they have ended
                    await self._left.ask_to_end(connection)

    async def _end_all(self) -> None:
        """End what is left, over a connection for that alone."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS) as limit:
                if self._ending is not None:
                    self._ending.cancel()
                    await asyncio.wait([self._ending])
                async with self._lock:  # whoever opens or uses a connection has been refused
                    pass
                while self._leaving:
                    await asyncio.wait(self._leaving)
                while self._left and not limit.expired():  # a client library may swallow a cancellation
                    if await self._end_over_another():
                        break
                    await asyncio.sleep(END_PAUSE_SECONDS)

    async def _end_over_another(self) -> bool:
        """Whether there was a connection, over which they were asked to end."""
        with suppress(*CONNECTION_LOST, asyncpg.PostgresError):
            connection = await self._connect()
            try:
                await self._left.end(connection, CLOSE_TIMEOUT_SECONDS)
                return True
            finally:
                connection.terminate()
        return False

    async def _connect_prepared(self) -> "asyncpg.Connection":
        connection = await self._connect()
        self._epoch = None
        connection.add_log_listener(self._on_log_message)
        try:
            self._id = await self._left.identify(connection)
            await self._left.end(connection)
            for callback in self._connect_callbacks:
                await callback(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _connect(self) -> "asyncpg.Connection":
        database = self._database
        try:
            return await asyncpg.connect(
                host=database.host,
                port=database.port,
                database=database.name,
                user=database.user,
                password=database.password,
                timeout=CONNECT_TIMEOUT_SECONDS,
                loop=Dialer(self._addresses),
                target_session_attrs="read-write",
                command_timeout=STATEMENT_TIMEOUT_SECONDS,
                max_cached_statement_lifetime=0,  # keep prepared statements while the colour is idle
                server_settings={
                    "application_name": self._colour,
                    "rtx.colour": self._colour,
                    "rtx.revision": self._revision,
                    "rtx.owner": self._owner,
                    "lock_timeout": str(self._lock_timeout_ms),
                    **_PLANNER_SETTINGS,
                },
            )
        except asyncpg.TargetServerAttributeNotMatched as error:
            raise ConnectionError(READ_ONLY) from error

    def _check_writable(self, connection: "asyncpg.Connection") -> None:
        """Raises ConnectionError if the server has become read-only: what it shows may be old, and stays so."""
        settings = connection.get_settings()
        if any(getattr(settings, name, "off") == "on" for name in _READ_ONLY_SETTINGS):
            raise ConnectionError(READ_ONLY)

    def _prove(self) -> None:
        """Note that the connection has been of use: the next failure is the first."""
        self._proved = True
        if self._failures:
            log.info("database connection restored", attempts=self._failures + 1)
        self._failures = 0

    def _count_failure(self, error: str) -> None:
        self._failures += 1
        pause = min(MAX_BACKOFF_SECONDS, 0.05 * 2**self._failures) * random.uniform(0.5, 1.0)  # noqa: S311  # not for security
        self._retry_at = asyncio.get_running_loop().time() + pause
        if self._failures == 1:
            log.warning("database connection failed", error=error)

    def _on_log_message(self, _: object, message: "asyncpg.PostgresLogMessage") -> None:
        if message.message.startswith(_SYNC_CANCELLED):
            self._wait_cancelled = True
