"""What this pod knows of the execution fence: who executes, and since which epoch."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import asyncpg  # type: ignore[import-untyped]  # ships no types
import structlog

from rtx_engine.store.errors import UnavailableError
from rtx_engine.store.migration_files import required_version
from rtx_engine.store.session import Session

POLL = 1.0  # seconds: a notification can be lost with the connection that it was meant for
CHANNEL = "execution_fence"

_READ = "SELECT epoch, executors FROM rtx_operator.execution_fence"
_HAS = "SELECT to_regclass($1) IS NOT NULL"
_VERSION = "SELECT coalesce(max(version), 0) FROM public.schema_migrations WHERE half = 'expand'"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FenceState:
    """The fence's row, as last read."""

    epoch: int
    executors: tuple[str, ...]


class FenceWatch:
    """Keeps `state` what the fence's row says, by its notifications and by looking each second.

    It only informs: the database itself refuses what the fence does not allow.
    """

    def __init__(self, colour: str) -> None:
        self._colour = colour
        self._state: FenceState | None = None
        self.executing = False  # whether the fence names our colour; an attribute, since each request asks
        self._callbacks: list[Callable[[FenceState], None]] = []
        self._known = asyncio.Event()
        self._changed = asyncio.Event()  # of the present state: set when the next one is known
        self._notified = asyncio.Event()

    @property
    def state(self) -> FenceState | None:
        """None until the database is migrated for this build and has been read once."""
        return self._state

    async def known(self) -> FenceState:
        """Wait, without a deadline of its own, until the state is known."""
        while self._state is None:
            await self._known.wait()
        return self._state

    async def changes_within(self, seconds: float) -> None:
        """Wait for another state than the present one, for so long at most."""
        changed = self._changed
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await changed.wait()

    def on_change(self, callback: Callable[[FenceState], None]) -> None:
        """Call `callback` with each new state; it must not block."""
        self._callbacks.append(callback)

    async def listen(self, connection: "asyncpg.Connection") -> None:
        """Be told of moves over this connection for as long as it lives."""
        await connection.add_listener(CHANNEL, lambda *_: self._notified.set())
        self._notified.set()

    async def refresh(self, connection: "asyncpg.Connection") -> FenceState | None:
        """Read the row now."""
        if self._state is None and not await _is_migrated(connection):
            return None
        row = await connection.fetchrow(_READ)
        if row is None:
            return None
        state = FenceState(row["epoch"], tuple(row["executors"]))
        if state != self._state:
            self._state = state
            self.executing = self._colour in state.executors
            log.info("fence", epoch=state.epoch, executors=state.executors, executing=self.executing)
            self._known.set()
            self._changed.set()
            self._changed = asyncio.Event()
            for callback in self._callbacks:
                callback(state)
        return state

    async def run(self, session: Session) -> None:
        """Watch until cancelled, through outages of the database."""
        while True:
            try:
                async with session.use() as connection:
                    self._notified.clear()
                    await self.refresh(connection)
            except (UnavailableError, asyncpg.PostgresError) as error:
                log.debug("fence not read", error=str(error))
            try:
                async with asyncio.timeout(POLL):
                    await self._notified.wait()
            except TimeoutError:
                continue


async def _is_migrated(connection: "asyncpg.Connection") -> bool:
    """Whether the fence is there, and the expand half that this build needs."""
    for table in ("rtx_operator.execution_fence", "public.schema_migrations"):
        if not await connection.fetchval(_HAS, table):
            return False
    return int(await connection.fetchval(_VERSION)) >= required_version()
