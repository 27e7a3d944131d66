"""Caches what does not change while a cutover reconciles five times a second.

A cached object is at most MAX_AGE_SECONDS old, and never older than the last change that the operator made itself or
was told of. What changes in a switch (workloads, Jobs, Services, pods, endpoints, the fence) is always read live.
"""

import asyncio
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from rtx_operator.api.names import Label
from rtx_operator.cluster.client import Client, Object
from rtx_operator.cluster.resources import CACHED_KINDS, SECRET

MAX_AGE_SECONDS = 5.0  # seconds: less than between two looks of an engine that has no cutover under way
METRICS_GROUP = "/apis/custom.metrics.k8s.io"
ORDERS_METRIC = "pods/rtx_orders_per_second"


@dataclass(frozen=True, slots=True)
class CachedObjects:
    """The labelled objects of the kinds in CACHED_KINDS, and what lies outside of the engine's own objects."""

    children: tuple[Object, ...]
    credentials: Object | None  # the Secret that spec.credentialsSecretRef names
    orders_metric_served: bool


@dataclass(eq=False, slots=True)
class _Reading:
    credentials: str
    begun: float  # seconds, by the clock
    found: CachedObjects | None = None  # None while it is being read


@dataclass(frozen=True, slots=True)
class ReadCache:
    """Returns the objects of CACHED_KINDS, read at most MAX_AGE_SECONDS ago."""

    client: Client
    clock: Callable[[], float] = time.monotonic
    _readings: dict[Hashable, _Reading] = field(default_factory=dict)

    async def read(self, namespace: str, name: str, credentials: str) -> CachedObjects:
        """`credentials` is the name in spec.credentialsSecretRef, or empty. Raises ApiError."""
        kept = self._readings.get((namespace, name))
        if kept and kept.found and kept.credentials == credentials and self.clock() - kept.begun < MAX_AGE_SECONDS:
            return kept.found
        # Put there before it is read: of a change that we are told of meanwhile, `changed` takes it away.
        reading = self._readings[namespace, name] = _Reading(credentials, self.clock())
        reading.found = await self._read(namespace, name, credentials)
        return reading.found

    def changed(self, engine: Hashable) -> None:
        """Something of `engine`, a (namespace, name), is not what it was, or may not be: it is read anew."""
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
        """Whether autoscalers can ask for orders per second: some metrics adapter serves it for pods."""
        group = await self.client.discover(METRICS_GROUP)
        if group is None:
            return False
        version = group["preferredVersion"]["groupVersion"]
        served = await self.client.discover(f"/apis/{version}")
        return served is not None and any(one["name"] == ORDERS_METRIC for one in served["resources"])
