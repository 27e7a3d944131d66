"""The TradingEngineBackups of what the schedule makes: one for each Job, and only as many as somebody reads. Pure."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from rtx_operator.api.engine import TradingEngine
from rtx_operator.api.enums import BackupKind, BackupPhase
from rtx_operator.api.names import OPERATOR, Label, Names
from rtx_operator.desired.backup.request import requested
from rtx_operator.observation import Object
from rtx_operator.operations.backup.context import is_backup_job

KEPT_INCREMENTAL = 24  # of the schedule, that succeeded: a day of them
KEPT_FAILED = 10


def engine_of(job: Object) -> str:
    """The engine of a Job of the schedule; empty for any other Job."""
    meta = job["metadata"]
    engine = str((meta.get("labels") or {}).get(Label.ENGINE.value, ""))
    names = Names(engine)
    schedule = {names.full_backup, names.incremental_backup}
    makers = {owner["name"] for owner in meta.get("ownerReferences") or [] if owner["kind"] == "CronJob"}
    return engine if engine and is_backup_job(job) and makers & schedule else ""


def backup_for(job: Object, engine: TradingEngine) -> Object:
    """The TradingEngineBackup of a Job of the schedule, called as the Job."""
    names, meta = Names(engine.name), job["metadata"]
    is_full = any(owner["name"] == names.full_backup for owner in meta["ownerReferences"])
    return requested(engine, meta["name"], BackupKind.FULL if is_full else BackupKind.INCREMENTAL)


def surplus(backups: Iterable[Mapping[str, Any]], retention: timedelta, now: datetime) -> list[Object]:
    """Of an engine's TradingEngineBackups those to delete.

    Of what the operator made: full ones whose backup is no longer kept, all but the latest incremental ones, and all
    but the latest that failed. What somebody else made is theirs.
    """
    ended = [dict(one) for one in backups if _is_ours(one) and _phase(one) in {phase.value for phase in _TERMINAL}]
    ended.sort(key=lambda one: str(one["status"].get("endedAt", "")), reverse=True)
    failed = [one for one in ended if _phase(one) == BackupPhase.FAILED]
    made = [one for one in ended if _phase(one) == BackupPhase.SUCCEEDED]
    full = [one for one in made if (one["status"].get("made") or {}).get("type") == BackupKind.FULL]
    incremental = [one for one in made if one not in full]
    old = [one for one in full if _ended_at(one) + retention < now]
    return [*failed[KEPT_FAILED:], *incremental[KEPT_INCREMENTAL:], *old]


_TERMINAL = tuple(phase for phase in BackupPhase if phase.is_terminal)


def _is_ours(backup: Mapping[str, Any]) -> bool:
    labels = backup["metadata"].get("labels") or {}
    return bool(labels.get(Label.MANAGED_BY.value) == OPERATOR)


def _phase(backup: Mapping[str, Any]) -> str:
    return str((backup.get("status") or {}).get("phase", ""))


def _ended_at(backup: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(backup["status"]["endedAt"])
