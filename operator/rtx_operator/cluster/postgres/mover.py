"""Moves the fence."""

import time
from dataclasses import dataclass
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # ships no types

from rtx_operator.cluster.postgres import schema
from rtx_operator.cluster.postgres.holders import end_holders, find_holders
from rtx_operator.cluster.postgres.reader import fence_of, read_fence
from rtx_operator.cluster.postgres.session import Address, FenceUnreachableError, connected
from rtx_operator.metrics import FENCE_MOVE_SECONDS
from rtx_operator.observation import Fence, Owner

TRIES = 3  # before holders at work are ended, and as many with that
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


class DatabaseInUseError(Exception):
    """The database belongs to another TradingEngine; the message names it."""


class FenceChangedError(Exception):
    """The fence is not as it was when its move was decided: observe again. The message says what it is."""


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
    async with connected(address, password) as connection:
        started = time.monotonic()
        for attempt in range(2 * TRIES):
            if attempt:
                await end_holders(connection, only_silent=attempt < TRIES)
            try:
                async with connection.transaction():
                    fence, moved = await _move(connection, wanted)
            except asyncpg.LockNotAvailableError:
                continue
            if moved:
                FENCE_MOVE_SECONDS.observe(time.monotonic() - started)
            return fence
        holders = ", ".join(
            f"{holder.name or 'a session without a name'} (pid {holder.pid})"
            for holder in await find_holders(connection)
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
    await schema.lock_and_update(connection)
    fence = await read_fence(connection)
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
    return fence_of(row), True
