"""Lists and watches the objects of engines, one task for each kind, into WatchedObjects.

kopf watches the objects of the API. It would start a task for each of a fleet's forty thousand children, and does not
say when its list is complete or what was deleted while it was away; this does (ADR 0036).
"""

import asyncio
import itertools
import random
from collections.abc import Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from enum import StrEnum

import structlog

from rtx_operator.api.names import Label
from rtx_operator.cluster.client import ApiError, Client, Object, Resource
from rtx_operator.cluster.watched import WatchedObjects

WATCH_SECONDS = 300  # the API server ends a watch after this time, and it goes on from where it was
RELIST_SECONDS = 3600.0  # a kind is listed again so often: should an event ever have been lost, it is found then
FIRST_RETRY_SECONDS, MAX_RETRY_SECONDS = 0.5, 30.0

log = structlog.get_logger(__name__)


class _EventType(StrEnum):
    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class Watches:
    """The watches of several kinds, in some namespaces; in all of them if it names none."""

    client: Client
    watched: WatchedObjects
    namespaces: tuple[str, ...] = ()
    # One kind is listed at a time: a new leader reads a fleet's forty thousand objects, and has switches to go on with.
    _turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))

    async def run(self, resources: Iterable[Resource]) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            for resource, namespace in itertools.product(resources, self.namespaces or ("",)):
                group.create_task(self._keep(resource, namespace), name=f"watch-{resource.plural}")

    async def _keep(self, resource: Resource, namespace: str) -> None:
        failures = 0
        while True:
            try:
                async with self._turn:
                    version = await self._list(resource, namespace)
                failures = 0
                await self._watch(resource, namespace, version)
            except Exception as error:  # noqa: BLE001 - no error may end a watch: the operator would be blind
                self.watched.broken(resource, namespace)
                if isinstance(error, ApiError) and error.code == 410:
                    continue  # the version is too old to go on from: list again
                longest = min(MAX_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2.0 ** min(failures, 10))
                failures += 1
                log.warning("watch failed; the operator retries", kind=resource.kind, error=repr(error))
                await asyncio.sleep(longest * random.uniform(0.5, 1))  # noqa: S311 - jitter is no secret

    async def _list(self, resource: Resource, namespace: str) -> str:
        """List all objects of the kind; returns the resourceVersion from which to watch."""
        listed: list[tuple[str, str]] = []
        version = ""
        async for items, version in self.client.pages(resource, namespace, labels=Label.ENGINE.value):  # noqa: B007 - the last one
            for item in items:
                self.watched.put(resource, item)
                listed.append((item["metadata"]["namespace"], item["metadata"]["name"]))
            await asyncio.sleep(0)  # a page takes tens of milliseconds: others have their turn
        self.watched.completed(resource, listed, int(version), namespace)
        return version

    async def _watch(self, resource: Resource, namespace: str, version: str) -> None:
        """Follow the kind from `version` on until it is to be listed again. Raises ApiError."""
        clock = asyncio.get_running_loop().time
        until = clock() + RELIST_SECONDS * random.uniform(0.8, 1.2)  # noqa: S311 - spreading is no secret
        while clock() < until:
            events = self.client.watch(
                resource, namespace, label=Label.ENGINE.value, version=version, seconds=WATCH_SECONDS
            )
            async with aclosing(events):
                async for kind, body in events:
                    version = self._follow(resource, kind, body)

    def _follow(self, resource: Resource, kind: str, body: Object) -> str:
        """Take one event in; returns its resourceVersion. Raises ApiError."""
        if kind == _EventType.ERROR:
            raise ApiError(int(body.get("code", 0)), str(body.get("reason")), str(body.get("message")))
        if kind == _EventType.DELETED:
            self.watched.remove(resource, body)
        elif kind != _EventType.BOOKMARK:
            self.watched.put(resource, body)
        return str(body["metadata"]["resourceVersion"])
