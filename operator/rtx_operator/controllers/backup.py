"""The controller of TradingEngineBackups."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog
from pydantic import ValidationError

from rtx_operator import measure
from rtx_operator.api.engine import InvalidSpecError, OperatorTooOldError, TradingEngine
from rtx_operator.api.enums import BackupPhase, Component
from rtx_operator.api.names import Label
from rtx_operator.cluster import events
from rtx_operator.cluster.client import Client, ConflictError, Object
from rtx_operator.cluster.observe.backups import read_backups
from rtx_operator.cluster.resources import BACKUP, ENGINE, JOB
from rtx_operator.controllers.base import Attempt, Controller, Key
from rtx_operator.desired import build
from rtx_operator.desired.backup import backup_job
from rtx_operator.desired.backup.request import owner
from rtx_operator.desired.database.server import database_stateful_set
from rtx_operator.observation import Observation, is_recent
from rtx_operator.operations.backup.context import Backup, BackupContext
from rtx_operator.operations.backup.phases import PHASES
from rtx_operator.operations.backup.schedule import backup_for, engine_of, surplus
from rtx_operator.operations.backup.step import BackupStep, begin, job_name, step
from rtx_operator.settings import Settings

log = structlog.get_logger(__name__)


class BackupController(Controller):
    """Reconciles TradingEngineBackups, and makes those of the schedule's Jobs."""

    resource = BACKUP

    def __init__(
        self,
        client: Client,
        settings: Settings,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(client, settings.operator_class, now)
        self._settings = settings
        self._clock = clock
        self._observed: dict[Key, float] = {}  # when, by the clock

    def forget(self, key: Key) -> None:
        """Drop what is kept of a backup that is over, or gone."""
        self._observed.pop(key, None)

    async def absent(self, key: Key) -> Object | None:
        """The TradingEngineBackup of a Job of the schedule, made now; None for any other name. Raises ApiError."""
        job = await self._client.get(JOB, key.namespace, key.name)
        name = engine_of(job) if job else ""
        manifest = await self._client.get(ENGINE, key.namespace, name) if name else None
        if job is None or _is_going(job) or manifest is None or not self._serves(manifest) or _is_going(manifest):
            return None
        try:
            return await self._client.create(BACKUP, backup_for(job, TradingEngine.parse(manifest)))
        except (InvalidSpecError, OperatorTooOldError):
            return None  # the engine's own status says so
        except ConflictError:
            return await self._client.get(BACKUP, key.namespace, key.name)

    async def reconcile(self, attempt: Attempt) -> float:
        """Raises what the API server's client raises."""
        try:
            backup = Backup.parse(attempt.manifest)
        except ValidationError:
            log.warning("a later release wrote this backup: nothing is done", name=attempt.manifest["metadata"]["name"])
            return self._settings.resync_seconds
        if backup.status and backup.status.phase.is_terminal:
            self.forget(_key(backup))
            return self._settings.resync_seconds
        manifest, seen = await read_backups(self._client, backup.namespace, backup.spec.engine)
        if not super()._serves(manifest or attempt.manifest):
            self.forget(_key(backup))
            return self._settings.resync_seconds
        context = self._context(backup, manifest, seen, attempt)
        recently = is_recent(self._clock() - self._observed.get(_key(backup), -1e9))
        self._observed[_key(backup)] = self._clock()
        taken = step(context, observed_recently=recently)
        attempt.status = taken.record.model_dump(mode="json", by_alias=True, exclude_none=True)
        await self._perform(taken, context, attempt)
        row = PHASES[taken.record.phase]
        if backup.status is None or taken.record.phase is not context.record.phase:
            return 0.0 if not row.is_terminal else self._settings.resync_seconds
        return row.requeue(taken.record, attempt.now)

    def _serves(self, manifest: Object) -> bool:
        """Of every backup its engine says which operator serves it; of one without an engine, its own label does."""
        return manifest["kind"] == BACKUP.kind or super()._serves(manifest)

    def _context(self, backup: Backup, manifest: Object | None, seen: Observation, attempt: Attempt) -> BackupContext:
        engine = _engine(manifest)
        record = backup.status or begin(backup, _job_of(backup, seen.children_of(JOB.kind)), attempt.now)
        inputs = build.inputs_of(engine, Observation(children={}), self._settings) if engine else None
        made = engine.status.database if engine else None
        wanted = None
        if inputs and made and record.job == job_name(backup):
            wanted = backup_job(inputs, record.job, attempt.manifest, made.image)
        renewed = (database_stateful_set(inputs),) if inputs else ()
        return BackupContext(backup, record, engine, seen, wanted, renewed, attempt.now)

    async def _perform(self, taken: BackupStep, context: BackupContext, attempt: Attempt) -> None:
        if context.engine and not _is_labelled(attempt.manifest, context.engine):
            labelled = await self._client.merge(BACKUP, attempt.manifest, _labels(attempt.manifest, context.engine))
            attempt.manifest["metadata"] = labelled["metadata"]
        if taken.create:
            try:
                await self._client.create(JOB, taken.create)
            except ConflictError:
                log.info("the Job is there already", job=taken.create["metadata"]["name"])
        if taken.record.phase.is_terminal and context.engine:
            await self._delete_surplus(context.engine, attempt.now)

    async def _delete_surplus(self, engine: TradingEngine, now: datetime) -> None:
        backups = await self._client.list(BACKUP, engine.namespace, labels={Label.ENGINE.value: engine.name})
        retention = timedelta(days=engine.spec.backup.retention_days)
        for one in surplus(backups, retention, now):
            job = await self._client.get(JOB, engine.namespace, one["status"].get("job", ""))
            if job:  # it would be found again
                await self._client.delete(JOB, job)
            await self._client.delete(BACKUP, one)

    def status_after_error(self, attempt: Attempt, error: Exception) -> Object:
        """What was decided stays decided; the next reconcile says more."""
        log.warning("a backup could not be reconciled", error=str(error) or type(error).__name__)
        return attempt.status or attempt.before

    async def wrote(self, before: Object, written: Object) -> None:
        """Emit the Event and the metrics of a phase that was entered."""
        was, now = (before.get("status") or {}).get("phase"), written["status"]["phase"]
        if was == now:
            return
        status, row = written["status"], PHASES[BackupPhase(now)]
        fields = {
            "message": status.get("message", ""),
            "reason": status.get("reason", ""),
            "job": status.get("job", ""),
            "label": (status.get("made") or {}).get("label", ""),
        }
        message = row.event_text.format(**fields)
        log.info("event", reason=now, detail=message)
        await events.record(self._client, written, now, message, warning=row.is_warning)
        measure.backup(before, written)


def _key(backup: Backup) -> Key:
    return Key(BACKUP.kind, backup.namespace, backup.name)


def _engine(manifest: Object | None) -> TradingEngine | None:
    """None also for one that is going, or cannot be read: its own status says so."""
    if manifest is None or _is_going(manifest):
        return None
    try:
        return TradingEngine.parse(manifest)
    except (InvalidSpecError, OperatorTooOldError):
        return None


def _is_going(manifest: Object) -> bool:
    return "deletionTimestamp" in manifest["metadata"]


def _job_of(backup: Backup, jobs: list[Object]) -> str:
    """The Job of the schedule that is called as the backup; else the one to make."""
    names = {job["metadata"]["name"] for job in jobs if engine_of(job) == backup.spec.engine}
    return backup.name if backup.name in names else job_name(backup)


def _is_labelled(manifest: Object, engine: TradingEngine) -> bool:
    meta = manifest["metadata"]
    labels, owners = meta.get("labels") or {}, meta.get("ownerReferences") or []
    return labels.get(Label.ENGINE.value) == engine.name and any(one["uid"] == engine.uid for one in owners)


def _labels(manifest: Object, engine: TradingEngine) -> Object:
    """The label by which the engine's watches find it, and the owner with which it goes."""
    labels = {Label.ENGINE.value: engine.name, Label.COMPONENT.value: Component.BACKUP.value}
    owners = [one for one in manifest["metadata"].get("ownerReferences") or [] if one["kind"] != ENGINE.kind]
    return {"metadata": {"labels": labels, "ownerReferences": [*owners, owner(engine)]}}
