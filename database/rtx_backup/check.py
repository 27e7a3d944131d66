"""Checks, by the repository alone, that a target can be restored: its backup, the log until there, its last commit."""

import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from rtx_backup import info, targets
from rtx_backup.info import Backup
from rtx_backup.pgbackrest import PgBackRest, PgBackRestError, Reports
from rtx_backup.targets import Log, Target, TargetKind, UnreachableError

RETRY_SECONDS = 3.0
FILES_WITHOUT_COMMITS = 16  # at the end of the log, in which a commit is looked for
_COMMIT = re.compile(r"desc: COMMIT (?:PREPARED )?(\S+ [0-9:.]+) UTC")


@dataclass(frozen=True, slots=True)
class Found:
    """What a restore to the target begins with, and how far the log reaches."""

    backup: Backup
    log: Log
    last_commit: datetime | None


def run(target: Target, pgbackrest: PgBackRest, wait_seconds: float) -> int:
    """Checks the target; the exit code. Whatever comes of it, the message says so."""
    return told(pgbackrest.reports, lambda: _report(find(target, pgbackrest, wait_seconds)))


def told(reports: Reports, work: Callable[[], str]) -> int:
    """Writes what the work says, or why it failed; the exit code."""
    try:
        message = work()
    except (PgBackRestError, UnreachableError) as error:
        reports.message.write_text(info.failure(str(error)))
        return 1
    reports.message.write_text(message)
    return 0


def find(target: Target, pgbackrest: PgBackRest, wait_seconds: float) -> Found:
    """What there is for the target. Waits for log that is on its way. Raises UnreachableError and PgBackRestError."""
    if target.kind is TargetKind.TIME and target.time >= datetime.now(UTC):
        raise UnreachableError(f"{target.time:%Y-%m-%d %H:%M:%S} UTC is in the future; name a time that has passed")
    until = time.monotonic() + wait_seconds
    while True:
        found = _look(target, pgbackrest)
        waits = targets.waits_for_log(target, found.log, found.last_commit, datetime.now(UTC))
        if not waits or time.monotonic() > until:
            targets.check(target, found.backup, found.log, found.last_commit)
            return found
        time.sleep(RETRY_SECONDS)


def _look(target: Target, pgbackrest: PgBackRest) -> Found:
    repository = pgbackrest.repository()
    backup = targets.backup_for(target, repository)
    paths = pgbackrest.log_files(repository.archive)
    log = targets.log_since(backup, paths)
    return Found(backup, log, _last_commit(log, paths, pgbackrest))


def _last_commit(log: Log, paths: Mapping[str, str], pgbackrest: PgBackRest) -> datetime | None:
    """The time of the last commit in the log; None when its last files have none."""
    with tempfile.TemporaryDirectory() as folder:
        for name in reversed(log.files[-FILES_WITHOUT_COMMITS:]):
            file = Path(folder) / name
            packed = subprocess.run(
                ["zstd", "--decompress", "--stdout"],
                input=pgbackrest.read(paths[name]),
                capture_output=True,
                check=False,
            )
            if packed.returncode:
                raise PgBackRestError(f"file {name} of the log is damaged in the repository")
            file.write_bytes(packed.stdout)
            if commits := _commits(file):
                return max(commits)
            file.unlink()
    return None


def _commits(file: Path) -> list[datetime]:
    """The times of the commits in a file of the log; it ends where it is not full."""
    dumped = subprocess.run(
        ["pg_waldump", "--rmgr=Transaction", str(file)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TZ": "UTC"},
    )
    return [datetime.fromisoformat(f"{found}+00:00") for found in _COMMIT.findall(dumped.stdout)]


def _report(found: Found) -> str:
    said = {
        "backup": asdict(found.backup),
        "last_commit": found.last_commit.timestamp() if found.last_commit else None,
        "wal_stop": found.log.last,
    }
    return json.dumps({"check": said})
