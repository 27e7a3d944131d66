"""One step of a backup through its table. Pure."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from rtx_operator.api.backup import TradingEngineBackupStatus
from rtx_operator.api.enums import BackupPhase, Reason
from rtx_operator.api.foreign_text import cut
from rtx_operator.api.names import Names
from rtx_operator.api.status import MESSAGE_LIMIT
from rtx_operator.desired.render import digest
from rtx_operator.observation import Object, is_ready
from rtx_operator.operations.backup.context import Backup, BackupContext
from rtx_operator.operations.backup.phases import PENDING_TIMEOUT, PHASES
from rtx_operator.operations.machine import Event
from rtx_operator.operations.record import begun, noted, waiting, with_grace
from rtx_operator.results import Failure, Unmet, worst_unmet

HEARTBEAT = timedelta(seconds=30)  # between two of them in status, at least


@dataclass(frozen=True, slots=True)
class BackupStep:
    """The record after one reconcile, and the Job to make."""

    record: TradingEngineBackupStatus
    create: Object | None = None


def job_name(backup: Backup) -> str:
    """The Job of a backup that was asked for: another backup of its name gets another Job."""
    return Names(backup.spec.engine).backup_job(digest({"uid": backup.uid}))


def begin(backup: Backup, job: str, now: datetime) -> TradingEngineBackupStatus:
    """The record of a new backup, which `job` makes."""
    record = TradingEngineBackupStatus(
        id=backup.uid, started_at=now, since=now, phase=BackupPhase.PENDING, job=job, message=""
    )
    return begun(record, now, PENDING_TIMEOUT)


def step(context: BackupContext, *, observed_recently: bool) -> BackupStep:
    """What comes of one observation. The Job is made when the record that names it is stored."""
    record = context.record
    row = PHASES[record.phase]
    if row.is_terminal:
        return BackupStep(record)
    limit = _limit(context, record.phase)
    record = with_grace(record, limit, context.now, observed_recently=observed_recently)
    unmet = worst_unmet(context, row.checks)
    if record.phase is BackupPhase.PENDING and context.job:
        unmet = None
    if event := _event(record, unmet, context.now):
        return BackupStep(_moved(replace(context, record=record), event, unmet))
    record = _with_heartbeat(waiting(record, unmet.message if unmet else ""), context)
    is_due = record.phase is BackupPhase.PENDING and context.backup.status is not None and _only_lacks_its_job(context)
    return BackupStep(record, create=context.wanted if is_due else None)


def _only_lacks_its_job(context: BackupContext) -> bool:
    *before, _ = PHASES[BackupPhase.PENDING].checks
    return worst_unmet(context, tuple(before)) is None


def _limit(context: BackupContext, phase: BackupPhase) -> timedelta | None:
    row, engine = PHASES[phase], context.engine
    if phase is BackupPhase.PENDING:
        return PENDING_TIMEOUT
    return row.deadline(engine.spec.backup) if row.deadline and engine else None


def _event(record: TradingEngineBackupStatus, unmet: Unmet | None, now: datetime) -> Event | None:
    if unmet is None:
        return Event.DONE
    if isinstance(unmet, Failure):
        return Event.FAILED
    return Event.EXPIRED if record.deadline and now > record.deadline else None


def _moved(context: BackupContext, event: Event, unmet: Unmet | None) -> TradingEngineBackupStatus:
    record, now = context.record, context.now
    phase = PHASES.following(record.phase, event)
    reason, message = "", ""
    if event is Event.EXPIRED:
        cause = unmet.message if unmet else ""
        reason, message = Reason.DEADLINE_EXCEEDED, f"{record.phase} did not end before its deadline: {cause}"
    elif unmet:
        reason, message = unmet.reason or Reason.BACKUP_FAILED, unmet.message
    moved = begun(record, now, _limit(context, phase))
    update = {"phase": phase, "since": now, "reason": reason, "message": cut(message, MESSAGE_LIMIT)}
    if phase.is_terminal:
        update["ended_at"] = now
    report = context.report
    if record.phase is BackupPhase.RUNNING and report and report.made:
        took = (report.made.finished_at - report.made.started_at).total_seconds()
        update["message"] = update["message"] or cut(report.warning, MESSAGE_LIMIT)
        update |= {"made": report.made, "repository": report.repository, "seconds": took}
    return moved.model_copy(update=update)


def _with_heartbeat(record: TradingEngineBackupStatus, context: BackupContext) -> TradingEngineBackupStatus:
    """A pod is ready while its backup says something."""
    is_due = record.heartbeat is None or context.now - record.heartbeat >= HEARTBEAT
    runs = record.phase is BackupPhase.RUNNING and any(map(is_ready, context.pods))
    return noted(record, heartbeat=context.now) if is_due and runs else record
