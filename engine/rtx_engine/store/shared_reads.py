"""Reads that callers share: however many ask the same, one of them waits."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

import asyncpg  # type: ignore[import-untyped]  # ships no types

from rtx_engine.store.read_admission import Owner
from rtx_engine.store.reads import Reads

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")


class SharedReads(Generic[Key, Result]):
    """Whoever asks often takes one place in the queue, and none from others who ask the same."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._asked: dict[Key, asyncio.Task[Result]] = {}  # that wait for the connection

    async def run(self, key: Key, read: Callable[["asyncpg.Connection"], Awaitable[Result]], owner: Owner) -> Result:
        """What `read` returns, of one that begins after this call. Raises as Reads.run does."""
        asked = self._asked.get(key)
        if asked is None:
            asked = self._asked[key] = asyncio.create_task(self._run(key, read, owner), name="shared read")
            asked.add_done_callback(_retrieve)
        return await asyncio.shield(asked)

    async def _run(self, key: Key, read: Callable[["asyncpg.Connection"], Awaitable[Result]], owner: Owner) -> Result:
        async def begin(connection: "asyncpg.Connection") -> Result:
            self._asked.pop(key, None)  # later callers need a read that starts later
            return await read(connection)

        try:
            return await self._reads.run(begin, owner)
        finally:
            if self._asked.get(key) is asyncio.current_task():
                del self._asked[key]


def _retrieve(reading: "asyncio.Task[Result]") -> None:
    """All who asked may have gone: then nobody else takes note of the read's error."""
    if not reading.cancelled():
        reading.exception()
