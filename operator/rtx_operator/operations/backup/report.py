"""What the pod of a backup said at its end: JSON in its termination message (database/rtx_backup/info.py). Pure."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rtx_operator.api.backup import BackupRepository, MadeBackup
from rtx_operator.api.enums import BackupKind
from rtx_operator.observation import Object

CONTAINER = "backup"
_KINDS = {"full": BackupKind.FULL, "diff": BackupKind.INCREMENTAL, "incr": BackupKind.INCREMENTAL}


@dataclass(frozen=True, slots=True)
class Report:
    """A backup that was made, or the error that kept it from being made."""

    made: MadeBackup | None = None
    repository: BackupRepository | None = None
    error: str = ""
    warning: str = ""  # of what failed beside a backup that was made


def report_of(pod: Object) -> Report | None:
    """What the pod said; None while it runs, or when it said nothing."""
    containers = pod.get("status", {}).get("containerStatuses") or []
    for container in (one for one in containers if one["name"] == CONTAINER):  # others may have been injected
        ended = (container.get("state") or {}).get("terminated") or {}
        if message := (ended.get("message") or "").strip():
            return _read(message, has_failed=bool(ended.get("exitCode")))
    return None


def _read(message: str, *, has_failed: bool) -> Report:
    try:
        said = json.loads(message)
        if "error" in said:
            return Report(error=str(said["error"]))
        return Report(_made(said["backup"]), _repository(said["repository"]), warning=str(said.get("warning", "")))
    except (ValueError, KeyError, TypeError):  # the program ended before it could say, or it is of another release
        last = message.splitlines()[-1]
        return Report(error=last if has_failed else f"its report cannot be read: {last}")


def _made(said: Any) -> MadeBackup:
    return MadeBackup(
        label=said["label"],
        type=_KINDS[said["type"]],
        started_at=_time(said["started"]),
        finished_at=_time(said["finished"]),
        bytes=said["bytes"],
        stored_bytes=said["stored_bytes"],
        lsn_start=said["lsn_start"],
        lsn_stop=said["lsn_stop"],
        wal_start=said["wal_start"],
        wal_stop=said["wal_stop"],
        wal_verified=said["wal_verified"],
        has_errors=said["has_errors"],
        folder=said["folder"],
    )


def _repository(said: Any) -> BackupRepository:
    return BackupRepository(
        count=said["count"],
        oldest=_time(said["oldest"]),
        newest=_time(said["newest"]),
        stored_bytes=said["stored_bytes"],
        wal_start=said["wal_min"],
        wal_stop=said["wal_max"],
        place=said["place"],
    )


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
