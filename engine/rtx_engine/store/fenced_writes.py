"""Statements that write outside of the order path, under the fence like every write, on the connection for reads."""

from dataclasses import dataclass
from functools import partial

import asyncpg  # type: ignore[import-untyped]  # ships no types

from rtx_engine.store.database_errors import CONNECTION_LOST, NOT_COMMITTED, is_fenced
from rtx_engine.store.errors import OrderError, OrderErrorReason, UnavailableError
from rtx_engine.store.fence import FenceWatch
from rtx_engine.store.read_admission import Shared
from rtx_engine.store.reads import Reads
from rtx_engine.store.session import UnconfirmedError

MAX_ATTEMPTS = 2  # the second at the epoch that the first one read


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

    async def run(self, statement: str, *arguments: object, needs_standby: bool = True) -> list["asyncpg.Record"]:
        """The rows of `statement`. `needs_standby`: its commit waits for the one that a quorum asks for.

        Raises OrderError (Fenced), UnavailableError (nothing is written), UnconfirmedError, and asyncpg's error for
        what it violates.
        """
        attempt = _Attempt(needs_standby)
        once = partial(self._run, attempt=attempt, statement=statement, arguments=arguments)
        try:
            # The pod's own: who asks for it has been counted before, as the administrator or by what a password costs.
            return await self._reads.run(once, Shared.POD)
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
            attempt.committing = True
            try:
                return await commit(connection, statement, *arguments)
            except asyncpg.PostgresError as error:
                attempt.committing = isinstance(error, CONNECTION_LOST) and not isinstance(error, NOT_COMMITTED)
                if not is_fenced(error):
                    raise
                await self._fence.refresh(connection)
        raise OrderError(OrderErrorReason.FENCED, "another colour executes now; try again")
