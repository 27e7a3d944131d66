"""The Jobs that make backups: those of the schedule, and one that somebody asked for."""

import hashlib
from datetime import timedelta

from rtx_operator.api import sizes
from rtx_operator.api.enums import BackupKind, BackupType, Component
from rtx_operator.api.names import Label
from rtx_operator.desired.backup.certificates import Party
from rtx_operator.desired.backup.pods import configuration_volume, pod_values, store_of
from rtx_operator.desired.inputs import BuildInput
from rtx_operator.desired.render import Object, render

KEPT_FOR = timedelta(days=1)  # Jobs that are over, with the logs of their pods
SILENT_FOR = timedelta(minutes=10)  # a backup that hangs; a large file is passed on within that
_TYPES = {BackupKind.FULL: "full", BackupKind.INCREMENTAL: "incr"}  # pgBackRest's


def cron_jobs(inputs: BuildInput, image: str, *, suspended: bool = False) -> list[Object]:
    """The CronJobs of full and of incremental backups."""
    backup, names = inputs.spec.backup, inputs.names
    minute, hour = _own_time(inputs.uid)
    # Not at the same minute: one waits for the other.
    full = backup.full_schedule or f"{minute} {hour} * * *"
    incremental = backup.schedule or f"{(minute + 30) % 60} * * * *"
    kinds = (
        (names.full_backup, full, BackupKind.FULL),
        (names.incremental_backup, incremental, BackupKind.INCREMENTAL),
    )
    return [_cron_job(inputs, name, schedule, kind, image, suspended=suspended) for name, schedule, kind in kinds]


def _cron_job(inputs: BuildInput, name: str, schedule: str, kind: BackupKind, image: str, *, suspended: bool) -> Object:
    return render(
        "backup/cronjob",
        name=name,
        namespace=inputs.namespace,
        labels=inputs.names.labels(Component.BACKUP),
        owners=inputs.owners,
        schedule=schedule,
        suspended=suspended,
        job=_job_spec(inputs, kind, image),
    )


def backup_job(inputs: BuildInput, name: str, backup: Object, image: str) -> Object:
    """The Job of one backup that somebody asked for; `backup` is its TradingEngineBackup, with which it goes."""
    meta = backup["metadata"]
    labels = {**inputs.names.labels(Component.BACKUP), Label.BACKUP.value: meta["name"]}
    owner = {field: backup[field] for field in ("apiVersion", "kind")} | {
        field: meta[field] for field in ("name", "uid")
    }
    kind = BackupKind(backup["spec"]["type"])
    return render(
        "backup/job",
        name=name,
        namespace=inputs.namespace,
        labels=labels,
        owners=[{**owner, "controller": True}],
        job=_job_spec(inputs, kind, image),
    )


def _own_time(uid: str) -> tuple[int, int]:
    """A minute, and an hour of the night, so that a fleet's backups are spread."""
    drawn = int.from_bytes(hashlib.sha256(uid.encode()).digest()[:4])
    return drawn % 60, drawn // 60 % 4


def _job_spec(inputs: BuildInput, kind: BackupKind, image: str) -> Object:
    backup = inputs.spec.backup
    arguments = [f"--type={_TYPES[kind]}", f"--log-retention-days={backup.wal_retention_days}"]
    return render(
        "backup/job-spec",
        **pod_values(inputs, image),
        labels=inputs.names.labels(Component.BACKUP),
        repository=inputs.names.selector(Component.REPOSITORY),
        claim=inputs.names.repository_claim if store_of(inputs) is BackupType.VOLUME else "",
        configuration=configuration_volume(inputs, Party.BACKUP),
        arguments=arguments,
        timeout_seconds=int(backup.timeout.total_seconds()),
        kept_seconds=int(KEPT_FOR.total_seconds()),
        silent_seconds=int(SILENT_FOR.total_seconds()),
        resources=sizes.backup_resources(backup.resources).model_dump(mode="json", exclude_none=True),
    )
