"""A database connection that is opened on demand, dropped on failure and reopened with backoff."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import asyncpg  # type: ignore[import-untyped]  # ships no types
import structlog

from rtx_engine.config import Database
from rtx_engine.store.database_errors import CONNECTION_LOST
from rtx_engine.store.errors import UnavailableError

CONNECT_TIMEOUT_SECONDS = 3.0  # of one attempt
STATEMENT_TIMEOUT_SECONDS = 3.0  # above the role's statement_timeout, for a server that does not respond at all
USE_TIMEOUT_SECONDS = 3.0  # to get the connection and to use it once
MAX_BACKOFF_SECONDS = 1.0

# Every look-up is by key, so one generic plan suits all arguments, and planning would cost more than running. Plans are
# made while the tables are empty and then kept: without enable_seqscan=off some would scan for ever.
_PLANNER_SETTINGS = {"enable_seqscan": "off", "jit": "off", "plan_cache_mode": "force_generic_plan"}
_SYNC_CANCELLED = "canceling wait for synchronous replication"
_SET_EPOCH = "SELECT set_config('rtx.epoch', $1, false)"

log = structlog.get_logger(__name__)


class UnconfirmedError(Exception):
    """A commit stopped waiting for its standby: it succeeded, and may be lost with this server."""


class Session:
    """A connection with the settings that the fence checks: rtx.colour, rtx.revision, rtx.owner and rtx.epoch.

    Its application_name is the colour.
    One caller at a time uses it (`use`). Every wait has a timeout.
    """

    def __init__(
        self,
        database: Database,
        colour: str,
        revision: str = "",
        owner: str = "",
    ) -> None:
        self._database = database
        self._colour = str(colour)  # asyncpg rejects a StrEnum
        self._revision = revision
        self._owner = owner
        self._connect_callbacks: list[Callable[[asyncpg.Connection], Awaitable[None]]] = []
        self._lock = asyncio.Lock()
        self._connection: asyncpg.Connection | None = None
        self._epoch: int | None = None
        self._failures = 0
        self._retry_at = 0.0
        self._wait_cancelled = False  # PostgreSQL says so in a warning

    def on_connect(self, callback: Callable[["asyncpg.Connection"], Awaitable[None]]) -> None:
        """Await `callback` with each new connection before it is used."""
        self._connect_callbacks.append(callback)

    @asynccontextmanager
    async def use(self, timeout_seconds: float = USE_TIMEOUT_SECONDS) -> AsyncIterator["asyncpg.Connection"]:
        """The connection, for at most `timeout_seconds`, waiting for it included.

        Raises UnavailableError if the database does not answer in time; other errors propagate.
        """
        try:
            async with asyncio.timeout(timeout_seconds), self._lock:
                connection = await self.open()
                try:
                    yield connection
                except (asyncio.CancelledError, *CONNECTION_LOST):
                    self.drop()  # its state is unknown
                    raise
        except CONNECTION_LOST as error:
            raise UnavailableError("the database does not answer; try again") from error

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator["asyncpg.Connection"]:
        """The connection, for a caller that bounds its own waits and drops the connection after its own failures.

        Raises as `open` does.
        """
        async with self._lock:
            yield await self.open()

    async def open(self) -> "asyncpg.Connection":
        """The connection, opened if necessary; waits for the backoff of the last failure.

        Raises an error of CONNECTION_LOST; ConnectionError if the server refuses the connection.
        """
        if self._connection is not None and not self._connection.is_closed():
            return self._connection
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._retry_at - loop.time()))
        try:
            connection = await self._connect()
        except Exception as error:
            self._failures += 1
            backoff = min(MAX_BACKOFF_SECONDS, 0.05 * 2**self._failures) * random.uniform(0.5, 1.0)  # noqa: S311  # not for security
            self._retry_at = loop.time() + backoff
            if self._failures == 1:
                log.warning("database connection failed", error=str(error) or type(error).__name__)
            if isinstance(error, asyncpg.PostgresError):
                raise ConnectionError(str(error)) from error
            raise
        if self._failures:
            log.info("database connection restored", attempts=self._failures + 1)
        self._failures = 0
        self._connection = connection
        return connection

    async def commit(
        self, connection: "asyncpg.Connection", statement: str, *arguments: object
    ) -> list["asyncpg.Record"]:
        """Run a statement that ends its transaction. Its rows are true after a failover to a standby, too.

        Raises UnconfirmedError if nobody knows that.
        """
        self._wait_cancelled = False
        rows: list[asyncpg.Record] = await connection.fetch(statement, *arguments)
        if self._wait_cancelled:
            raise UnconfirmedError
        return rows

    async def set_epoch(self, connection: "asyncpg.Connection", epoch: int) -> None:
        """Set rtx.epoch. Costs a round trip only if `epoch` is new."""
        if self._epoch != epoch:
            await connection.execute(_SET_EPOCH, str(epoch))
            self._epoch = epoch

    def drop(self) -> None:
        """Close the connection without waiting; the next use opens another."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await connection.close(timeout=1)
            except CONNECTION_LOST:
                connection.terminate()

    async def _connect(self) -> "asyncpg.Connection":
        database = self._database
        connection = await asyncpg.connect(
            host=database.host,
            port=database.port,
            database=database.name,
            user=database.user,
            password=database.password,
            timeout=CONNECT_TIMEOUT_SECONDS,
            command_timeout=STATEMENT_TIMEOUT_SECONDS,
            max_cached_statement_lifetime=0,  # keep prepared statements while the colour is idle
            server_settings={
                "application_name": self._colour,
                "rtx.colour": self._colour,
                "rtx.revision": self._revision,
                "rtx.owner": self._owner,
                **_PLANNER_SETTINGS,
            },
        )
        self._epoch = None
        connection.add_log_listener(self._on_log_message)
        try:
            for callback in self._connect_callbacks:
                await callback(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection

    def _on_log_message(self, _: object, message: "asyncpg.PostgresLogMessage") -> None:
        if message.message.startswith(_SYNC_CANCELLED):
            self._wait_cancelled = True
