"""Watches for which sessions a migration waits: by their locks, or by snapshots older than an index that is built."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

import asyncpg  # type: ignore[import-untyped]  # ships no types
import structlog

PAUSE_SECONDS = 0.1  # between two looks: an attempt to get a lock lasts 0.3 s

# The migrator's role sees who other sessions are, but not what they do. A process that is nobody's and has locks of
# tables is autovacuum.
_BLOCKING = """
SELECT string_agg(
    CASE
        WHEN usesysid IS NULL THEN format('autovacuum (process %s)', pid)
        ELSE format('session %s (%s, role %s)', pid, coalesce(nullif(application_name, ''), 'unnamed'), usename)
    END, ', '
) AS sessions, bool_or(usesysid IS NULL) AS autovacuum
FROM unnest(pg_blocking_pids($1)) AS blocking (pid) JOIN pg_stat_activity USING (pid)
"""

log = structlog.get_logger(__name__)


class SessionWatch:
    """Asks over a connection of its own for which sessions another one waits; each change is logged."""

    def __init__(self) -> None:
        self.last_seen = ""  # the last sessions that kept the migration waiting, as words; empty: none did
        self.autovacuum = False  # whether it was among them since `forget_autovacuum`

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

    def forget_autovacuum(self) -> bool:
        """Whether it has kept the migration waiting since this was asked."""
        seen, self.autovacuum = self.autovacuum, False
        return seen

    async def _run(self, pid: int, watcher: "asyncpg.Connection") -> None:
        while True:
            sessions, autovacuum = await watcher.fetchrow(_BLOCKING, pid)
            if sessions and sessions != self.last_seen:
                log.info("migration waits for another session", sessions=sessions)
                self.last_seen = sessions
            self.autovacuum = self.autovacuum or bool(autovacuum)
            await asyncio.sleep(PAUSE_SECONDS)
