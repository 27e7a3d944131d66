"""One database connection that comes back: opened when needed, dropped when it fails, tried again with backoff."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import asyncpg  # type: ignore[import-untyped]  # ships no types
import structlog

from rtx_engine.config import Database
from rtx_engine.store.errors import CONNECTION_LOST, UnavailableError

CONNECT_DEADLINE = 3.0  # seconds, of one try
STATEMENT_DEADLINE = 3.0  # seconds: above the role's statement_timeout, for a server that does not answer at all
USE_DEADLINE = 3.0  # seconds to wait for the connection and to do one piece of work with it
MAX_BACKOFF = 1.0  # seconds between tries

# Every lookup here is by key: one plan is right for all arguments, and making it anew each time costs more than running
# it. Plans are made while tables are empty and kept: with scans allowed some would scan for ever.
_PLANNING = {"enable_seqscan": "off", "jit": "off", "plan_cache_mode": "force_generic_plan"}
_ADOPT = "SELECT set_config('rtx.epoch', $1, false)"

log = structlog.get_logger(__name__)


class Session:
    """A connection that says who it is: application_name and rtx.colour are the colour, rtx.epoch the fence's epoch.

    One caller at a time has it (`use`). Nothing here waits without a deadline.
    """

    def __init__(
        self,
        database: Database,
        colour: str,
        on_connect: Callable[["asyncpg.Connection"], Awaitable[None]] | None = None,
    ) -> None:
        self._database = database
        self._colour = str(colour)  # a StrEnum upsets asyncpg
        self._on_connect = on_connect
        self._lock = asyncio.Lock()
        self._connection: asyncpg.Connection | None = None
        self._epoch: int | None = None
        self._failures = 0
        self._not_before = 0.0

    @asynccontextmanager
    async def use(self, deadline: float = USE_DEADLINE) -> AsyncIterator["asyncpg.Connection"]:
        """The connection, for one piece of work of at most `deadline` seconds, waiting for it included.

        Raises UnavailableError when the database does not answer in time; other errors pass.
        """
        try:
            async with asyncio.timeout(deadline), self._lock:
                connection = await self.open()
                try:
                    yield connection
                except (asyncio.CancelledError, *CONNECTION_LOST):
                    self.drop()  # nobody knows in the middle of what
                    raise
        except CONNECTION_LOST as error:
            raise UnavailableError("the database does not answer; try again") from error

    async def open(self) -> "asyncpg.Connection":
        """The connection, opened if it is not; waits first when the last try has just failed.

        Raises what CONNECTION_LOST names; a server that refuses us, for whatever reason, is a ConnectionError.
        """
        if self._connection is not None and not self._connection.is_closed():
            return self._connection
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._not_before - loop.time()))
        try:
            connection = await self._connect()
        except Exception as error:
            self._failures += 1
            backoff = min(MAX_BACKOFF, 0.05 * 2**self._failures) * random.uniform(0.5, 1.0)  # noqa: S311  # no secret
            self._not_before = loop.time() + backoff
            if self._failures == 1:
                log.warning("database connection failed", error=str(error) or type(error).__name__)
            if isinstance(error, asyncpg.PostgresError):
                raise ConnectionError(str(error)) from error
            raise
        if self._failures:
            log.info("database connection is back", tries=self._failures + 1)
        self._failures = 0
        self._connection = connection
        return connection

    async def adopt(self, connection: "asyncpg.Connection", epoch: int) -> None:
        """Say from now on that we know of `epoch`. Costs a round trip only when that is news."""
        if self._epoch != epoch:
            await connection.execute(_ADOPT, str(epoch))
            self._epoch = epoch

    def drop(self) -> None:
        """Give the connection up without waiting; the next use opens another."""
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
            timeout=CONNECT_DEADLINE,
            command_timeout=STATEMENT_DEADLINE,
            max_cached_statement_lifetime=0,  # an idle colour is as quick after an hour as after a minute
            server_settings={"application_name": self._colour, "rtx.colour": self._colour, **_PLANNING},
        )
        self._epoch = None
        if self._on_connect is not None:
            try:
                await self._on_connect(connection)
            except BaseException:
                connection.terminate()
                raise
        return connection
