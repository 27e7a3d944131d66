"""A backup and all that was observed of it, as checks and actions ask for it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from rtx_operator.api import sizes
from rtx_operator.api.backup import TradingEngineBackupSpec, TradingEngineBackupStatus
from rtx_operator.api.engine import TradingEngine
from rtx_operator.api.enums import BackupType, Component
from rtx_operator.api.names import Label, Names, StoreKey
from rtx_operator.desired.backup import is_to_move, serves_backups
from rtx_operator.desired.state import JOB_LABEL
from rtx_operator.observation import JobEnd, Object, Observation, job_ended, replicas, secret_text
from rtx_operator.operations.backup.report import Report, report_of


@dataclass(frozen=True, slots=True)
class Backup:
    """A TradingEngineBackup as the operator reads it from the API server."""

    namespace: str
    name: str
    uid: str
    spec: TradingEngineBackupSpec
    status: TradingEngineBackupStatus | None  # None: it is new

    @classmethod
    def parse(cls, manifest: Mapping[str, Any]) -> Self:
        """Raises pydantic.ValidationError for what another release wrote and this one cannot read."""
        meta, status = manifest["metadata"], manifest.get("status") or {}
        return cls(
            namespace=meta["namespace"],
            name=meta["name"],
            uid=meta["uid"],
            spec=TradingEngineBackupSpec.model_validate(manifest["spec"]),
            status=TradingEngineBackupStatus.model_validate(status) if status.get("phase") else None,
        )


@dataclass(frozen=True, slots=True)
class BackupContext:
    """What a decision about one backup rests on. `wanted` is the Job that would make it; None: it has one."""

    backup: Backup
    record: TradingEngineBackupStatus
    engine: TradingEngine | None
    seen: Observation  # of the engine's objects; empty without one
    wanted: Object | None
    renewed: tuple[Object, ...]  # the database as it would be made now; empty without an engine
    now: datetime

    @property
    def keeps_backups(self) -> bool:
        """Whether the engine's spec asks for backups."""
        engine = self.engine
        return engine is not None and backup_type(engine) is not BackupType.NONE

    @property
    def is_prepared(self) -> bool:
        """Whether the database runs with the server that backups are read from."""
        live = self._stateful_set(Component.DATABASE)
        return live is not None and serves_backups(live)

    @property
    def is_to_move(self) -> bool:
        """Whether the database was made for another repository than spec names: a maintenance is to come."""
        return is_to_move(self._stateful_set(Component.DATABASE), self.renewed)

    @property
    def database_is_up(self) -> bool:
        return replicas(self._stateful_set(Component.DATABASE))[1] > 0

    @property
    def missing_keys(self) -> list[str]:
        """The keys that the user's Secret for a bucket lacks."""
        store = self.engine.spec.backup.s3 if self.engine else None
        secret = self.seen.child("Secret", store.credentials_secret_ref.name) if store else None
        return [key.value for key in StoreKey if not secret_text(secret, key)] if store else []

    @property
    def repository_is_up(self) -> bool:
        if self.engine is None or backup_type(self.engine) is not BackupType.VOLUME:
            return True
        live = self.seen.child("StatefulSet", Names(self.backup.spec.engine).backup)
        return replicas(live)[1] > 0

    @property
    def job(self) -> Object | None:
        return self.seen.child("Job", self.record.job) if self.record.job else None

    @property
    def others(self) -> list[str]:
        """The Jobs of other backups of the engine that have not ended."""
        jobs = (job for job in self.seen.children_of("Job") if is_backup_job(job))
        unended = [job for job in jobs if not any(job_ended(job, end) for end in JobEnd)]
        return sorted(job["metadata"]["name"] for job in unended if job["metadata"]["name"] != self.record.job)

    @property
    def pods(self) -> list[Object]:
        """The Job's pods, newest first."""
        found = self.seen.pods_of({JOB_LABEL: self.record.job})
        return sorted(found, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")), reverse=True)

    @property
    def report(self) -> Report | None:
        """What the newest pod said that said anything."""
        return next(filter(None, map(report_of, self.pods)), None)

    def _stateful_set(self, component: Component) -> Object | None:
        return self.seen.child("StatefulSet", Names(self.backup.spec.engine).server(component))


def backup_type(engine: TradingEngine) -> BackupType:
    """Where the backups of an engine are kept."""
    return sizes.backup_type(engine.spec.environment, engine.spec.backup)


def is_backup_job(job: Object) -> bool:
    """Whether the Job makes a backup."""
    labels = job["metadata"].get("labels") or {}
    return bool(labels.get(Label.COMPONENT.value) == Component.BACKUP)


def backup_of(job: Object) -> str:
    """The name of the TradingEngineBackup of a Job: one that was asked for, or one that is called as the Job."""
    return str((job["metadata"].get("labels") or {}).get(Label.BACKUP.value) or job["metadata"]["name"])
