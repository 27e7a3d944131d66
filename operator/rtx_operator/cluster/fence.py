"""The execution fence: the one row in an engine's database that names who may execute orders, and since which epoch.

The database is the authority and the TradingEngine's status only remembers. A row that is behind what was remembered
(a failover or a restore lost a move), that names other executors, or that an earlier incarnation of the same engine
owned, is moved to a higher epoch; a row that another engine owns is left alone.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # ships no types

from rtx_operator.observation import Fence, Owner

CONNECT_DEADLINE = 5.0  # seconds
STATEMENT_DEADLINE = 5.0  # seconds, for each statement
DATABASE = "trading_engine"
ROLE = "rtx_operator"

# EXCLUSIVE on the table first: its queue is fair, whereas an UPDATE alone starves under overlapping FOR SHARE readers.
_LOCK = "LOCK TABLE rtx_operator.execution_fence IN EXCLUSIVE MODE"
_READ = "SELECT epoch, executors, cutover, owner FROM rtx_operator.execution_fence"
_EXISTS = "SELECT to_regclass('rtx_operator.execution_fence') IS NOT NULL"
_INSERT = (
    "INSERT INTO rtx_operator.execution_fence (epoch, executors, cutover, owner, since) VALUES ($1, $2, $3, $4, now())"
)
_MOVE = (
    "UPDATE rtx_operator.execution_fence "
    "SET epoch = GREATEST(epoch, $1) + 1, executors = $2, cutover = $3, owner = $4, since = now() "
    "RETURNING epoch, executors, cutover, owner"
)
_NOTIFY = "SELECT pg_notify('execution_fence', $1)"


class FenceUnreachableError(Exception):
    """The database gave no answer, or refused us; the message says what it said."""


class DatabaseInUseError(Exception):
    """The database belongs to another TradingEngine; the message names it."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where an engine's database listens."""

    host: str
    port: int


async def read(address: Address, password: str) -> Fence | None:
    """The row as it is; None when there is no fence yet. Raises FenceUnreachableError."""
    async with _connected(address, password) as connection:
        return await _read(connection)


async def move(
    address: Address, password: str, owner: Owner, executors: tuple[str, ...], known_epoch: int, cutover: str
) -> Fence:
    """Make the fence name `executors`, at an epoch above both its own and `known_epoch`; make it where there is none.

    A row that bears `cutover` and these executors already has been moved: an unknown COMMIT is settled by asking again.
    Raises FenceUnreachableError, and DatabaseInUseError when another engine owns the database.
    """
    async with _connected(address, password) as connection, connection.transaction():
        if await connection.fetchval(_EXISTS):
            await connection.execute(_LOCK)
        else:
            # The schema and its row appear together, so that nobody ever sees a fence without a row.
            sql = files("rtx_operator.cluster").joinpath("fence.sql").read_text(encoding="utf-8")
            await connection.execute(sql)
        fence = await _read(connection)
        if fence is None:
            await connection.execute(_INSERT, known_epoch, list(executors), cutover, str(owner))
        elif not owner.owns(fence):
            raise DatabaseInUseError(f"the database belongs to {fence.owner}")
        elif fence.cutover == cutover and fence.executors == executors and fence.epoch > known_epoch:
            return fence
        row = await connection.fetchrow(_MOVE, known_epoch, list(executors), cutover, str(owner))
        await connection.execute(_NOTIFY, str(row["epoch"]))
        return _fence(row)


@asynccontextmanager
async def _connected(address: Address, password: str) -> AsyncIterator[Any]:
    """A connection as the operator's role; whatever goes wrong with it is a FenceUnreachableError."""
    try:
        connection = await asyncpg.connect(
            host=address.host,
            port=address.port,
            user=ROLE,
            password=password,
            database=DATABASE,
            timeout=CONNECT_DEADLINE,
            command_timeout=STATEMENT_DEADLINE,
            server_settings={"application_name": ROLE, "lock_timeout": "300ms"},
        )
        try:
            yield connection
        finally:
            await connection.close(timeout=CONNECT_DEADLINE)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        said = str(error) or type(error).__name__
        raise FenceUnreachableError(f"{address.host}:{address.port}: {said}") from error


async def _read(connection: Any) -> Fence | None:
    if not await connection.fetchval(_EXISTS):
        return None
    row = await connection.fetchrow(_READ)
    return None if row is None else _fence(row)


def _fence(row: Any) -> Fence:
    return Fence(row["epoch"], tuple(row["executors"]), row["cutover"], row["owner"])
