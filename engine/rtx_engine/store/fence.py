"""This pod's view of the execution fence: which colours and revisions execute, and since which epoch."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import asyncpg  # type: ignore[import-untyped]  # ships no types
import msgspec
import structlog

from rtx_engine.store.errors import UnavailableError
from rtx_engine.store.migration_files import required_version
from rtx_engine.store.session import Session

POLL_INTERVAL_SECONDS = 1.0  # in case a notification is lost with its connection
CHANNEL = "execution_fence"

# As JSON, where a column that an older fence lacks is only absent. The version is read each time: a database that is
# restored from before an upgrade has the earlier schema.
_READ = (
    "SELECT epoch, executors, to_jsonb(fence) -> 'revisions' AS revisions, "
    "(SELECT coalesce(max(version), 0) FROM public.schema_migrations WHERE half = 'expand') AS version "
    "FROM rtx_operator.execution_fence AS fence"
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FenceState:
    """The row of the fence, as last read."""

    epoch: int
    executors: tuple[str, ...]
    revisions: tuple[str, ...] | None = None  # that may execute in these colours; None: any

    def names(self, colour: str, revision: str) -> bool:
        """Whether a pod of this colour and revision executes, as the database sees it."""
        return colour in self.executors and (self.revisions is None or revision in self.revisions)


class FenceWatch:
    """Keeps `state` up to date, by notifications and by polling.

    For information only: the database itself refuses writes that the fence does not allow.
    """

    def __init__(self, colour: str, revision: str = "") -> None:
        self._colour = colour
        self._revision = revision
        self._required = required_version()  # reads files
        self._state: FenceState | None = None
        self.executing = False  # whether the fence names this pod; an attribute because every request reads it
        self._callbacks: list[Callable[[FenceState], None]] = []
        self._known = asyncio.Event()
        self._changed = asyncio.Event()  # of the present state; set when the next one is read
        self._notified = asyncio.Event()

    @property
    def state(self) -> FenceState | None:
        """None until the database is migrated for this build and the fence has been read, and while it has none."""
        return self._state

    async def wait_until_known(self) -> FenceState:
        """Wait for the first state, without a timeout."""
        while self._state is None:
            await self._known.wait()
        return self._state

    async def wait_for_change(self, seconds: float) -> None:
        """Return when the state changes, at the latest after `seconds`."""
        changed = self._changed
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await changed.wait()

    def on_change(self, callback: Callable[[FenceState], None]) -> None:
        """Call `callback` with each new state. It must not block."""
        self._callbacks.append(callback)

    async def listen(self, connection: "asyncpg.Connection") -> None:
        """Subscribe this connection to the fence's notifications."""
        await connection.add_listener(CHANNEL, lambda *_: self._notified.set())
        self._notified.set()

    async def refresh(self, connection: "asyncpg.Connection") -> FenceState | None:
        """Read the fence now. None if the database is not migrated for this build, or has no fence.

        A database that had both, and answers that it has not, has lost this engine's data: the pod takes back its
        readiness. One that does not answer changes nothing: asyncpg's error is raised.
        """
        state = await self._read(connection)
        if state != self._state:
            self._change(state)
        return state

    async def _read(self, connection: "asyncpg.Connection") -> FenceState | None:
        try:
            row = await connection.fetchrow(_READ)
        except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
            return None
        if row is None or row["version"] < self._required:
            return None
        revisions = msgspec.json.decode(row["revisions"] or "null", type=tuple[str, ...] | None)
        return FenceState(row["epoch"], tuple(row["executors"]), revisions)

    def _change(self, state: FenceState | None) -> None:
        self._state = state
        self.executing = state is not None and state.names(self._colour, self._revision)
        self._changed.set()
        self._changed = asyncio.Event()
        if state is None:
            self._known.clear()
            log.error(
                "the database has no fence any more, or an earlier schema: this pod is not ready until it has both"
            )
            return
        log.info("fence read", epoch=state.epoch, executors=state.executors, executing=self.executing)
        self._known.set()
        for callback in self._callbacks:
            callback(state)

    async def run(self, session: Session) -> None:
        """Watch until cancelled; survives outages of the database."""
        while True:
            try:
                async with session.use() as connection:
                    self._notified.clear()
                    await self.refresh(connection)
            except (UnavailableError, asyncpg.PostgresError, msgspec.ValidationError) as error:
                log.debug("cannot read the fence", error=str(error))
            try:
                async with asyncio.timeout(POLL_INTERVAL_SECONDS):
                    await self._notified.wait()
            except TimeoutError:
                continue
