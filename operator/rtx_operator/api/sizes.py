"""Default sizes by environment (mission rows S6, S8, S9, S12 and S27), under whatever the spec says itself. Pure."""

from dataclasses import dataclass

from rtx_operator.api.enums import Environment
from rtx_operator.api.quantities import amount
from rtx_operator.api.spec import Amounts, Resources, Scaling


@dataclass(frozen=True, slots=True)
class ReplicaRange:
    """How many pods of the active colour there may be."""

    least: int
    most: int

    @property
    def autoscaled(self) -> bool:
        return self.most > self.least


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


def replica_range(environment: Environment | None, scaling: Scaling) -> ReplicaRange:
    """The range in force; a minimum above the default maximum lifts it, and the other way round."""
    default = _REPLICAS[environment]
    if scaling.min_replicas is not None:
        return ReplicaRange(scaling.min_replicas, scaling.max_replicas or max(default.most, scaling.min_replicas))
    most = scaling.max_replicas or default.most
    return ReplicaRange(min(default.least, most), most)


def engine_resources(environment: Environment | None, asked: Resources) -> Resources:
    """Complete resources of the engine's container."""
    return _completed(asked, _ENGINE[environment])


def database_resources(asked: Resources) -> Resources:
    """Complete resources of the PostgreSQL container."""
    return _completed(asked, _DATABASE)


def cache_resources(asked: Resources) -> Resources:
    """Complete resources of the Redis container."""
    return _completed(asked, _CACHE)


def _completed(asked: Resources, default: _Default) -> Resources:
    cpu, most_cpu = _pair(asked.requests.cpu, asked.limits.cpu, default.cpu)
    memory, most_memory = _pair(asked.requests.memory, asked.limits.memory, default.memory)
    return Resources(requests=Amounts(cpu=cpu, memory=memory), limits=Amounts(cpu=most_cpu, memory=most_memory))


def _pair(request: str | None, limit: str | None, default: tuple[str, str]) -> tuple[str, str]:
    """(request, limit): the default bends to what was asked for, so that no request is above its limit."""
    if request is None:
        limit = limit or default[1]
        return min(default[0], limit, key=amount), limit
    return request, limit or max(default[1], request, key=amount)
