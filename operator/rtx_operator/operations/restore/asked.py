"""A TradingEngineRestore, and what its status says by that of its engine. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from rtx_operator.api.engine import TradingEngine
from rtx_operator.api.enums import Reason, RestorePhase
from rtx_operator.api.restore import TradingEngineRestoreSpec, TradingEngineRestoreStatus
from rtx_operator.api.status import Restore
from rtx_operator.observation import JobEnd, Object, job_ended
from rtx_operator.operations.record import noted, waiting
from rtx_operator.operations.restore.trigger import restore_id


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A restore whose data of before are to go."""

    record: Restore


@dataclass(frozen=True, slots=True)
class Asked:
    """A TradingEngineRestore as the operator reads it from the API server."""

    namespace: str
    name: str
    uid: str
    spec: TradingEngineRestoreSpec
    status: TradingEngineRestoreStatus | None  # None: it is new

    @classmethod
    def parse(cls, manifest: Mapping[str, Any]) -> Self:
        """Raises pydantic.ValidationError for what another release wrote and this one cannot read."""
        meta, status = manifest["metadata"], manifest.get("status") or {}
        return cls(
            namespace=meta["namespace"],
            name=meta["name"],
            uid=meta["uid"],
            spec=TradingEngineRestoreSpec.model_validate(manifest["spec"]),
            status=TradingEngineRestoreStatus.model_validate(status) if status.get("phase") else None,
        )

    @property
    def confirmed(self) -> Confirmed | None:
        """None while it is not confirmed, or nothing is kept."""
        status = self.status
        if status is None or not (self.spec.confirm and status.keeps_earlier_data):
            return None
        record = Restore(
            id=status.id,
            started_at=status.started_at,
            since=status.since,
            phase=status.phase,
            name=self.name,
            uid=self.uid,
            source=self.spec.source,
            folder=status.folder,
            servers=status.servers,
        )
        return Confirmed(record)


def shown(asked: Asked, engine: TradingEngine | None, now: datetime) -> TradingEngineRestoreStatus:
    """Its status: a terminal phase stays; else what the engine's record of it says, else what it waits for."""
    if asked.status and asked.status.phase.is_terminal:
        return asked.status
    record = engine.status.restore if engine else None
    if (record is None or record.uid != asked.uid) and engine and _has_begun(asked):
        return _lost(asked.status or _new(asked, now), engine, now)
    if record is None or record.uid != asked.uid:
        status = asked.status or _new(asked, now)
        return waiting(noted(status, reason=_reason(engine, record)), _waits_for(asked, engine, record))
    fields = {
        name: getattr(record, name) for name in TradingEngineRestoreStatus.model_fields if name in Restore.model_fields
    }
    over = record.phase.is_terminal
    return TradingEngineRestoreStatus(
        **fields,
        ended_at=record.since if over else None,
        keeps_earlier_data=record.phase is RestorePhase.SUCCEEDED,
    )


def ended(status: TradingEngineRestoreStatus, jobs: Sequence[Object | None]) -> TradingEngineRestoreStatus:
    """The status once all these Jobs, which delete the data of before, are complete."""
    failed = next((job for job in jobs if job_ended(job, JobEnd.FAILED)), None)
    if failed:
        name = failed["metadata"]["name"]
        return waiting(status, f"Job {name}, which deletes the data of before, failed; delete it to have it repeated")
    if jobs and all(job_ended(job, JobEnd.COMPLETE) for job in jobs):
        return noted(status, keeps_earlier_data=False, message="")
    return status


def _has_begun(asked: Asked) -> bool:
    return asked.status is not None and asked.status.phase is not RestorePhase.PENDING


def _lost(status: TradingEngineRestoreStatus, engine: TradingEngine, now: datetime) -> TradingEngineRestoreStatus:
    """What it has done is not known any more, so nothing of it is repeated."""
    return status.model_copy(
        update={
            "phase": RestorePhase.FAILED,
            "since": now,
            "ended_at": now,
            "reason": Reason.RESTORE_FAILED,
            "message": f"the status of TradingEngine {engine.name} was lost while the restore was {status.phase}: see "
            f"which data the database has, and create another restore if they are not those you want",
        }
    )


def _new(asked: Asked, now: datetime) -> TradingEngineRestoreStatus:
    return TradingEngineRestoreStatus(id=restore_id(asked.uid), started_at=now, since=now, phase=RestorePhase.PENDING)


def _reason(engine: TradingEngine | None, record: Restore | None) -> str:
    if engine is None:
        return Reason.ENGINE_MISSING
    if engine.spec.paused:
        return Reason.PAUSED
    return Reason.RESTORE_BUSY if record and not record.phase.is_terminal else ""


def _waits_for(asked: Asked, engine: TradingEngine | None, record: Restore | None) -> str:
    name = asked.spec.engine
    if engine is None:
        return (
            f"there is no TradingEngine {name} in namespace {asked.namespace}: create it, or delete this restore and "
            "name another one"
        )
    if engine.spec.paused:
        return f"TradingEngine {name} is paused: set its spec.paused to false"
    if record and not record.phase.is_terminal:
        return f"waiting for restore {record.name}, which is {record.phase}"
    return f"waiting until other operations of TradingEngine {name} are over"
