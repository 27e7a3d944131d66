"""Default sizes by environment; values of the spec override them. Pure."""

import math
from dataclasses import dataclass

from rtx_operator.api.enums import BackupBefore, BackupType, Environment
from rtx_operator.api.quantities import amount
from rtx_operator.api.spec import Amounts, Backup, Resources, Rollout, Scaling


@dataclass(frozen=True, slots=True)
class ReplicaRange:
    """Bounds for the number of pods of the active colour."""

    minimum: int
    maximum: int

    @property
    def autoscaled(self) -> bool:
        return self.maximum > self.minimum


@dataclass(frozen=True, slots=True)
class _Default:
    """(request, limit) of one container."""

    cpu: tuple[str, str]
    memory: tuple[str, str]


_REPLICAS = {
    None: ReplicaRange(3, 10),
    Environment.DEVELOPMENT: ReplicaRange(1, 1),
    Environment.STAGING: ReplicaRange(2, 2),
    Environment.PRODUCTION: ReplicaRange(3, 20),
}
_ENGINE = {
    None: _Default(cpu=("250m", "500m"), memory=("256Mi", "512Mi")),
    Environment.DEVELOPMENT: _Default(cpu=("250m", "1"), memory=("256Mi", "1Gi")),
    Environment.STAGING: _Default(cpu=("500m", "2"), memory=("512Mi", "2Gi")),
    Environment.PRODUCTION: _Default(cpu=("500m", "2"), memory=("512Mi", "2Gi")),
}
_DATABASE = _Default(cpu=("1", "2"), memory=("2Gi", "4Gi"))
_CACHE = _Default(cpu=("250m", "500m"), memory=("512Mi", "1Gi"))
_BACKUP = _Default(cpu=("50m", "1"), memory=("64Mi", "512Mi"))
_BACKUP_SHARE = 4  # thirty full backups, compressed, and the log of a week
_SENTINEL = _Default(cpu=("25m", "250m"), memory=("32Mi", "64Mi"))
_MIGRATION = _Default(cpu=("100m", "500m"), memory=("128Mi", "256Mi"))


def replica_range(environment: Environment | None, scaling: Scaling) -> ReplicaRange:
    """The bounds in force. A given minimum raises a lower default maximum, and a given maximum lowers a higher default
    minimum; two given values are kept as they are.
    """
    default = _REPLICAS[environment]
    if scaling.min_replicas is not None:
        return ReplicaRange(scaling.min_replicas, scaling.max_replicas or max(default.maximum, scaling.min_replicas))
    maximum = scaling.max_replicas or default.maximum
    return ReplicaRange(min(default.minimum, maximum), maximum)


def engine_resources(environment: Environment | None, asked: Resources) -> Resources:
    """Complete resources, in Kubernetes' quantities, of the engine's container."""
    return _completed(asked, _ENGINE[environment])


def database_resources(asked: Resources) -> Resources:
    """Complete resources, in Kubernetes' quantities, of the PostgreSQL container."""
    return _completed(asked, _DATABASE)


def cache_resources(asked: Resources) -> Resources:
    """Complete resources, in Kubernetes' quantities, of the Redis container."""
    return _completed(asked, _CACHE)


def sentinel_resources() -> Resources:
    """Resources of a Sentinel, which keeps a few addresses."""
    return _completed(Resources(), _SENTINEL)


def migration_resources(asked: Resources) -> Resources:
    """Complete resources, in Kubernetes' quantities, of the migration Jobs' container."""
    return _completed(asked, _MIGRATION)


def backup_resources(asked: Resources) -> Resources:
    """Complete resources, in Kubernetes' quantities, of the container of a backup's Job."""
    return _completed(asked, _BACKUP)


def backup_storage(backup: Backup, database: str) -> str:
    """The size of the volume for backups; `database` is that of the database's volume."""
    return backup.storage or f"{math.ceil(amount(database) * _BACKUP_SHARE / 2**30)}Gi"


def backup_type(environment: Environment | None, backup: Backup) -> BackupType:
    """Where backups are kept."""
    if backup.type or backup.s3:
        return backup.type or BackupType.S3
    return BackupType.NONE if environment is Environment.DEVELOPMENT else BackupType.VOLUME


def begins_with_backup(environment: Environment | None, rollout: Rollout, backup: Backup) -> bool:
    """Whether an upgrade begins with a backup."""
    skipped = BackupBefore.SKIPPED if environment is Environment.DEVELOPMENT else BackupBefore.REQUIRED
    mode = rollout.backup.mode or skipped
    return mode is BackupBefore.REQUIRED and backup_type(environment, backup) is not BackupType.NONE


def _completed(asked: Resources, default: _Default) -> Resources:
    cpu, max_cpu = _pair(asked.requests.cpu, asked.limits.cpu, default.cpu)
    memory, max_memory = _pair(asked.requests.memory, asked.limits.memory, default.memory)
    return Resources(requests=Amounts(cpu=cpu, memory=memory), limits=Amounts(cpu=max_cpu, memory=max_memory))


def _pair(request: str | None, limit: str | None, default: tuple[str, str]) -> tuple[str, str]:
    """(request, limit). A default gives way to the given value, so that no request exceeds its limit."""
    if request is None:
        limit = limit or default[1]
        return min(default[0], limit, key=amount), limit
    return request, limit or max(default[1], request, key=amount)
