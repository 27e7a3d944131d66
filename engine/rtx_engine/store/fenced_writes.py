"""Statements that write outside of the order path, under the fence like every write."""

import asyncpg  # type: ignore[import-untyped]  # ships no types

from rtx_engine.store.database_errors import is_fenced
from rtx_engine.store.errors import OrderError, OrderErrorReason
from rtx_engine.store.fence import FenceWatch
from rtx_engine.store.session import Session

MAX_ATTEMPTS = 2  # the second at the epoch that the first one read


class FencedWrites:
    """Runs statements, each a transaction, at the epoch at which the fence names this pod."""

    def __init__(self, session: Session, fence: FenceWatch) -> None:
        self._session = session
        self._fence = fence

    async def run(self, statement: str, *arguments: object) -> list["asyncpg.Record"]:
        """The rows of `statement`.

        Raises OrderError (Fenced), UnavailableError, UnconfirmedError, and asyncpg's error for what it violates.
        """
        async with self._session.use() as connection:
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
