"""Runs reads one after the other on the pod's one connection for them.

To wait costs nothing but time: a read's deadline counts from its start, and a read that gave up its place, or whose
caller has gone, takes neither its connection nor its time from those behind it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import asyncpg  # type: ignore[import-untyped]  # ships no types

from rtx_engine.store.errors import UnavailableError
from rtx_engine.store.read_admission import PRODUCTION, Owner, ReadAdmission, ReadLimits
from rtx_engine.store.session import Session

Result = TypeVar("Result")


class Reads:
    """The queue of reads, and the connection."""

    def __init__(self, session: Session, limits: ReadLimits = PRODUCTION) -> None:
        """`session` is used by nobody else, but for reads while they run."""
        self.session = session
        self._limits = limits
        self._admission = ReadAdmission(limits)
        self._turn = asyncio.Lock()
        self._reading: asyncio.Task[Any] | None = None  # whose turn it is

    async def run(self, read: Callable[["asyncpg.Connection"], Awaitable[Result]], owner: Owner) -> Result:
        """What `read` returns, which gets the connection.

        Raises TooManyReadsError or OverloadedError at once; UnavailableError if its turn does not come within
        `limits.wait_seconds`, or if the database does not answer; and the errors of `read`.
        """
        await self._wait_for_turn(owner)
        self._reading = reading = asyncio.create_task(self._read(read), name="read")
        reading.add_done_callback(_retrieve)
        # A caller who gives up leaves the read to its end: to cut it short would cost the others the connection.
        return await asyncio.shield(reading)

    async def _wait_for_turn(self, owner: Owner) -> None:
        self._admission.enter(owner)
        try:
            async with asyncio.timeout(self._limits.wait_seconds):
                await self._turn.acquire()
        except TimeoutError as error:
            raise UnavailableError("the database is slow; try again in a second") from error
        finally:
            self._admission.leave(owner)

    async def _read(self, read: Callable[["asyncpg.Connection"], Awaitable[Result]]) -> Result:
        clock = asyncio.get_running_loop().time
        try:
            async with self.session.use() as connection:
                began = clock()
                try:
                    return await read(connection)
                finally:
                    self._admission.served(clock() - began)
        finally:
            self._turn.release()


def _retrieve(reading: "asyncio.Task[Any]") -> None:
    """The caller may have gone: then nobody else takes note of the read's error."""
    if not reading.cancelled():
        reading.exception()
