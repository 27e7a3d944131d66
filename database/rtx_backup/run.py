"""Makes one backup: stanza, backup, expiry, and the message for the operator."""

import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rtx_backup import info
from rtx_backup.retention import full_backups_with_log

PROGRAM = "rtx-pgbackrest"
# PgBackRest's exit code when another one is at work in this container, and its word for one that is elsewhere.
LOCKED, LOCKED_THERE = 50, "LockAcquireError"
LOCK_RETRY_SECONDS = 5.0
LAST_LINES = 50  # of the output, in which the cause of a failure is looked for


class PgBackRestError(Exception):
    """pgBackRest failed; the message is what it said."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be made, and for how long the log is kept."""

    type: str  # full or incr
    log_retention_days: int  # the days of backups are in pgBackRest's configuration


@dataclass(frozen=True, slots=True)
class Reports:
    """Where the kubelet finds the message, and the file whose time says that the backup goes on."""

    message: Path
    heartbeat: Path


def make(order: Order, reports: Reports) -> int:
    """Makes the backup; the exit code. Whatever comes of it, the message says so."""
    try:
        message = _make(order, reports)
    except PgBackRestError as error:
        reports.message.write_text(info.failure(str(error)))
        return 1
    reports.message.write_text(message)
    return 0


def _make(order: Order, reports: Reports) -> str:
    place = _place()
    _expire(order, reports)  # before as well: a repository that is full takes no backup after which it would be emptied
    _run(reports, "stanza-create")
    label = info.label_in(_run(reports, f"--type={order.type}", "--no-expire-auto", "backup"))
    warning = _expire(order, reports)
    repository = _repository(reports)
    made = next((backup for backup in repository.backups if backup.label == label), None)
    if made is None:
        raise PgBackRestError(f"pgBackRest reported success, and the repository has no backup {label}")
    if place != _place():
        raise PgBackRestError(f"backup {label} was made, and meanwhile the engine was given another repository")
    return info.report(made, repository, place, warning)


def _place() -> str:
    """Which repository it is: the kubelet brings another configuration into a pod that runs."""
    return (Path(os.environ.get("RTX_BACKUP_FOLDER", "/etc/rtx-backup")) / "place").read_text().strip()


def _expire(order: Order, reports: Reports) -> str:
    """Deletes what is older than it is kept. Returns why it could not: no backup is any worse for that."""
    try:
        backups = _repository(reports).backups
        if not backups:
            return ""
        log_for = full_backups_with_log(backups, order.log_retention_days, time.time())
        _run(reports, "--repo1-retention-archive-type=full", f"--repo1-retention-archive={log_for}", "expire")
    except PgBackRestError as error:
        return f"what is older than it is kept was not deleted: {error}"
    return ""


def _repository(reports: Reports) -> info.Repository:
    said = "\n".join(_run(reports, "--output=json", "info", quiet=True))
    try:
        return info.read(said)
    except ValueError as error:  # with a wrong passphrase it quotes what it has read
        raise PgBackRestError(f"what pgBackRest says of the repository cannot be read: {error}") from error


def _run(reports: Reports, *words: str, quiet: bool = False) -> deque[str]:
    """The last lines of its output. Waits while another backup holds the lock, which is on the database's server."""
    while True:
        code, lines = _run_once(reports, *words, quiet=quiet)
        if not code:
            return lines
        cause = info.cause_of(lines)
        if code != LOCKED and LOCKED_THERE not in cause:
            raise PgBackRestError(cause)
        sys.stdout.write(f"{cause}; trying again\n")
        time.sleep(LOCK_RETRY_SECONDS)


def _run_once(reports: Reports, *words: str, quiet: bool) -> tuple[int, deque[str]]:
    """Its exit code, and the last lines of its output. Each line is a sign of life; at detail, each file has one."""
    level = "error" if quiet else "detail"
    command = [PROGRAM, "--stanza=main", f"--log-level-console={level}", *words]
    lines = deque[str](maxlen=LAST_LINES)
    # With a wrong passphrase it quotes what it has read, which is no text.
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace"
    ) as process:
        for line in _lines(process):
            reports.heartbeat.touch()
            lines.append(line)
            if not quiet and "DETAIL:" not in line:
                sys.stdout.write(f"{line}\n")
                sys.stdout.flush()
    return process.returncode, lines


def _lines(process: "subprocess.Popen[str]") -> Iterator[str]:
    for line in process.stdout or ():
        yield line.rstrip("\n")


def is_alive(heartbeat: Path, within_seconds: float) -> bool:
    """Whether the backup said something in that time."""
    try:
        return time.time() - os.stat(heartbeat).st_mtime < within_seconds  # noqa: PTH116 - one system call
    except FileNotFoundError:
        return False
