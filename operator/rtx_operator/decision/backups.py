"""What is known of an engine's backups: whether the newest one is recent, and which the operator asks for itself."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rtx_operator.api import sizes
from rtx_operator.api.engine import TradingEngine
from rtx_operator.api.enums import BackupKind, BackupPhase, BackupType, Component, Reason
from rtx_operator.api.kinds import TRADING_ENGINE_BACKUP
from rtx_operator.api.names import REFRESH, Names
from rtx_operator.api.status import Backups
from rtx_operator.decision.context import DecisionContext
from rtx_operator.desired.backup import asked_for, is_to_move, place_of, serves_backups
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
    engine = context.engine
    known = _newest(context)
    if keeps_no_backups(engine):
        return BackupState(known, False, Reason.NOT_BACKED_UP, "spec.backup.type is None: nothing is backed up")
    if serves_backups_elsewhere(context):
        message = "the database is to be restarted with the access to the repository that spec.backup names"
        return BackupState(known, False, Reason.BACKUP_UNPREPARED, message)
    if _database(context) is not None and not is_prepared(context):
        remedy = f"kubectl annotate te {engine.name} -n {engine.namespace} {REFRESH}=$(date +%s) --overwrite"
        message = f"the database runs without the server that backups are read from; to restart it with that: {remedy}"
        return BackupState(known, False, Reason.BACKUP_UNPREPARED, message)
    failure = _last_failure(context)
    if known is None:
        reason = Reason.BACKUP_FAILED if failure else Reason.BACKUP_PENDING
        return BackupState(None, False, reason, failure or "the first backup has not ended yet")
    made = f"the newest backup ended at {known.finished_at:%Y-%m-%d %H:%M:%S} UTC"
    if is_stale(engine, known, context.now):
        message = f"{made}, and spec.backup.maxAge is over" + (f": {failure}" if failure else "")
        return BackupState(known, False, Reason.BACKUP_TOO_OLD, message)
    return BackupState(known, True, Reason.BACKED_UP, made)


def is_stale(engine: TradingEngine, known: Backups | None, now: datetime) -> bool:
    """Whether the newest backup is older than spec allows."""
    return known is not None and now - known.finished_at > engine.spec.backup.max_age


def keeps_no_backups(engine: TradingEngine) -> bool:
    """Whether spec asks for none."""
    return sizes.backup_type(engine.spec.environment, engine.spec.backup) is BackupType.NONE


def is_prepared(context: DecisionContext) -> bool:
    """Whether the database runs with the server that backups are read from, and sends its log where spec says."""
    live = _database(context)
    return live is not None and serves_backups(live) and not serves_backups_elsewhere(context)


def serves_backups_elsewhere(context: DecisionContext) -> bool:
    """Whether the database was made for another repository than spec names: a maintenance is to come."""
    return is_to_move(_database(context), context.desired.servers[Component.DATABASE].renewed)


def _database(context: DecisionContext) -> Object | None:
    database = context.desired.database
    return context.seen.child(database.kind, database.name)


def first_backup(context: DecisionContext) -> tuple[Object, ...]:
    """The backup with which the log begins to be kept in a repository: the schedule's first one may be hours away."""
    engine = context.engine
    if keeps_no_backups(engine) or _newest(context) is not None or not is_prepared(context):
        return ()
    return (asked_for(engine, f"first-{_place(context)[:8]}", BackupKind.FULL),)


def _place(context: DecisionContext) -> str:
    """The repository of today; empty while it is not known."""
    return place_of(context.desired.base_objects, Names(context.engine.name))


def _newest(context: DecisionContext) -> Backups | None:
    """Of those in the repository of today: one that is elsewhere, or of another database, has not its log."""
    place = _place(context)
    here = (one for one in _succeeded(context) if place in {"", one.place})
    return max(here, key=lambda one: one.finished_at, default=None)


def _succeeded(context: DecisionContext) -> list[Backups]:
    """All that are known, also those that are elsewhere."""
    found = (*map(_made, _backups(context.seen)), context.engine.status.backup)
    return [one for one in found if one]


def _backups(seen: Observation) -> Iterable[Object]:
    return seen.children_of(TRADING_ENGINE_BACKUP.name)


def _made(backup: Object) -> Backups | None:
    status = backup.get("status") or {}
    if status.get("phase") != BackupPhase.SUCCEEDED or not status.get("repository"):
        return None
    repository: dict[str, Any] = status["repository"]
    return Backups(
        name=backup["metadata"]["name"],
        # A pod's clock may be ahead; and the operator may have been away when it ended.
        finished_at=min(datetime.fromisoformat(at) for at in (status["made"]["finishedAt"], status["endedAt"])),
        count=repository["count"],
        oldest=repository["oldest"],
        newest=repository["newest"],
        stored_bytes=repository["storedBytes"],
        place=repository.get("place", ""),
    )


def _last_failure(context: DecisionContext) -> str:
    """Why the last backup failed, if none has succeeded since, be it elsewhere."""
    statuses = (one.get("status") or {} for one in _backups(context.seen))
    failed = [one for one in statuses if one.get("phase") == BackupPhase.FAILED]
    made = max((one.finished_at for one in _succeeded(context)), default=None)
    since = [one for one in failed if not made or datetime.fromisoformat(one["endedAt"]) > made]
    last = max(since, key=lambda one: str(one["endedAt"]), default=None)
    return str(last["message"]) if last else ""
