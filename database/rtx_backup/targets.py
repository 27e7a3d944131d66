"""What a restore goes to, the backup that it begins with, and how far the log reaches from there. Pure.

PostgreSQL itself fails at a target that the log does not reach, and that only when all of it was replayed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from rtx_backup.info import Backup, Repository

FILES_PER_LOG_ID = 256  # of 16 MiB: the last eight characters of a name count so far
SEGMENT_BYTES = 16 * 1024 * 1024
NO_TIME = datetime.min.replace(tzinfo=UTC)


class UnreachableError(Exception):
    """The target cannot be restored; the message says why, and what can be."""


class TargetKind(StrEnum):
    """What names the target."""

    BACKUP = "backup"  # the end of one backup
    TIME = "time"  # all that was committed until then
    LSN = "lsn"  # all up to this position of the log
    NEWEST = "newest"  # all that there is


@dataclass(frozen=True, slots=True)
class Target:
    """What a restore goes to; the field of its kind says it."""

    kind: TargetKind
    label: str = ""
    time: datetime = NO_TIME
    lsn: str = ""


@dataclass(frozen=True, slots=True)
class Log:
    """The files of the log from a backup on, until the first one that is missing."""

    files: tuple[str, ...]  # by name, each of the latest timeline that has it
    missing: str = ""  # the first file that is missing although there are later ones; empty: none is

    @property
    def last(self) -> str:
        return self.files[-1] if self.files else ""


def backup_for(target: Target, repository: Repository) -> Backup:
    """The backup that the restore begins with. Raises UnreachableError."""
    backups = repository.backups
    if not backups:
        raise UnreachableError(
            "the repository has no backups of this engine: see that its bucket, its path and the folder are those of "
            "the backups"
        )
    oldest = min(backups, key=lambda one: one.finished)
    match target.kind:
        case TargetKind.BACKUP:
            found = [one for one in backups if one.label == target.label]
            what = f"backup {target.label} is not in the repository any more"
        case TargetKind.TIME:
            found = [one for one in backups if one.finished <= target.time.timestamp()]
            what = f"no backup in the repository had ended by {_utc(target.time)}"
        case TargetKind.LSN:
            found = [one for one in backups if position(one.lsn_stop) <= position(target.lsn)]
            what = f"no backup in the repository had ended at position {target.lsn} of the log"
        case TargetKind.NEWEST:
            found, what = list(backups), ""
    if not found:
        ended = f"{_utc(datetime.fromtimestamp(oldest.finished, UTC))}, at position {oldest.lsn_stop}"
        raise UnreachableError(f"{what}: the oldest one, {oldest.label}, ended at {ended}")
    return max(found, key=lambda one: one.finished)


def log_since(backup: Backup, paths: Mapping[str, str]) -> Log:
    """The log that can be replayed from the backup on; `paths` is all that there is, by name."""
    names: dict[int, str] = {}
    for name in sorted(paths):
        names[_number(name)] = name
    number, found = _number(backup.wal_start), list[str]()
    while number in names:
        found.append(names[number])
        number += 1
    timeline = found[-1][:8] if found else backup.wal_start[:8]
    return Log(tuple(found), _name(timeline, number) if max(names, default=0) > number else "")


def check(target: Target, backup: Backup, log: Log, last_commit: datetime | None) -> None:
    """Raises UnreachableError unless the log reaches the target; `last_commit` is the time of the last one in it."""
    if not log.last or _number(log.last) < _number(backup.wal_stop):
        raise UnreachableError(
            f"the repository lacks file {log.missing or backup.wal_stop} of the log, without which backup "
            f"{backup.label} cannot be restored: name another backup"
        )
    until = f"its last commit is of {_utc(last_commit)}" if last_commit else "there is no commit in it"
    gap = f"file {log.missing} of the log is missing in the repository, and up to there {until}" if log.missing else ""
    reached = gap or f"the repository has the log up to file {log.last}, and {until}"
    match target.kind:
        case TargetKind.TIME if not last_commit or target.time >= last_commit:
            raise UnreachableError(f"{_utc(target.time)} cannot be restored: {reached}; name an earlier time{_or(gap)}")
        case TargetKind.LSN if position(target.lsn) > end_of(log.last):
            raise UnreachableError(
                f"position {target.lsn} cannot be restored: {reached}; name an earlier one{_or(gap)}"
            )
        case TargetKind.NEWEST if gap:
            raise UnreachableError(f"the newest state cannot be restored: {gap}; name a time before that")


def waits_for_log(target: Target, log: Log, last_commit: datetime | None, now: datetime) -> bool:
    """Whether log that is on its way to the repository may make the target reachable."""
    if log.missing:
        return False
    if target.kind is TargetKind.TIME:
        return target.time < now and (last_commit is None or target.time >= last_commit)
    return target.kind is TargetKind.LSN and (not log.last or position(target.lsn) > end_of(log.last))


def position(lsn: str) -> int:
    """A position of the log as a number."""
    high, _, low = lsn.partition("/")
    return int(high, 16) << 32 | int(low, 16)


def begin_of(file: str) -> int:
    """The position at which a file of the log begins."""
    return _number(file) * SEGMENT_BYTES


def end_of(file: str) -> int:
    """The position after a file of the log."""
    return begin_of(file) + SEGMENT_BYTES


def _number(file: str) -> int:
    """The number of a file of the log, without its timeline."""
    return int(file[8:16], 16) * FILES_PER_LOG_ID + int(file[16:24], 16)


def _name(timeline: str, number: int) -> str:
    return f"{timeline}{number // FILES_PER_LOG_ID:08X}{number % FILES_PER_LOG_ID:08X}"


def _or(gap: str) -> str:
    return "" if gap else ", or newest: true"


def _utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}".rstrip("0").rstrip(".") + " UTC"
