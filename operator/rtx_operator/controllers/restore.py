"""The controller of TradingEngineRestores: it shows each what its engine's operation does, and deletes what was kept.

The restore itself is an operation of the engine (operations/restore): one writer for all that an engine has.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import structlog
from pydantic import ValidationError

from rtx_operator.api.engine import InvalidSpecError, OperatorTooOldError, TradingEngine
from rtx_operator.api.enums import Component, RestorePhase
from rtx_operator.api.names import Label
from rtx_operator.api.restore import TradingEngineRestoreStatus
from rtx_operator.cluster import events
from rtx_operator.cluster.client import Client, ConflictError, Object
from rtx_operator.cluster.resources import ENGINE, JOB, RESTORE
from rtx_operator.controllers.base import Attempt, Controller, Key
from rtx_operator.desired import build
from rtx_operator.desired.backup.request import owner
from rtx_operator.desired.restore import forget_job
from rtx_operator.observation import Observation
from rtx_operator.operations.restore.asked import Asked, Confirmed, ended, shown
from rtx_operator.operations.restore.phases import PHASES
from rtx_operator.settings import Settings

REQUEUE_SECONDS = 2.0  # while it is under way: no event tells of the engine's status
log = structlog.get_logger(__name__)


class RestoreController(Controller):
    """Reconciles TradingEngineRestores."""

    resource = RESTORE

    def __init__(
        self,
        client: Client,
        settings: Settings,
        *,
        wake: Callable[[Key], None] = lambda _: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(client, settings.operator_class, now)
        self._settings = settings
        self._wake = wake

    def forget(self, key: Key) -> None:
        """Nothing is kept of a restore."""

    async def reconcile(self, attempt: Attempt) -> float:
        """Raises what the API server's client raises."""
        try:
            asked = Asked.parse(attempt.manifest)
        except ValidationError:
            name = attempt.manifest["metadata"]["name"]
            log.warning("a later release wrote this restore: nothing is done", name=name)
            return self._settings.resync_seconds
        manifest = await self._client.get(ENGINE, asked.namespace, asked.spec.engine)
        engine = self._engine(manifest)
        if engine:
            await self._label(attempt.manifest, engine)
        status = shown(asked, engine, attempt.now)
        if engine and (confirmed := asked.confirmed):
            status = await self._confirm(asked, confirmed, engine, status)
        attempt.status = status.model_dump(mode="json", by_alias=True, exclude_none=True)
        if engine and not status.phase.is_terminal:
            self._wake(Key(ENGINE.kind, asked.namespace, asked.spec.engine))
        waits = not status.phase.is_terminal or (asked.spec.confirm and status.keeps_earlier_data)
        return REQUEUE_SECONDS if waits else self._settings.resync_seconds

    def _engine(self, manifest: Object | None) -> TradingEngine | None:
        if manifest is None or not self._serves(manifest) or "deletionTimestamp" in manifest["metadata"]:
            return None
        try:
            return TradingEngine.parse(manifest)
        except (InvalidSpecError, OperatorTooOldError):
            return None  # the engine's own status says so

    async def _confirm(
        self, asked: Asked, confirmed: Confirmed, engine: TradingEngine, status: TradingEngineRestoreStatus
    ) -> TradingEngineRestoreStatus:
        """Deletes the data of before, on each volume; the status says when they are gone."""
        made = engine.status.database
        if made is None:
            return status
        inputs = build.inputs_of(engine, Observation(children={}), self._settings)
        jobs = [forget_job(inputs, confirmed.record, made.image, one) for one in range(confirmed.record.servers)]
        live = [await self._client.get(JOB, asked.namespace, job["metadata"]["name"]) for job in jobs]
        for job, found in zip(jobs, live, strict=True):
            if found is None:
                await self._create(job)
        return ended(status, live)

    async def _create(self, job: Object) -> None:
        try:
            await self._client.create(JOB, job)
        except ConflictError:
            log.info("the Job is there already", job=job["metadata"]["name"])

    async def _label(self, manifest: Object, engine: TradingEngine) -> None:
        """The label by which the engine's watches find it, and the owner with which it goes."""
        meta = manifest["metadata"]
        labels, owners = meta.get("labels") or {}, meta.get("ownerReferences") or []
        if labels.get(Label.ENGINE.value) == engine.name and any(one["uid"] == engine.uid for one in owners):
            return
        wanted = {Label.ENGINE.value: engine.name, Label.COMPONENT.value: Component.RESTORE.value}
        kept = [one for one in owners if one["kind"] != ENGINE.kind]
        change = {"metadata": {"labels": wanted, "ownerReferences": [*kept, owner(engine)]}}
        labelled = await self._client.merge(RESTORE, manifest, change)
        manifest["metadata"] = labelled["metadata"]

    def status_after_error(self, attempt: Attempt, error: Exception) -> Object:
        """What was decided stays decided; the next reconcile says more."""
        log.warning("a restore could not be reconciled", error=str(error) or type(error).__name__)
        return attempt.status or attempt.before

    async def wrote(self, before: Object, written: Object) -> None:
        """Emit the Event of a phase that was entered; the metrics are those of the engine's operation."""
        was, status = before.get("status") or {}, written["status"]
        if was.get("phase") == status["phase"]:
            return
        await self._emit(written, status)

    async def _emit(self, written: Object, status: Mapping[str, Any]) -> None:
        row = PHASES[RestorePhase(status["phase"])]
        fields = {
            "id": status["id"],
            "name": written["metadata"]["name"],
            "label": status.get("label", ""),
            "message": status.get("message", ""),
            "reason": status.get("reason", ""),
        }
        message = row.event_text.format(**fields)
        log.info("event", reason=status["phase"], detail=message)
        await events.record(self._client, written, status["phase"], message, warning=row.is_warning)
