"""The execution fence: the one row in an engine's database that names who may execute orders, and since which epoch.

The database is the authority and the TradingEngine's status only remembers. A row that is behind what was remembered
(a failover or a restore lost a move), that names other executors, or that an earlier incarnation of the same engine
owned, is moved to a higher epoch; a row that another engine owns is left alone, and so is one that has moved since the
decision to move it was made.

A frozen engine pod must not hold the fence for ever. If its application_name says that it is a colour, who holds the
fence is ended: after one time-out when it has said nothing all the while, since orders stand still with us, and after
`TRIES` of them in any case.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # ships no types
import structlog

from rtx_operator.api.enums import Colour
from rtx_operator.api.names import DATABASE_NAME
from rtx_operator.metrics import FENCE_HOLDERS_TERMINATED, FENCE_MOVE_SECONDS
from rtx_operator.observation import Fence, Owner

CONNECT_DEADLINE_SECONDS = 5.0  # seconds
STATEMENT_DEADLINE_SECONDS = 5.0  # seconds, for each statement
SESSION_KEPT_SECONDS = 10.0  # that a session is kept for the next look
LOCK_TIMEOUT_MS = 300  # milliseconds that one try waits for the transactions under way: orders queue behind it
FROZEN_AFTER_MS = 500  # milliseconds without a word from us amid a move: the database ends it, so that orders go on
TRIES = 3  # before holders at work are ended, and as many with that
ROLE = "rtx_operator"
# InternalClientError: the server ended the session just as the client began a statement.
UNREACHABLE = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

# EXCLUSIVE on the table first: its queue is fair, whereas an UPDATE alone starves under overlapping FOR SHARE readers.
_LOCK = "LOCK TABLE rtx_operator.execution_fence IN EXCLUSIVE MODE"
_READ = "SELECT epoch, executors, cutover, owner, since FROM rtx_operator.execution_fence"
_EXISTS = "SELECT to_regclass('rtx_operator.execution_fence') IS NOT NULL"
_IS_CURRENT = "SELECT to_regclass('rtx_operator.execution_fence_history') IS NOT NULL"
_INSERT = (
    "INSERT INTO rtx_operator.execution_fence (epoch, executors, cutover, owner) VALUES ($1 + 1, $2, $3, $4) "
    "RETURNING epoch, executors, cutover, owner, since"
)
_MOVE = (
    "UPDATE rtx_operator.execution_fence "
    "SET epoch = GREATEST(epoch, $1) + 1, executors = $2, cutover = $3, owner = $4, since = now() "
    "RETURNING epoch, executors, cutover, owner, since"
)
_NOTIFY = "SELECT pg_notify('execution_fence', $1)"
# A transaction younger than one try is at work and ends by itself.
_HOLDERS = """
SELECT holder.pid, holder.application_name, holder.application_name = ANY ($1) AS is_colour,
    holder.state = 'idle in transaction'
        AND holder.state_change < clock_timestamp() - $2 * interval '1 millisecond' AS is_silent
FROM pg_stat_activity AS holder
WHERE holder.pid <> pg_backend_pid() AND holder.xact_start < clock_timestamp() - $2 * interval '1 millisecond'
    AND EXISTS (
        SELECT FROM pg_locks AS lock
        WHERE lock.pid = holder.pid AND lock.granted AND lock.relation = 'rtx_operator.execution_fence'::regclass
            AND lock.database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND lock.mode <> 'AccessShareLock'
    )
