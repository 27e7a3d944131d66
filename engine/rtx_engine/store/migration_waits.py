"""Watches for which sessions a migration waits: by their locks, or by snapshots older than an index that is built."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

import asyncpg  # type: ignore[import-untyped]  # ships no types
import structlog

PAUSE_SECONDS = 0.1  # between two looks: an attempt to get a lock lasts 0.3 s

# The migrator's role sees who other sessions are, but not what they do.
_BLOCKING = """
SELECT string_agg(
    format('session %s (%s, role %s)', pid, coalesce(nullif(application_name, ''), 'unnamed'), usename), ', '
)
FROM unnest(pg_blocking_pids($1)) AS blocking (pid) JOIN pg_stat_activity USING (pid)
"""

log = structlog.get_logger(__name__)


class SessionWatch:
    """Asks over a connection of its own for which sessions another one waits; each change is logged."""

    def __init__(self) -> None:
        self.last_seen = ""  # the last sessions that kept the migration waiting, as words; empty: none did

    @classmethod
    @asynccontextmanager
    async def of(cls, watched: "asyncpg.Connection", watcher: "asyncpg.Connection") -> AsyncIterator[Self]:
        """A watch on `watched` for as long as the block runs. It ends early when `watcher` loses its connection."""
        watch = cls()
        task = asyncio.create_task(watch._run(watched.get_server_pid(), watcher))
        try:
            yield watch
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await task

    async def _run(self, pid: int, watcher: "asyncpg.Connection") -> None:
        while True:
            sessions = await watcher.fetchval(_BLOCKING, pid)
            if sessions and sessions != self.last_seen:
                log.info("migration waits for another session", sessions=sessions)
                self.last_seen = sessions
            await asyncio.sleep(PAUSE_SECONDS)
