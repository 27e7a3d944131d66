"""What is known of an engine's backups: whether the newest one is recent, and which the operator asks for itself."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rtx_operator.api import sizes
from rtx_operator.api.engine import TradingEngine
from rtx_operator.api.enums import BackupKind, BackupPhase, BackupType, Reason, RestorePhase
from rtx_operator.api.kinds import TRADING_ENGINE_BACKUP
from rtx_operator.api.names import REFRESH
from rtx_operator.api.status import Backups
from rtx_operator.decision.context import DecisionContext
from rtx_operator.desired.backup import asked_for, serves_backups
from rtx_operator.observation import Object, Observation


@dataclass(frozen=True, slots=True)
class BackupState:
    """`known` is of the newest backup that succeeded; None: there is none. The rest is the condition BackupFresh."""

    known: Backups | None
    is_fresh: bool
    reason: Reason
    message: str


def backup_state(context: DecisionContext) -> BackupState:
    """By the TradingEngineBackups that there are. What status knew stays, should they be deleted."""
    engine, seen = context.engine, context.seen
    known = _newest(seen, engine.status.backup)
    if keeps_no_backups(engine):
        return BackupState(known, False, Reason.NOT_BACKED_UP, "spec.backup.type is None: nothing is backed up")
    if not is_prepared(context):
        remedy = f"kubectl annotate te {engine.name} -n {engine.namespace} {REFRESH}=$(date +%s) --overwrite"
        message = f"the database runs without the server that backups are read from; to restart it with that: {remedy}"
        return BackupState(known, False, Reason.BACKUP_UNPREPARED, message)
    failure = _failure_after(seen, known)
    if known and _is_before_restore(context, known):
        message = "the data were restored, and their first backup has not ended yet"
        return BackupState(known, False, Reason.BACKUP_FAILED if failure else Reason.BACKUP_PENDING, failure or message)
    if known is None:
        reason = Reason.BACKUP_FAILED if failure else Reason.BACKUP_PENDING
        return BackupState(None, False, reason, failure or "the first backup has not ended yet")
    made = f"the newest backup ended at {known.ended_at:%Y-%m-%d %H:%M:%S} UTC"
    if is_stale(engine, known, context.now):
        message = f"{made}, and spec.backup.maxAge is over" + (f": {failure}" if failure else "")
        return BackupState(known, False, Reason.BACKUP_TOO_OLD, message)
    return BackupState(known, True, Reason.BACKED_UP, made)


def is_stale(engine: TradingEngine, known: Backups | None, now: datetime) -> bool:
    """Whether the newest backup is older than spec allows."""
    return known is not None and now - known.ended_at > engine.spec.backup.max_age


def keeps_no_backups(engine: TradingEngine) -> bool:
    """Whether spec asks for none."""
    return sizes.backup_type(engine.spec.environment, engine.spec.backup) is BackupType.NONE


def is_prepared(context: DecisionContext) -> bool:
    """Whether the database runs with the server that backups are read from."""
    database = context.desired.database
    live = context.seen.child(database.kind, database.name)
    return live is not None and serves_backups(live)


def first_backup(context: DecisionContext) -> tuple[Object, ...]:
    """The backup with which the log begins to be kept: the schedule's first one may be hours away."""
    engine, known, restore = context.engine, context.engine.status.backup, context.state.restore
    if keeps_no_backups(engine) or not is_prepared(context):
        return ()
    if known is None:
        return (asked_for(engine, "first", BackupKind.FULL),)
    if restore and _is_before_restore(context, known):
        return (asked_for(engine, restore.id, BackupKind.FULL),)  # its folder in the repository is new
    return ()


def _is_before_restore(context: DecisionContext, known: Backups) -> bool:
    """Also where the data of before came back: the folder in the repository is new from the swap on."""
    restore = context.state.restore
    is_new = restore is not None and restore.phase.is_terminal and RestorePhase.SWAPPING in restore.seconds
    return restore is not None and is_new and known.ended_at < restore.since


def _newest(seen: Observation, before: Backups | None) -> Backups | None:
    made = [one for one in map(_made, _backups(seen)) if one]
    return max([*made, *filter(None, [before])], key=lambda one: one.ended_at, default=None)


def _backups(seen: Observation) -> Iterable[Object]:
    return seen.children_of(TRADING_ENGINE_BACKUP.name)


def _made(backup: Object) -> Backups | None:
    status = backup.get("status") or {}
    if status.get("phase") != BackupPhase.SUCCEEDED or not status.get("repository"):
        return None
    repository: dict[str, Any] = status["repository"]
    return Backups(
        name=backup["metadata"]["name"],
        ended_at=status["endedAt"],
        count=repository["count"],
        oldest=repository["oldest"],
        newest=repository["newest"],
        stored_bytes=repository["storedBytes"],
    )


def _failure_after(seen: Observation, known: Backups | None) -> str:
    """Why the last backup failed, if none has succeeded since."""
    failed = [one["status"] for one in _backups(seen) if (one.get("status") or {}).get("phase") == BackupPhase.FAILED]
    since = [one for one in failed if not known or datetime.fromisoformat(one["endedAt"]) > known.ended_at]
    last = max(since, key=lambda one: str(one["endedAt"]), default=None)
    return str(last["message"]) if last else ""
