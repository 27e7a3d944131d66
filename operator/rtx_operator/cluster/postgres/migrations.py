"""Finds the sessions for which a migration waits."""

from typing import Any

from rtx_operator.observation import BlockingSession

MIGRATOR = "rtx-migrate"  # application_name of the engine's runner of migrations

# An index that is built concurrently waits for every older snapshot of the database: the wait is a lock, too, of the
# other session's virtual transaction id.
_BLOCKING = """
SELECT DISTINCT other.pid, other.application_name, other.usename::text AS role, host(other.client_addr) AS client,
    other.state, other.xact_start
FROM pg_stat_activity AS migration
CROSS JOIN LATERAL unnest(pg_blocking_pids(migration.pid)) AS blocking (pid)
JOIN pg_stat_activity AS other ON other.pid = blocking.pid
WHERE migration.application_name = $1 AND migration.datname = current_database() AND other.pid <> migration.pid
ORDER BY other.xact_start NULLS LAST
"""


async def find_blocking(connection: Any) -> tuple[BlockingSession, ...]:
    """The sessions for which the running migration waits, oldest transaction first. Raises asyncpg's errors."""
    rows = await connection.fetch(_BLOCKING, MIGRATOR)
    return tuple(
        BlockingSession(
            pid=row["pid"],
            name=row["application_name"] or "",
            role=row["role"] or "",
            client=row["client"] or "",
            state=row["state"] or "",
            since=row["xact_start"],
        )
        for row in rows
    )
