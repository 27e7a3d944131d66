"""Makes one backup: stanza, backup, expiry, and the message for the operator."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from rtx_backup import info
from rtx_backup.info import Where
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
    where = _where(folder)
    _expire(order, pgbackrest)  # before as well: a full repository takes no backup after which it would be emptied
    pgbackrest.run("stanza-create")
    label = info.label_in(pgbackrest.run(f"--type={order.type}", "--no-expire-auto", "backup"))
    warning = _expire(order, pgbackrest)
    repository = pgbackrest.repository()
    made = next((backup for backup in repository.backups if backup.label == label), None)
    if made is None:
        raise PgBackRestError(f"pgBackRest reported success, and the repository has no backup {label}")
    if where != _where(folder):
        raise PgBackRestError(f"backup {label} was made, and meanwhile the engine was given another repository")
    return info.report(made, repository, where, warning)


def _where(folder: Path) -> Where:
    """Which repository it is: the kubelet brings another configuration into a pod that runs."""
    configuration = (folder / "pgbackrest.conf").read_text()
    return Where((folder / "place").read_text().strip(), info.folder_of(configuration))


def _expire(order: Order, pgbackrest: PgBackRest) -> str:
    """Deletes what is older than it is kept. Returns why it could not: no backup is any worse for that."""
    try:
        backups = pgbackrest.repository().backups
        if not backups:
            return ""
        log_for = full_backups_with_log(backups, order.log_retention_days, time.time())
        pgbackrest.run("--repo1-retention-archive-type=full", f"--repo1-retention-archive={log_for}", "expire")
    except PgBackRestError as error:
        return f"what is older than it is kept was not deleted: {error}"
    return ""


def is_alive(heartbeat: Path, within_seconds: float) -> bool:
    """Whether the backup said something in that time."""
    try:
        return time.time() - os.stat(heartbeat).st_mtime < within_seconds  # noqa: PTH116 - one system call
    except FileNotFoundError:
        return False
