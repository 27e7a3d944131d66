"""Statements that write outside of the order path, under the fence like every write, on the connection for reads."""

import asyncpg  # type: ignore[import-untyped]  # ships no types

from rtx_engine.store.database_errors import is_fenced
from rtx_engine.store.errors import OrderError, OrderErrorReason
from rtx_engine.store.fence import FenceWatch
from rtx_engine.store.read_admission import Shared
from rtx_engine.store.reads import Reads

MAX_ATTEMPTS = 2  # the second at the epoch that the first one read


class FencedWrites:
    """Runs statements, each a transaction, at the epoch at which the fence names this pod."""

    def __init__(self, reads: Reads, fence: FenceWatch) -> None:
        self._reads = reads
        self._session = reads.session
        self._fence = fence

    async def run(self, statement: str, *arguments: object) -> list["asyncpg.Record"]:
        """The rows of `statement`.

        Raises OrderError (Fenced), UnavailableError, UnconfirmedError, and asyncpg's error for what it violates.
        """
        # The pod's own: who asks for it has been counted before, as the administrator or by what a password costs.
        return await self._reads.run(lambda connection: self._run(connection, statement, *arguments), Shared.POD)

    async def _run(
        self, connection: "asyncpg.Connection", statement: str, *arguments: object
    ) -> list["asyncpg.Record"]:
        for _ in range(MAX_ATTEMPTS):
            state = self._fence.state or await self._fence.refresh(connection)
            if state is None:
                break
            await self._session.set_epoch(connection, state.epoch)
            try:
                return await self._session.commit(connection, statement, *arguments)
            except asyncpg.PostgresError as error:
                if not is_fenced(error):
                    raise
                await self._fence.refresh(connection)
        raise OrderError(OrderErrorReason.FENCED, "another colour executes now; try again")
