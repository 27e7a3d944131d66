"""What `pgbackrest info --output=json` says, and what of it the operator is told: in the pod's termination message."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

NOT_READ = 99  # pgBackRest's status code of a repository that it could not read: `info` itself succeeds
LOG_FILE = "[0-9A-F]{24}"  # the name of a file of the log


@dataclass(frozen=True, slots=True)
class Backup:
    """One backup in the repository. Times are seconds since 1970."""

    label: str
    type: str  # full, diff or incr
    started: int
    finished: int
    bytes: int  # of the database
    stored_bytes: int  # that it added to the repository
    lsn_start: str
    lsn_stop: str
    wal_start: str
    wal_stop: str
    has_errors: bool  # pages with wrong checksums


@dataclass(frozen=True, slots=True)
class Where:
    """Where backups are kept, as the operator says."""

    place: str  # tells one repository from another, its folder included
    folder: str  # of this database in the repository, from which a restore reads


@dataclass(frozen=True, slots=True)
class Repository:
    """All of the repository; `wal_min` and `wal_max` are the first and last file of the log in it, of this database."""

    backups: tuple[Backup, ...] = ()  # in the order in which they were made
    wal_min: str = ""
    wal_max: str = ""
    archive: str = ""  # the folder of the log of this database, in the repository
    error: str = ""  # why it could not be read

    def has_log_of(self, backup: Backup) -> bool:
        """Whether the first and the last log file that the backup needs are within what the repository has."""
        return bool(self.wal_min) and self.wal_min <= backup.wal_start <= backup.wal_stop <= self.wal_max


def read(text: str) -> Repository:
    """The repository by the output of `info`; an empty one before the first backup. Raises ValueError."""
    # With a wrong passphrase it quotes what it has read, control characters included.
    stanzas: list[Any] = json.loads(text, strict=False)
    of_repositories = [one["status"] for stanza in stanzas for one in stanza.get("repo") or []]
    if errors := [one["message"] for one in of_repositories if one["code"] == NOT_READ]:
        said = _plain(errors[0].partition("***")[0]).rstrip(":")
        return Repository(error=f"the repository cannot be read: {said}")
    if not stanzas or not stanzas[0].get("db"):
        return Repository()
    stanza = stanzas[0]
    current = stanza["db"][-1]["id"]
    archive: Any = next((one for one in stanza.get("archive") or [] if one["database"]["id"] == current), {})
    found = (_backup(one) for one in stanza.get("backup") or [])
    return Repository(tuple(found), archive.get("min") or "", archive.get("max") or "", archive.get("id") or "")


def _backup(one: Any) -> Backup:
    return Backup(
        label=one["label"],
        type=one["type"],
        started=one["timestamp"]["start"],
        finished=one["timestamp"]["stop"],
        bytes=one["info"]["size"],
        stored_bytes=one["info"]["repository"]["delta"],
        lsn_start=one["lsn"]["start"],
        lsn_stop=one["lsn"]["stop"],
        wal_start=one["archive"]["start"],
        wal_stop=one["archive"]["stop"],
        has_errors=bool(one.get("error")),
    )


def folder_of(configuration: str) -> str:
    """The folder of this database in the repository, by pgBackRest's configuration; empty if that names none."""
    found = re.search(r"^repo1-path=(.*)$", configuration, re.MULTILINE)
    return found[1] if found else ""


def report(made: Backup, repository: Repository, where: Where, warning: str) -> str:
    """The message about a backup that was made, as JSON; a pod's may have 4096 bytes."""
    summary = {
        "place": where.place,
        "count": len(repository.backups),
        "oldest": min(backup.finished for backup in repository.backups),
        "newest": max(backup.finished for backup in repository.backups),
        "stored_bytes": sum(backup.stored_bytes for backup in repository.backups),
        "wal_min": repository.wal_min,
        "wal_max": repository.wal_max,
    }
    backup = {**asdict(made), "wal_verified": repository.has_log_of(made), "folder": where.folder}
    return json.dumps({"backup": backup, "repository": summary, "warning": warning[:2000]})


def failure(cause: str) -> str:
    """The message about a backup that failed."""
    return json.dumps({"error": cause[:2000]})


def label_in(lines: Sequence[str]) -> str:
    """The label of the backup that was made, by the output of `backup`; empty when it does not say."""
    found = (match["label"] for line in lines if (match := _LABEL.search(line)))
    return next(found, "")


def cause_of(lines: Sequence[str]) -> str:
    """What pgBackRest says went wrong: its errors, and why it took no server for a primary; else its last line."""
    entries: list[str] = []
    for line in lines:
        if _ENTRY.match(line) or not entries:
            entries.append(line)
        else:  # an entry goes on in lines that are indented
            entries[-1] += f" {line.strip()}"
    found = [match for entry in entries if (match := _CAUSE.search(entry))]
    said = dict.fromkeys(_plain(match["text"]) for match in found) or [_plain(entry) for entry in entries[-1:]]
    return "; ".join(said) or "pgBackRest said nothing"


_ENTRY = re.compile(r"\d{4}-\d\d-\d\d [0-9:.]+ P\d\d ")
_LABEL = re.compile(r"new backup label = (?P<label>\S+)")
_CAUSE = re.compile(r"(ERROR: |WARN: (?=unable to check pg))(?P<text>.*)")


def _plain(text: str) -> str:
    """On one line, and with the first of its hints only."""
    said = " HINT: ".join(text.split(" HINT: ")[:2])
    return re.sub(r"[^!-~]+", " ", said).strip()
