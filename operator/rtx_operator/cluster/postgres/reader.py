"""Reads the fence's row, and for which sessions a migration waits."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import asyncpg  # type: ignore[import-untyped]  # ships no types

from rtx_operator.cluster.postgres import schema
from rtx_operator.cluster.postgres.confirmation import confirm
from rtx_operator.cluster.postgres.migrations import find_blocking
from rtx_operator.cluster.postgres.session import (
    CONNECT_DEADLINE_SECONDS,
    UNREACHABLE,
    Address,
    check_writable,
    give_up,
    session_arguments,
    unreachable_error,
)
from rtx_operator.observation import BlockingSession, Fence, FenceReport

T = TypeVar("T")

READ_DEADLINE_SECONDS = 5.0  # for a whole read: a name, a connection, three statements
MAX_IDLE_SECONDS = 10.0  # the pool closes a session that was not used for longer
COLUMNS = "epoch, executors, revisions, cutover, owner"
_READ = f"SELECT {COLUMNS} FROM rtx_operator.execution_fence"  # noqa: S608 - constants

# A statement of an engine ends after 2 s (roles.sql), unless the server waits for what cannot be broken off, as a disk
# that hangs. Its log does not move then, whatever its probes say.
_HEALTH = """
    SELECT (SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state IN ('sync', 'quorum')
            HAVING current_setting('synchronous_standby_names') <> '') AS standbys,
        (SELECT min(query_start) FROM pg_stat_activity
            WHERE usename = 'rtx_engine' AND state = 'active' AND query_start < clock_timestamp() - interval '10 s')
        AS stuck_since
"""


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the fences of many engines, over one session per engine.

    The session is kept between reads, because a cutover reconciles five times a second. A move opens its own session.
    """

    _pools: dict[Address, tuple[str, Any]] = field(default_factory=dict)  # (password, pool)
    _confirmed: dict[Address, Fence] = field(default_factory=dict)  # the last row that a standby was known to have

    async def read(self, address: Address, password: str) -> FenceReport:
        """The current row, which no failover loses, and the version of the schema. Raises FenceUnreachableError."""

        async def report(connection: Any) -> FenceReport:
            fence = await read_fence(connection)
            if fence and fence != self._confirmed.get(address):  # at rest a read costs no commit
                await confirm(connection)
                self._confirmed[address] = fence
            version = await schema.version(connection) if fence else None
            health = await connection.fetchrow(_HEALTH)
            return FenceReport(fence, schema=version, standbys=health["standbys"], stuck_since=health["stuck_since"])

        return await self._ask(address, password, report)

    async def find_blocking(self, address: Address, password: str) -> tuple[BlockingSession, ...]:
        """The sessions for which a running migration waits. Raises FenceUnreachableError."""
        return await self._ask(address, password, find_blocking)

    async def _ask(self, address: Address, password: str, question: Callable[[Any], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(READ_DEADLINE_SECONDS):
                pool = await self._pool(address, password)
                async with pool.acquire(timeout=CONNECT_DEADLINE_SECONDS) as connection:
                    try:
                        answer = await question(connection)
                        check_writable(connection)
                    except (*UNREACHABLE, asyncio.CancelledError):
                        await give_up(connection)  # the next read opens a new session
                        raise
                    return answer
        except UNREACHABLE as error:
            raise unreachable_error(address, error) from error

    def forget(self, address: Address) -> None:
        """Close the session of an engine that was deleted; does nothing when there is none."""
        _, pool = self._pools.pop(address, ("", None))
        self._confirmed.pop(address, None)
        if pool is not None:
            pool.terminate()

    async def _pool(self, address: Address, password: str) -> Any:
        known, pool = self._pools.get(address, ("", None))
        if pool is None or known != password:
            self.forget(address)
            pool = asyncpg.create_pool(
                min_size=0,
                max_size=1,
                max_inactive_connection_lifetime=MAX_IDLE_SECONDS,
                **session_arguments(address, password),
            )
            self._pools[address] = password, pool
        return await pool


async def read_fence(connection: Any) -> Fence | None:
    """The current row; None when there is no fence yet. Raises asyncpg's errors."""
    if not await schema.exists(connection):
        return None
    row = await connection.fetchrow(_READ)
    return None if row is None else fence_of(row)


def fence_of(row: Any) -> Fence:
    """A Fence from a row of rtx_operator.execution_fence."""
    return Fence(
        epoch=row["epoch"],
        executors=tuple(row["executors"]),
        cutover=row["cutover"],
        owner=row["owner"],
        revisions=None if row["revisions"] is None else tuple(row["revisions"]),
    )
