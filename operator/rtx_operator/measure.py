"""Turns a change of status into metrics of operations. Pure except for the metrics."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from rtx_operator import metrics
from rtx_operator.api.engine import TradingEngine
from rtx_operator.api.enums import BackupPhase, ConditionStatus, ConditionType, MaintenancePhase, RestorePhase
from rtx_operator.api.enums import CutoverPhase as Phase
from rtx_operator.api.status import HistoryEntry, Record


def state(namespace: str, name: str, status: Mapping[str, Any]) -> None:
    """Show the phase of an engine's cutover, its backups and whether its cache is there, as status has them: a new
    leader does so from its first reconcile on.
    """
    _backups(namespace, name, status.get("backup") or {})
    _cache(namespace, name, status.get("conditions") or [])
    current = (status.get("cutover") or {}).get("phase")
    if current is None:
        return
    for one in Phase:
        metrics.CUTOVER_PHASE.labels(namespace, name, one).set(one == current)


def _backups(namespace: str, name: str, known: Mapping[str, Any]) -> None:
    if not known:
        return
    metrics.BACKUP_NEWEST.labels(namespace, name).set(datetime.fromisoformat(known["newest"]).timestamp())
    metrics.BACKUP_OLDEST.labels(namespace, name).set(datetime.fromisoformat(known["oldest"]).timestamp())
    metrics.BACKUP_COUNT.labels(namespace, name).set(known["count"])


def _cache(namespace: str, name: str, conditions: Sequence[Mapping[str, Any]]) -> None:
    for condition in conditions:
        if condition["type"] == ConditionType.CACHE_AVAILABLE:
            is_there = condition["status"] == ConditionStatus.TRUE
            metrics.CACHE_AVAILABLE.labels(namespace, name).set(is_there)


def cutover(before: TradingEngine, after: TradingEngine) -> None:
    """Record the progress of a cutover between two statuses of one engine; `after` has been written."""
    was, now = before.status.cutover, after.status.cutover
    if now is None:
        return
    known = was.seconds if was and was.id == now.id else {}
    for ended, seconds in now.seconds.items():
        if ended not in known:
            metrics.CUTOVER_PHASE_SECONDS.labels(ended).observe(seconds)
    if _has_ended(was, now):
        metrics.CUTOVERS.labels(now.phase).inc()
        if after.status.history:
            _observe_durations(after.status.history[0])


def retirement(before: TradingEngine, after: TradingEngine) -> None:
    """Count a retirement that ended between two statuses of one engine; `after` has been written."""
    was, now = before.status.retirement, after.status.retirement
    if now is not None and _has_ended(was, now):
        metrics.RETIREMENTS.labels(now.phase).inc()


def maintenance(before: TradingEngine, after: TradingEngine) -> None:
    """Count a maintenance that ended between two statuses of one engine; `after` has been written."""
    was, now = before.status.maintenance, after.status.maintenance
    if now is not None and _has_ended(was, now):
        metrics.MAINTENANCES.labels(now.component, now.phase).inc()
        if MaintenancePhase.RESTARTING in now.seconds:
            metrics.MAINTENANCE_RESTART_SECONDS.labels(now.component).observe(now.seconds[MaintenancePhase.RESTARTING])


def restore(before: TradingEngine, after: TradingEngine) -> None:
    """Count a restore that ended between two statuses of one engine; `after` has been written."""
    was, now = before.status.restore, after.status.restore
    if now is None or not _has_ended(was, now):
        return
    metrics.RESTORES.labels(now.phase).inc()
    if now.phase is RestorePhase.SUCCEEDED:
        fenced = [seconds for phase, seconds in now.seconds.items() if phase not in _BEFORE_FENCE]
        metrics.RESTORE_SECONDS.observe(sum(fenced))


_BEFORE_FENCE = frozenset({RestorePhase.PENDING.value, RestorePhase.VALIDATING.value})


def backup(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Count a backup that ended between two manifests of one TradingEngineBackup; `after` has been written."""
    was, status = before.get("status") or {}, after["status"]
    ended = {one.value for one in BackupPhase if one.is_terminal}
    if status["phase"] not in ended or was.get("phase") in ended:
        return
    kind = (status.get("made") or after["spec"]).get("type", "")
    metrics.BACKUPS.labels(kind, status["phase"]).inc()
    if "seconds" in status:
        metrics.BACKUP_SECONDS.labels(kind).observe(status["seconds"])


def _has_ended(was: Record | None, now: Record) -> bool:
    """Whether the operation `now` is over, and was not yet in the status before."""
    return now.phase.is_terminal and not (was and was.id == now.id and was.phase.is_terminal)


def _observe_durations(past: HistoryEntry) -> None:
    if past.fenced_at and past.switched_at:
        metrics.CUTOVER_SWITCH_SECONDS.observe((past.switched_at - past.fenced_at).total_seconds())
    if past.restored_at and Phase.ROLLING_BACK in past.seconds:
        began = past.ended_at - timedelta(seconds=past.seconds[Phase.ROLLING_BACK])
        metrics.CUTOVER_ROLLBACK_SECONDS.observe((past.restored_at - began).total_seconds())


def forget(namespace: str, name: str) -> None:
    """Remove what is shown of a deleted engine."""
    metrics.CACHE_AVAILABLE.remove(namespace, name)
    for one in Phase:
        metrics.CUTOVER_PHASE.remove(namespace, name, one)
    for gauge in (metrics.BACKUP_NEWEST, metrics.BACKUP_OLDEST, metrics.BACKUP_COUNT):
        gauge.remove(namespace, name)
