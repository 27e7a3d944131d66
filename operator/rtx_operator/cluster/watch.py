"""Lists and watches the objects of engines, one task for each kind, into WatchedObjects.

kopf watches the objects of the API. It would start a task for each of a fleet's forty thousand children, and does not
say when its list is complete or what was deleted while it was away; this does (ADR 0036).
"""

import asyncio
import itertools
import math
import random
from collections.abc import Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from enum import StrEnum

import structlog

from rtx_operator.api.names import Label
from rtx_operator.cluster.client import ApiError, Client, Object, Resource
from rtx_operator.cluster.watched import VersionsWentBackError, WatchedObjects
from rtx_operator.workqueue import Backoff

WATCH_SECONDS = 300  # the API server ends a watch after this time, and it goes on from where it was
RELIST_SECONDS = 3600.0  # a kind is listed again so often: should an event ever have been lost, it is found then
HEALTHY_SECONDS = 30.0  # a watch that lasted for so long works: what failed before it is over
RETRIES = Backoff(first=0.5, limit=30.0)  # after a list or a watch that failed
# After a watch that ended before its time without an error: as late as what is read otherwise (read_cache.py).
RESUMES = Backoff(first=0.5, limit=5.0)
MANY_EARLY_ENDS = 3  # in a row: an API server that restarts ends a watch once

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
        """Watch until cancelled. Raises VersionsWentBackError."""
        try:
            async with asyncio.TaskGroup() as group:
                for resource, namespace in itertools.product(resources, self.namespaces or ("",)):
                    group.create_task(self._keep(resource, namespace), name=f"watch-{resource.plural}")
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _keep(self, resource: Resource, namespace: str) -> None:
        clock, failures = asyncio.get_running_loop().time, 0
        while True:
            watching_since = math.inf
            try:
                async with self._turn:
                    version = await self._list(resource, namespace)
                watching_since = clock()
                await self._watch(resource, namespace, version)
            except VersionsWentBackError:
                raise
            except Exception as error:  # noqa: BLE001 - no other error may end a watch: the operator would be blind
                self.watched.broken(resource, namespace)
                failures = 1 if clock() - watching_since >= HEALTHY_SECONDS else failures + 1
                if failures == 1:
                    log.warning("watch failed; the operator lists again", kind=resource.kind, error=repr(error))
                await asyncio.sleep(_pause(RETRIES, failures))

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
        clock, early = asyncio.get_running_loop().time, 0
        until = clock() + RELIST_SECONDS * random.uniform(0.8, 1.2)  # noqa: S311 - spreading is no secret
        while clock() < until:
            begun = clock()
            events = self.client.watch(
                resource, namespace, label=Label.ENGINE.value, version=version, seconds=WATCH_SECONDS
            )
            async with aclosing(events):
                async for kind, body in events:
                    version = self._follow(resource, namespace, kind, body)
            early = 0 if clock() - begun >= HEALTHY_SECONDS else early + 1
            if early == MANY_EARLY_ENDS:
                log.warning("watches end at once; look at what is between operator and API server", kind=resource.kind)
            if early:
                await asyncio.sleep(_pause(RESUMES, early))

    def _follow(self, resource: Resource, namespace: str, kind: str, body: Object) -> str:
        """Take one event in; returns its resourceVersion. Raises ApiError."""
        if kind == _EventType.ERROR:
            raise ApiError(int(body.get("code", 0)), str(body.get("reason")), str(body.get("message")))
        if kind == _EventType.DELETED:
            self.watched.remove(resource, body)
        elif kind != _EventType.BOOKMARK:
            self.watched.put(resource, body)
        version = str(body["metadata"]["resourceVersion"])
        self.watched.passed(resource, int(version), namespace)
        return version


def _pause(backoff: Backoff, failures: int) -> float:
    return backoff.delay(failures, random.random())  # noqa: S311 - jitter is no secret
