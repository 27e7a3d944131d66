"""Runs reads, and what is written on the same connection, one after the other on the pod's one connection for them.

To wait costs nothing but time: a read's deadline counts from its start, and a read that gave up its place, or whose
caller has gone, takes neither its connection nor its time from those behind it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import asyncpg  # type: ignore[import-untyped]  # ships no types

from rtx_engine.store.errors import OverloadedError, TooManyWaitingError, UnavailableError
from rtx_engine.store.read_admission import PRODUCTION, Owner, ReadAdmission, ReadLimits, Shared, is_pods
from rtx_engine.store.session import Session
from rtx_engine.store.standby import Standby
from rtx_engine.store.turns import Turns

Result = TypeVar("Result")

LATE_SECONDS = 0.5  # of a timer: so far behind is no event loop that only waits for the database


class Reads:
    """The queue of reads, and the connection."""

    def __init__(self, session: Session, limits: ReadLimits = PRODUCTION) -> None:
        """`session` is used by nobody else, but for reads while they run."""
        self.session = session
        self.standby = Standby(session)
        self._limits = limits
        self._admission = ReadAdmission(limits)
        self._turns = Turns[None]()
        self._reading: asyncio.Task[Any] | None = None  # whose turn it is

    async def run(self, read: Callable[["asyncpg.Connection"], Awaitable[Result]], owner: Owner) -> Result:
        """What `read` returns, which gets the connection.

        Raises TooManyWaitingError or OverloadedError at once, or if the pod is too busy to give it its turn within
        `limits.wait_seconds`; UnavailableError if the database does not answer; and the errors of `read`.
        """
        await self._wait_for_turn(owner)
        self._reading = reading = asyncio.create_task(self._read(read, owner), name="read")
        reading.add_done_callback(_retrieve)
        # A caller who gives up leaves the read to its end: to cut it short would cost the others the connection.
        return await asyncio.shield(reading)

    async def _wait_for_turn(self, owner: Owner) -> None:
        self._admission.enter(owner)
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._limits.wait_seconds
        try:
            async with asyncio.timeout_at(deadline):
                await self._turns.acquire(None, ahead=owner is Shared.WRITES)
        except TimeoutError as error:
            raise _too_long(owner, late=clock() > deadline + LATE_SECONDS) from error
        finally:
            self._admission.leave(owner)

    async def _read(self, read: Callable[["asyncpg.Connection"], Awaitable[Result]], owner: Owner) -> Result:
        clock = asyncio.get_running_loop().time
        seconds = self._limits.read_seconds
        began = clock()
        try:
            async with self.session.use(seconds) as connection:
                began = clock()
                try:
                    return await read(connection)
                finally:
                    self._admission.served(clock() - began)
        except UnavailableError as error:
            if not is_pods(owner) and clock() > began + seconds + LATE_SECONDS:
                raise OverloadedError(_BUSY) from error
            raise
        finally:
            self._turns.release()


_BUSY = "this server is busy; try again in a second"


def _too_long(owner: Owner, *, late: bool) -> Exception:
    """Why a read's turn did not come in time: what strangers can bring about must not look like the database's fault.

    `late`: this pod's event loop was busy elsewhere, and the database may have been quick.
    """
    if isinstance(owner, Shared) and not is_pods(owner):
        return TooManyWaitingError("too many logins are waiting; try again in a second")
    if late and not is_pods(owner):  # the pod's own tasks try again, whatever it was
        return OverloadedError(_BUSY)
    return UnavailableError("the database is slow; try again in a second")


def _retrieve(reading: "asyncio.Task[Any]") -> None:
    """The caller may have gone: then nobody else takes note of the read's error."""
    if not reading.cancelled():
        reading.exception()