"""

log = structlog.get_logger(__name__)


class FenceUnreachableError(Exception):
    """The database gave no answer, or refused us; the message says what it said."""


class DatabaseInUseError(Exception):
    """The database belongs to another TradingEngine; the message names it."""


class FenceChangedError(Exception):
    """The fence is not as it was when its move was decided: observe again. The message says what it is."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where an engine's database listens."""

    host: str
    port: int
    database: str = DATABASE_NAME


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the fences of engines, each by one session that is kept for a while: a cutover looks five times a second.

    A move takes a session of its own.
    """

    _pools: dict[Address, tuple[str, Any]] = field(default_factory=dict)  # with the password of its sessions

    async def read(self, address: Address, password: str) -> Fence | None:
        """The row as it is; None when there is no fence yet. Raises FenceUnreachableError."""
        try:
            pool = await self._pool(address, password)
            async with pool.acquire(timeout=CONNECT_DEADLINE_SECONDS) as connection:
                try:
                    return await _read(connection)
                except UNREACHABLE:
                    connection.terminate()  # whatever ails it, the next look begins with a new one
                    raise
        except UNREACHABLE as error:
            raise _unreachable(address, error) from error

    def forget(self, address: Address) -> None:
        """End what is kept of an engine that is gone."""
        _, pool = self._pools.pop(address, ("", None))
        if pool is not None:
            pool.terminate()

    async def _pool(self, address: Address, password: str) -> Any:
        known, pool = self._pools.get(address, ("", None))
        if pool is None or known != password:
            self.forget(address)
            pool = asyncpg.create_pool(
                min_size=0,
                max_size=1,
                max_inactive_connection_lifetime=SESSION_KEPT_SECONDS,
                **_session(address, password),
            )
            self._pools[address] = password, pool
        return await pool


async def move(
    address: Address,
    password: str,
    owner: Owner,
    executors: tuple[str, ...],
    known_epoch: int,
    cutover: str,
    *,
    expected_epoch: int | None,
) -> Fence:
    """Make the fence name `executors`, at an epoch above both its own and `known_epoch`; make it where there is none.

    `expected_epoch` is the epoch at which the fence was last seen; None: it was seen not to exist.
    A row that bears `cutover` and these executors already has been moved: an unknown COMMIT is settled by asking again.
    Raises FenceUnreachableError, DatabaseInUseError when another engine owns the database, and FenceChangedError when
    somebody else has moved the fence meanwhile.
    """
    wanted = _Move(owner, executors, known_epoch, cutover, expected_epoch)
    async with _connected(address, password) as connection:
        started = time.monotonic()
        for attempt in range(2 * TRIES):
            if attempt:
                await _end_holders(connection, only_silent=attempt < TRIES)
            try:
                async with connection.transaction():
                    fence, moved = await _move(connection, wanted)
            except asyncpg.LockNotAvailableError:
                continue
            if moved:
                FENCE_MOVE_SECONDS.observe(time.monotonic() - started)
            return fence
        holders = ", ".join(
            f"{holder.name or 'a session without a name'} (pid {holder.pid})" for holder in await _holders(connection)
        )
        raise FenceUnreachableError(
            f"{address.host}:{address.port}: the fence is held by {holders or 'sessions that come and go'}; "
            "end what holds it if it is no engine pod"
        )


@dataclass(frozen=True, slots=True)
class _Move:
    owner: Owner
    executors: tuple[str, ...]
    known_epoch: int
    cutover: str
    expected_epoch: int | None

    def is_done(self, fence: Fence) -> bool:
        """The row is the one that this move leaves, and nothing later is remembered."""
        mine = (fence.cutover, fence.executors, fence.owner) == (self.cutover, self.executors, str(self.owner))
        return mine and fence.epoch >= self.known_epoch


async def _move(connection: Any, wanted: _Move) -> tuple[Fence, bool]:
    """(the fence, whether it was moved just now), inside a transaction."""
    if await connection.fetchval(_EXISTS):
        await connection.execute(_LOCK)
    if not await connection.fetchval(_IS_CURRENT):
        # The schema and its row appear together, so that nobody ever sees a fence without a row.
        sql = files("rtx_operator.cluster").joinpath("fence.sql").read_text(encoding="utf-8")
        await connection.execute(sql)
    fence = await _read(connection)
    if fence is not None:
        if not wanted.owner.owns(fence):
            raise DatabaseInUseError(f"the database belongs to {fence.owner}")
        if wanted.is_done(fence):
            return fence, False
        if wanted.expected_epoch != fence.epoch:
            raise FenceChangedError(
                f"the fence names {', '.join(fence.executors)} at epoch {fence.epoch} for {fence.cutover!r}, "
                f"and was expected at epoch {wanted.expected_epoch}"
            )
    row = await connection.fetchrow(
        _INSERT if fence is None else _MOVE,
        wanted.known_epoch,
        list(wanted.executors),
        wanted.cutover,
        str(wanted.owner),
    )
    await connection.execute(_NOTIFY, str(row["epoch"]))
    return _fence(row), True


@dataclass(frozen=True, slots=True)
class _Holder:
    """A session that has held the fence for longer than one try."""

    pid: int
    name: str  # its application_name
    is_colour: bool
    is_silent: bool  # amid its transaction it has asked for nothing for as long


async def _holders(connection: Any) -> list[_Holder]:
    rows = await connection.fetch(_HOLDERS, [colour.value for colour in Colour], LOCK_TIMEOUT_MS)
    return [_Holder(row["pid"], row["application_name"], row["is_colour"], row["is_silent"]) for row in rows]


async def _end_holders(connection: Any, *, only_silent: bool) -> None:
    for holder in await _holders(connection):
        if holder.is_colour and (holder.is_silent or not only_silent):
            log.warning("ending a session that holds the fence", colour=holder.name, pid=holder.pid)
            try:
                await connection.execute("SELECT pg_terminate_backend($1)", holder.pid)
            except asyncpg.InsufficientPrivilegeError:  # no engine pod, whatever its name says: it is named in the end
                log.warning("a session that holds the fence is not ours to end", colour=holder.name, pid=holder.pid)
            else:
                FENCE_HOLDERS_TERMINATED.inc()


@asynccontextmanager
async def _connected(address: Address, password: str) -> AsyncIterator[Any]:
    """A connection as the operator's role; whatever goes wrong with it is a FenceUnreachableError."""
    try:
        connection = await asyncpg.connect(**_session(address, password))
        try:
            yield connection
        finally:
            await connection.close(timeout=CONNECT_DEADLINE_SECONDS)
    except UNREACHABLE as error:
        raise _unreachable(address, error) from error


def _session(address: Address, password: str) -> dict[str, Any]:
    return {
        "host": address.host,
        "port": address.port,
        "user": ROLE,
        "password": password,
        "database": address.database,
        "timeout": CONNECT_DEADLINE_SECONDS,
        "command_timeout": STATEMENT_DEADLINE_SECONDS,
        "server_settings": {
            "application_name": ROLE,
            "lock_timeout": f"{LOCK_TIMEOUT_MS}ms",
            "idle_in_transaction_session_timeout": f"{FROZEN_AFTER_MS}ms",
        },
    }


def _unreachable(address: Address, error: BaseException) -> FenceUnreachableError:
    return FenceUnreachableError(f"{address.host}:{address.port}: {str(error) or type(error).__name__}")


async def _read(connection: Any) -> Fence | None:
    if not await connection.fetchval(_EXISTS):
        return None
    row = await connection.fetchrow(_READ)
    return None if row is None else _fence(row)


def _fence(row: Any) -> Fence:
    return Fence(row["epoch"], tuple(row["executors"]), row["cutover"], row["owner"], row["since"])
