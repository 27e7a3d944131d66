"""This pod's view of the execution fence: which colours and revisions execute, and since which epoch."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import asyncpg  # type: ignore[import-untyped]  # ships no types
import msgspec
import structlog

from rtx_engine.store.database_errors import NOT_MIGRATED, costs_connection
from rtx_engine.store.errors import UnavailableError
from rtx_engine.store.migration_files import required_version
from rtx_engine.store.session import Session

POLL_INTERVAL_SECONDS = 1.0  # in case a notification is lost with its connection
CHANNEL = "execution_fence"

# As JSON, where a column that an older fence lacks is only absent. Version and rights are read each time: a database
# that is restored from before an upgrade has the earlier schema, and one without its rights refuses each order.
_READ = """
SELECT epoch, executors, to_jsonb(fence) -> 'revisions' AS revisions, owner, fence.xmin::text AS written_by,
    (SELECT coalesce(max(version), 0) FROM public.schema_migrations WHERE half = 'expand') AS version,
    has_function_privilege('rtx_operator.assert_executor()', 'EXECUTE') AND (
        SELECT bool_and(has_table_privilege(name, privilege)) FROM (VALUES
            ('public.accounts', 'SELECT'), ('public.accounts', 'UPDATE'), ('public.positions', 'SELECT'),
            ('public.positions', 'INSERT'), ('public.positions', 'UPDATE'), ('public.orders', 'SELECT'),
            ('public.orders', 'INSERT'), ('public.fills', 'INSERT'), ('public.account_events', 'SELECT'),
            ('public.account_events', 'INSERT')
        ) AS needed (name, privilege)
    ) AS permitted
FROM rtx_operator.execution_fence AS fence
"""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FenceState:
    """The row of the fence, as last read."""

    epoch: int
    executors: tuple[str, ...]
    revisions: tuple[str, ...] | None = None  # that may execute in these colours; None: any
    written_by: str = ""  # the transaction that wrote the row

    @property
    def data(self) -> tuple[int, str]:
        """Which data the database has: a restore of an earlier epoch, or of the same one, has another value."""
        return (self.epoch, self.written_by)

    def follows(self, before: "FenceState") -> bool:
        """Whether the database has come from `before` by moves of its fence; false if its data were replaced."""
        return self.epoch > before.epoch or self.data == before.data

    def names(self, colour: str, revision: str) -> bool:
        """Whether a pod of this colour and revision executes, as the database sees it."""
        return colour in self.executors and (self.revisions is None or revision in self.revisions)


class FenceWatch:
    """Keeps `state` up to date, by notifications and by polling.

    For information only: the database itself refuses writes that the fence does not allow.
    """

    def __init__(self, colour: str, revision: str = "", owner: str = "") -> None:
        """`owner`: namespace/name of the TradingEngine whose database it must be; empty: anybody's."""
        self._colour = colour
        self._revision = revision
        self._owner = owner
        self._required = required_version()  # reads files
        self._state: FenceState | None = None
        self._last: FenceState | None = None  # the newest that was known
        self._problem = ""  # why there is no state
        self.executing = False  # whether the fence names this pod; an attribute because every request reads it
        self._callbacks: list[Callable[[FenceState], None]] = []
        self._restore_callbacks: list[Callable[[], None]] = []
        self._known = asyncio.Event()
        self._changed = asyncio.Event()  # of the present state; set when the next one is read
        self._notified = asyncio.Event()

    @property
    def state(self) -> FenceState | None:
        """None until the fence has been read, and while the database is of no use to this pod (`refresh`)."""
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

    def on_restore(self, callback: Callable[[], None]) -> None:
        """Call `callback` when other data have taken the place of those known before. It must not block.

        That is so where the fence goes back, is written anew at its epoch, or returns after it was away.
        """
        self._restore_callbacks.append(callback)

    async def listen(self, connection: "asyncpg.Connection") -> None:
        """Subscribe this connection to the fence's notifications. Where the server refuses, polling is enough."""
        try:
            await connection.add_listener(CHANNEL, lambda *_: self._notified.set())
        except asyncpg.PostgresError as error:
            if costs_connection(error):
                raise
            log.warning("moves of the fence are not notified; this pod reads it each second", error=str(error))
        self._notified.set()

    async def refresh(self, connection: "asyncpg.Connection") -> FenceState | None:
        """Read the fence now. None if the database has none, is another engine's, or is not migrated for this build.

        Likewise where this pod lacks rights. A database that was of use, and answers that it is not, has lost this
        engine's data: the pod takes back its readiness. One that does not answer changes nothing: asyncpg's error is
        raised.
        """
        state, problem = await self._read(connection)
        if problem != self._problem:
            self._problem = problem
            if problem:
                log.error("this pod is not ready", reason=problem)
        if state != self._state:
            self._change(state)
        return state

    async def _read(self, connection: "asyncpg.Connection") -> tuple[FenceState | None, str]:
        """The state, or what keeps this pod from having one."""
        try:
            row = await connection.fetchrow(_READ)
        except NOT_MIGRATED as error:
            return None, f"the database has no fence or no tables, or this pod may not read them: {error}"
        if row is None:
            return None, "the fence has no row"
        # Without a uid: an engine that is deleted and made again owns the database of its earlier self.
        if self._owner and not row["owner"].startswith(f"{self._owner}/"):
            return None, f"the database belongs to the TradingEngine {row['owner']}, this pod to {self._owner}"
        if row["version"] < self._required:
            return None, f"the schema has version {row['version']}, this build needs {self._required}"
        if not row["permitted"]:
            return None, "the database was restored without rights: this pod may not place orders in it"
        revisions = msgspec.json.decode(row["revisions"] or "null", type=tuple[str, ...] | None)
        return FenceState(row["epoch"], tuple(row["executors"]), revisions, row["written_by"]), ""

    def _change(self, state: FenceState | None) -> None:
        before, self._state = self._state, state
        self.executing = state is not None and state.names(self._colour, self._revision)
        self._changed.set()
        self._changed = asyncio.Event()
        if state is None:
            self._known.clear()
            return
        log.info("fence read", epoch=state.epoch, executors=state.executors, executing=self.executing)
        last, self._last = self._last, state
        if last is not None and (before is None or not state.follows(last)):
            for restored in self._restore_callbacks:
                restored()
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
