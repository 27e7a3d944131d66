"""Commits that count once a standby has them, on the connection for reads, which serves more than those.

While no standby confirms, they are refused at once but for one each second, so that whoever needs none (a login, the
rules for tokens) has the connection.
"""

import asyncio

import asyncpg  # type: ignore[import-untyped]  # ships no types

from rtx_engine.store.errors import UnavailableError
from rtx_engine.store.session import Session, UnconfirmedError

CONFIRM_TIMEOUT_SECONDS = 1.5  # below ReadLimits.wait_seconds: who waits behind it for their turn still gets it
MISSING_SECONDS = 1.0  # after a wait in vain nothing waits for so long


class Standby:
    """Which commits wait for a standby."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._missing_until = 0.0  # by the event loop's clock

    def check(self) -> None:
        """Raises UnavailableError if no standby has confirmed anything a moment ago. For the start of a transaction."""
        if asyncio.get_running_loop().time() < self._missing_until:
            raise UnavailableError("no standby confirms anything at present; try again in a second")

    async def commit(
        self, connection: "asyncpg.Connection", statement: str, *arguments: object
    ) -> list["asyncpg.Record"]:
        """As Session.commit, within CONFIRM_TIMEOUT_SECONDS. Costs no connection."""
        try:
            return await self._session.commit(
                connection, statement, *arguments, timeout_seconds=CONFIRM_TIMEOUT_SECONDS
            )
        except UnconfirmedError as error:
            if error.in_vain:
                self._missing_until = asyncio.get_running_loop().time() + MISSING_SECONDS
            raise
