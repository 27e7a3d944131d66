"""Serves the objects that a cutover does not change from what the watches delivered, or from a reading of some seconds.

A cutover reconciles five times a second. Objects of CACHED_KINDS come from the watches once those are complete; until
then one reading of at most MAX_AGE_SECONDS serves, and a write by the operator or an event of the engine drops it.
Workloads, Jobs, Services, pods, EndpointSlices and the fence change in a switch, so a reconcile that acts reads them
live (ADR 0016, ADR 0036).
"""

import asyncio
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from rtx_operator.api.names import Label
from rtx_operator.cluster.client import Client, Object, Resource
from rtx_operator.cluster.resources import CACHED_KINDS, SECRET
from rtx_operator.cluster.watched import WatchedObjects

MAX_AGE_SECONDS = 5.0  # 25 reconciles of a switch share one reading
METRICS_AGE_SECONDS = 60.0  # of what the metrics API serves, which is the same for all engines
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


class ReadCache:
    """The cached objects of all engines, by (namespace, name)."""

    def __init__(
        self, client: Client, clock: Callable[[], float] = time.monotonic, watched: WatchedObjects | None = None
    ) -> None:
        self.watched = watched or WatchedObjects()
        self._client = client
        self._clock = clock
        self._readings: dict[Hashable, _Reading] = {}  # the oldest first
        self._metrics: tuple[float, asyncio.Task[bool]] | None = None  # when it was asked for, and the answer

    async def read(self, namespace: str, name: str, credentials: str) -> CachedObjects:
        """The objects of one engine, read at most MAX_AGE_SECONDS ago.

        `credentials` is the name in spec.credentialsSecretRef, or empty; another name is read at once. Raises ApiError.
        """
        self._drop_old_readings()
        kept = self._readings.get((namespace, name))
        if kept and kept.found and kept.credentials == credentials:
            return kept.found
        # Stored before the read, so that `changed` can drop it when an event arrives during the read.
        self._readings.pop((namespace, name), None)
        reading = self._readings[namespace, name] = _Reading(credentials, self._clock())
        reading.found = await self._read(namespace, name, credentials)
        return reading.found

    def changed(self, engine: Hashable) -> None:
        """Drop the reading of `engine`, a (namespace, name), because one of its objects has or may have changed."""
        self._readings.pop(engine, None)

    def wrote(self, resource: Resource, written: Object) -> None:
        """Keep the API server's response to a write of the operator, which the next read is to see."""
        self.watched.wrote(resource, written)

    def deleted(self, resource: Resource, gone: Object) -> None:
        """Drop an object that the operator deleted, unless it is known to be deleted later, as by a finalizer."""
        self.watched.remove(resource, gone)

    def _drop_old_readings(self) -> None:
        """A fleet's readings would be most of the operator's memory."""
        oldest = self._clock() - MAX_AGE_SECONDS
        for engine in [engine for engine, reading in self._readings.items() if reading.started <= oldest]:
            del self._readings[engine]

    async def _read(self, namespace: str, name: str, credentials: str) -> CachedObjects:
        children, secret, served = await asyncio.gather(
            self._children(namespace, name), self._named(namespace, credentials), self._orders_metric_served()
        )
        return CachedObjects(children, secret, served)

    async def _children(self, namespace: str, name: str) -> tuple[Object, ...]:
        if self.watched.is_complete(namespace, CACHED_KINDS):
            return tuple(self.watched.of((namespace, name), CACHED_KINDS))
        labels = {Label.ENGINE.value: name}
        lists = await asyncio.gather(
            *(self._client.list(resource, namespace, labels=labels) for resource in CACHED_KINDS)
        )
        return tuple(child for listed in lists for child in listed)

    async def _named(self, namespace: str, secret: str) -> Object | None:
        return await self._client.get(SECRET, namespace, secret) if secret else None

    async def _orders_metric_served(self) -> bool:
        """Whether a metrics adapter serves rtx_orders_per_second of pods to autoscalers."""
        asked, answer = self._metrics or (0.0, None)
        failed = answer is not None and answer.done() and (answer.cancelled() or answer.exception() is not None)
        if answer is None or failed or self._clock() - asked >= METRICS_AGE_SECONDS:
            answer = asyncio.create_task(self._discover_orders_metric())
            self._metrics = self._clock(), answer
        return await asyncio.shield(answer)  # others wait for it, too

    async def _discover_orders_metric(self) -> bool:
        group = await self._client.discover(METRICS_GROUP)
        if group is None:
            return False
        version = group["preferredVersion"]["groupVersion"]
        served = await self._client.discover(f"/apis/{version}")
        return served is not None and any(one["name"] == ORDERS_METRIC for one in served["resources"])
