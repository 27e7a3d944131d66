"""Moves the fence: makes its row name other executors, at a higher epoch, in one transaction."""

import time
from dataclasses import dataclass
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # ships no types

from rtx_operator.cluster.postgres import confirmation, schema
from rtx_operator.cluster.postgres.holders import describe_holders, end_holders
from rtx_operator.cluster.postgres.reader import COLUMNS, fence_of, read_fence
from rtx_operator.cluster.postgres.session import Address, FenceUnreachableError, connected
from rtx_operator.metrics import FENCE_MOVE_SECONDS
from rtx_operator.observation import Fence, FenceSchema, Owner

TRIES = 3  # that end silent holders only; then as many that end every colour that holds the fence
# No epoch is used twice, also where somebody deleted the fence's row or set it back.
_PAST = "(SELECT max(epoch) FROM rtx_operator.execution_fence_history)"
_INSERT = (
    "INSERT INTO rtx_operator.execution_fence (epoch, executors, revisions, cutover, owner) "  # noqa: S608 - constants
    f"VALUES (GREATEST($1, {_PAST}) + 1, $2, $3, $4, $5) RETURNING {COLUMNS}"
)
_MOVE = (
    f"UPDATE rtx_operator.execution_fence SET epoch = GREATEST(epoch, $1, {_PAST}) + 1, executors = $2, "  # noqa: S608 - constants
    f"revisions = $3, cutover = $4, owner = $5, since = now() RETURNING {COLUMNS}"
)
_NOTIFY = "SELECT pg_notify('execution_fence', $1)"


class DatabaseInUseError(Exception):
    """Another TradingEngine owns the database. The message names it."""


class FenceChangedError(Exception):
    """The fence has changed since the move was decided: observe again. The message has the row and the expectation."""


async def move(
    address: Address,
    password: str,
    owner: Owner,
    executors: tuple[str, ...],
    revisions: tuple[str, ...] | None,
    known_epoch: int,
    cutover: str,
    *,
    expected_epoch: int | None,
) -> Fence:
    """Make the fence name `executors`, in these `revisions` (None: any), at an epoch above its own and `known_epoch`.

    Creates a missing fence of an engine that never had one, whose `known_epoch` is 0.

    `expected_epoch` is the epoch at which the fence was last observed; None: observed not to exist.
    Returns the row after the move. A row that already has this cutover, owner and executors was moved before, and is
    returned unchanged: a caller that does not know whether its COMMIT succeeded calls again. Where commits wait for a
    standby, it has the row when this returns.
    Takes at most 2 * TRIES tries of LOCK_TIMEOUT_MS each. Raises FenceUnreachableError when the database does not
    answer or sessions still hold the fence, DatabaseInUseError when another TradingEngine owns the database, and
    FenceChangedError when the fence has moved since it was observed, or is gone.
    """
    wanted = _Move(owner, executors, revisions, known_epoch, cutover, expected_epoch)
    async with connected(address, password) as connection:
        started, confirmed = time.monotonic(), confirmation.Confirmation(connection)
        for attempt in range(2 * TRIES):
            if attempt:
                await end_holders(connection, only_silent=attempt < TRIES)
            try:
                async with connection.transaction():
                    fence, moved = await _move(connection, wanted)
            except asyncpg.LockNotAvailableError:
                continue
            confirmed.check()
            if moved:
                FENCE_MOVE_SECONDS.observe(time.monotonic() - started)
            return fence
        raise FenceUnreachableError(
            f"{address.host}:{address.port}: the execution fence is held by {await describe_holders(connection)}; "
            "end a holder that is no engine pod with SELECT pg_terminate_backend(PID)"
        )


@dataclass(frozen=True, slots=True)
class _Move:
    owner: Owner
    executors: tuple[str, ...]
    revisions: tuple[str, ...] | None
    known_epoch: int
    cutover: str
    expected_epoch: int | None

    def refuse_owner_of(self, fence: Fence | None) -> None:
        """Raises DatabaseInUseError when the fence is of another TradingEngine."""
        if fence is not None and not self.owner.owns(fence):
            raise DatabaseInUseError(
                f"the database belongs to TradingEngine {fence.owner}; give this one a database of its own"
            )

    def is_done(self, fence: Fence) -> bool:
        """Whether the row is already what this move makes it, at an epoch that status does not exceed."""
        mine = (self.cutover, self.executors, self.revisions, str(self.owner))
        there = (fence.cutover, fence.executors, fence.revisions, fence.owner)
        return mine == there and fence.epoch >= self.known_epoch


async def _move(connection: Any, wanted: _Move) -> tuple[Fence, bool]:
    """(the fence, whether this call moved it). The caller opens the transaction."""
    wanted.refuse_owner_of(await read_fence(connection))
    if (found := await schema.bring_up_to_date_at_once(connection)).is_too_new:
        raise FenceChangedError(f"a later release of the operator made the fence's schema version {found.version}")
    await connection.execute(schema.LOCK)
    fence = await read_fence(connection)
    if fence is None and wanted.known_epoch:
        raise FenceChangedError(f"the database has no fence any more; the decision knew epoch {wanted.known_epoch}")
    if fence is not None:
        wanted.refuse_owner_of(fence)
        if wanted.is_done(fence):
            await confirmation.write(connection)  # an earlier commit may have stopped waiting for its standby
            return fence, False
        if wanted.expected_epoch != fence.epoch:
            raise FenceChangedError(
                f"the fence names {', '.join(fence.executors)} at epoch {fence.epoch} for cutover {fence.cutover!r}; "
                f"the decision expected epoch {wanted.expected_epoch}"
            )
    row = await connection.fetchrow(
        _INSERT if fence is None else _MOVE,
        wanted.known_epoch,
        list(wanted.executors),
        None if wanted.revisions is None else list(wanted.revisions),
        wanted.cutover,
        str(wanted.owner),
    )
    await connection.execute(_NOTIFY, str(row["epoch"]))
    return fence_of(row), True


async def update_schema(address: Address, password: str) -> FenceSchema:
    """Bring the fence's schema up to date; returns its version. Raises FenceUnreachableError."""
    async with connected(address, password) as connection, connection.transaction():
        return await schema.bring_up_to_date(connection)
