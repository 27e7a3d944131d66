"""Makes one backup: stanza, backup, expiry, and the message for the operator."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from rtx_backup import info
from rtx_backup.pgbackrest import PgBackRest, PgBackRestError, Reports
from rtx_backup.retention import full_backups_with_log


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be made, and for how long the log is kept."""

    type: str  # full or incr
    log_retention_days: int  # the days of backups are in pgBackRest's configuration


def make(order: Order, reports: Reports, folder: Path) -> int:
    """Makes the backup; the exit code. Whatever comes of it, the message says so. `folder` has the configuration."""
    try:
        message = _make(order, PgBackRest(reports), folder)
    except PgBackRestError as error:
        reports.message.write_text(info.failure(str(error)))
        return 1
    reports.message.write_text(message)
    return 0


def _make(order: Order, pgbackrest: PgBackRest, folder: Path) -> str:
    pgbackrest.run("stanza-create")
    before = pgbackrest.repository()
    pgbackrest.run(f"--type={order.type}", "--no-expire-auto", "backup")
    after = pgbackrest.repository()
    made = after.made_since(before)
    if made is None:
        raise PgBackRestError("pgBackRest reported success, and the repository has no new backup")
    # First the report on what was made, then what may fail without making it worse.
    log_for = full_backups_with_log(after.backups, order.log_retention_days, time.time())
    pgbackrest.run("--repo1-retention-archive-type=full", f"--repo1-retention-archive={log_for}", "expire")
    return info.report(made, pgbackrest.repository(), info.folder_of((folder / "pgbackrest.conf").read_text()))


def is_alive(heartbeat: Path, within_seconds: float) -> bool:
    """Whether the backup said something in that time."""
    try:
        return time.time() - os.stat(heartbeat).st_mtime < within_seconds  # noqa: PTH116 - one system call
    except FileNotFoundError:
        return False
