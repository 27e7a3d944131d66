"""Statements that write outside of the order path, under the fence like every write, on the connection for reads.

They wait for no lock there, neither the fence's nor a row's: one that somebody holds is tried again. One of them at a
time is tried, so that however many are stuck, reads take turns with one. It goes ahead of the reads that wait. A user
has few places and each of them its turn, and what may end a theft goes ahead (write_admission.py, turns.py).
"""

import asyncio
import random
from dataclasses import dataclass
from functools import partial

import asyncpg  # type: ignore[import-untyped]  # ships no types

from rtx_engine.store.database_errors import CONNECTION_LOST, CONTENTION, NOT_COMMITTED, is_fenced
from rtx_engine.store.errors import OrderError, OrderErrorReason, UnavailableError
from rtx_engine.store.fence import FenceWatch
from rtx_engine.store.lock_budget import lock_budget
from rtx_engine.store.read_admission import Shared
from rtx_engine.store.reads import Reads
from rtx_engine.store.session import UnconfirmedError
from rtx_engine.store.turns import Turns
from rtx_engine.store.write_admission import WriteAdmission, WriteOwner

MAX_ATTEMPTS = 2  # the second at the epoch that the first one read
TIMEOUT_SECONDS = 2.0  # for the writes before, and for whoever holds a lock
RETRY_PAUSE_SECONDS = 0.02  # at most

_HELD = "another session holds what this would write; try again in a second"


@dataclass(slots=True)
class _Attempt:
    needs_standby: bool
    committing: bool = False  # the statement was sent, and the server has not refused it


class FencedWrites:
    """Runs statements, each a transaction, at the epoch at which the fence names this pod."""

    def __init__(self, reads: Reads, fence: FenceWatch) -> None:
        self._reads = reads
        self._session = reads.session
        self._standby = reads.standby
        self._fence = fence
        self._admission = WriteAdmission()
        self._turns = Turns[WriteOwner]()

    async def run(
        self, owner: WriteOwner, statement: str, *arguments: object, needs_standby: bool = True
    ) -> list["asyncpg.Record"]:
        """The rows of `statement`. `needs_standby`: its commit waits for the one that a quorum asks for.

        Raises TooManyWaitingError, UnavailableError and OrderError (Fenced): nothing is written then. UnconfirmedError,
        and asyncpg's error for what it violates.
        """
        self._admission.enter(owner)
        try:
            return await self._run_in_time(owner, statement, arguments, needs_standby=needs_standby)
        finally:
            self._admission.leave(owner)

    async def _run_in_time(
        self, owner: WriteOwner, statement: str, arguments: tuple[object, ...], *, needs_standby: bool
    ) -> list["asyncpg.Record"]:
        clock = asyncio.get_running_loop().time
        deadline = clock() + TIMEOUT_SECONDS
        while True:
            try:
                async with self._turns.take(owner, deadline, ahead=owner.urgent):
                    return await self._try_once(_Attempt(needs_standby), statement, arguments)
            except CONTENTION as error:
                if clock() >= deadline:
                    raise UnavailableError(_HELD) from error
            await asyncio.sleep(random.uniform(0, RETRY_PAUSE_SECONDS))  # noqa: S311  # not for security

    async def _try_once(
        self, attempt: _Attempt, statement: str, arguments: tuple[object, ...]
    ) -> list["asyncpg.Record"]:
        once = partial(self._run, attempt=attempt, statement=statement, arguments=arguments)
        try:
            return await self._reads.run(once, Shared.WRITES)
        except UnavailableError as error:
            if attempt.committing:
                raise UnconfirmedError from error
            raise

    async def _run(
        self, connection: "asyncpg.Connection", attempt: _Attempt, statement: str, arguments: tuple[object, ...]
    ) -> list["asyncpg.Record"]:
        if attempt.needs_standby:
            self._standby.check()
        commit = self._standby.commit if attempt.needs_standby else self._session.commit
        for _ in range(MAX_ATTEMPTS):
            state = self._fence.state or await self._fence.refresh(connection)
            if state is None:
                break
            await self._session.set_epoch(connection, state.epoch)
            try:
                async with lock_budget(connection):
                    attempt.committing = True
                    return await commit(connection, statement, *arguments)
            except asyncpg.PostgresError as error:
                attempt.committing = isinstance(error, CONNECTION_LOST) and not isinstance(error, NOT_COMMITTED)
                if not is_fenced(error):
                    raise
                await self._fence.refresh(connection)
        raise OrderError(OrderErrorReason.FENCED, "another colour executes now; try again")
