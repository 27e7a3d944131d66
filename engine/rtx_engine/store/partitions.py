"""Makes the journal's partitions ahead of time. Every pod asks for it; the first one that does makes them."""

import asyncio
from contextlib import suppress

import asyncpg  # type: ignore[import-untyped]  # ships no types
import structlog

from rtx_engine import metrics
from rtx_engine.store.database_errors import NOT_MIGRATED
from rtx_engine.store.errors import UnavailableError
from rtx_engine.store.lock_budget import lock_budget
from rtx_engine.store.read_admission import Shared
from rtx_engine.store.reads import Reads

WEEKS_AHEAD = 8
INTERVAL_SECONDS = 24 * 3600.0
RETRY_SECONDS = 60.0

_MAKE = "SELECT make_journal_weeks($1)"

log = structlog.get_logger(__name__)


class Partitions:
    """Keeps WEEKS_AHEAD weekly partitions before the present one."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._wanted = asyncio.Event()

    async def run(self) -> None:
        """Make them now, each day, and when they are wanted, until cancelled."""
        while True:
            self._wanted.clear()
            made = await self.make()
            with suppress(TimeoutError):
                async with asyncio.timeout(INTERVAL_SECONDS if made else RETRY_SECONDS):
                    await self._wanted.wait()

    def want(self) -> None:
        """Make them soon: other data have come, and an old backup has those of its own time only. Does not block."""
        self._wanted.set()

    async def make(self) -> bool:
        """Whether they are made."""
        try:
            weeks = await self._reads.run(make_weeks, Shared.POD)
        except (UnavailableError, *NOT_MIGRATED):
            return False
        except asyncpg.PostgresError as error:  # somebody holds a lock, or the disk is full: there are weeks left
            log.warning("cannot make partitions of the journal", error=str(error))
            return False
        metrics.JOURNAL_WEEKS.set(weeks)
        return True


async def make_weeks(connection: "asyncpg.Connection") -> int:
    """Make those that are not there. Returns how many weeks from now on have one; raises asyncpg's errors."""
    async with lock_budget(connection):
        return int(await connection.fetchval(_MAKE, WEEKS_AHEAD))
