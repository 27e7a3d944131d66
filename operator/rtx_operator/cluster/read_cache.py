"""Caches the objects that a cutover does not change, because it reconciles five times a second.

A cached object is at most MAX_AGE_SECONDS old. A write by the operator or a watch event of the engine drops its cache.
Workloads, Jobs, Services, pods, EndpointSlices and the fence change in a switch, so they are always read live
(ADR 0016).
"""

import asyncio
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from rtx_operator.api.names import Label
from rtx_operator.cluster.client import Client, Object
from rtx_operator.cluster.resources import CACHED_KINDS, SECRET

MAX_AGE_SECONDS = 5.0  # 25 reconciles of a switch share one reading
METRICS_GROUP = "/apis/custom.metrics.k8s.io"
ORDERS_METRIC = "pods/rtx_orders_per_second"


@dataclass(frozen=True, slots=True)
class CachedObjects:
    """The engine's objects of the kinds in CACHED_KINDS, and what is read besides them."""

    children: tuple[Object, ...]
    credentials: Object | None  # the Secret that spec.credentialsSecretRef names
    orders_metric_served: bool


@dataclass(eq=False, slots=True)
class _Reading:
    credentials: str
    started: float  # seconds on ReadCache.clock
    found: CachedObjects | None = None  # None until the API server has answered


@dataclass(frozen=True, slots=True)
class ReadCache:
    """The cached objects of all engines, by (namespace, name)."""

    client: Client
    clock: Callable[[], float] = time.monotonic
    _readings: dict[Hashable, _Reading] = field(default_factory=dict)

    async def read(self, namespace: str, name: str, credentials: str) -> CachedObjects:
        """The objects of one engine, read at most MAX_AGE_SECONDS ago.

        `credentials` is the name in spec.credentialsSecretRef, or empty; another name is read at once. Raises ApiError.
        """
        kept = self._readings.get((namespace, name))
        if kept and kept.found and kept.credentials == credentials and self.clock() - kept.started < MAX_AGE_SECONDS:
            return kept.found
        # Stored before the read, so that `changed` can drop it when an event arrives during the read.
        reading = self._readings[namespace, name] = _Reading(credentials, self.clock())
        reading.found = await self._read(namespace, name, credentials)
        return reading.found

    def changed(self, engine: Hashable) -> None:
        """Drop the cache of `engine`, a (namespace, name), because one of its objects has or may have changed."""
        self._readings.pop(engine, None)

    async def _read(self, namespace: str, name: str, credentials: str) -> CachedObjects:
        labels = {Label.ENGINE.value: name}
        lists, secret, served = await asyncio.gather(
            asyncio.gather(*(self.client.list(resource, namespace, labels=labels) for resource in CACHED_KINDS)),
            self._named(namespace, credentials),
            self._orders_metric_served(),
        )
        return CachedObjects(tuple(child for listed in lists for child in listed), secret, served)

    async def _named(self, namespace: str, secret: str) -> Object | None:
        return await self.client.get(SECRET, namespace, secret) if secret else None

    async def _orders_metric_served(self) -> bool:
        """Whether a metrics adapter serves rtx_orders_per_second of pods to autoscalers."""
        group = await self.client.discover(METRICS_GROUP)
        if group is None:
            return False
        version = group["preferredVersion"]["groupVersion"]
        served = await self.client.discover(f"/apis/{version}")
        return served is not None and any(one["name"] == ORDERS_METRIC for one in served["resources"])
