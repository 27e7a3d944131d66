"""Reads the objects of one engine from the API server: those with its label, and by name its Secrets and its volume.

A label may be removed. A Secret that only lost its label must not be generated anew.
"""

import asyncio
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rtx_operator.api.enums import Component
from rtx_operator.api.names import InternalKey, Label, Names
from rtx_operator.cluster.client import Client
from rtx_operator.cluster.read_cache import CachedObjects, ReadCache
from rtx_operator.cluster.resources import (
    CHILDREN,
    ENDPOINT_SLICE,
    EVENT,
    GRANDCHILDREN,
    JOB,
    LIVE_KINDS,
    POD,
    SECRET,
    VOLUME_CLAIM,
)
from rtx_operator.observation import Object, replicas, secret_text

Children = Mapping[tuple[str, str], Object]  # by (kind, name)

_WARNINGS = "type=Warning"
_WORKLOADS = {"Deployment", "StatefulSet"}


@dataclass(frozen=True, slots=True)
class EngineObjects:
    """The objects with the engine's label, the user's Secret, and whether the orders metric is served."""

    children: Children
    pods: tuple[Object, ...]
    endpoint_slices: tuple[Object, ...]
    credentials: Object | None  # the Secret that spec.credentialsSecretRef names
    orders_metric_served: bool


async def read_objects(
    client: Client, read_cache: ReadCache, namespace: str, name: str, credentials: str
) -> EngineObjects:
    """Read all objects concurrently: live ones now, the others from `read_cache`.

    `credentials` is the name in spec.credentialsSecretRef, or empty. Raises ApiError.
    """
    labels = {Label.ENGINE.value: name}
    kinds = (*LIVE_KINDS, *GRANDCHILDREN)
    cached, (*live, pods, slices) = await asyncio.gather(
        read_cache.read(namespace, name, credentials),
        asyncio.gather(*(client.list(resource, namespace, labels=labels) for resource in kinds)),
    )
    children = _by_name(itertools.chain(cached.children, *live))
    children |= await _unlabelled(client, namespace, Names(name), children, credentials)
    return _together(cached, children, pods, slices)


async def watched_objects(
    client: Client, read_cache: ReadCache, namespace: str, name: str, credentials: str
) -> EngineObjects | None:
    """The same by what the watches have delivered; None until all have.

    A request is sent only for the user's Secret, and for what has lost its label. It may lag behind: enough to see that
    nothing is to be done, never to do something. Raises ApiError.
    """
    watched, scope = read_cache.watched, (namespace, name)
    if not watched.is_complete(namespace, (*CHILDREN, *GRANDCHILDREN)):
        return None
    cached = await read_cache.read(namespace, name, credentials)
    pods, slices = watched.of(scope, [POD]), watched.of(scope, [ENDPOINT_SLICE])
    children = _by_name(itertools.chain(cached.children, watched.of(scope, LIVE_KINDS)))
    children |= await _unlabelled(client, namespace, Names(name), children, credentials)
    return _together(cached, children, pods, slices)


def _by_name(found: Iterable[Object]) -> dict[tuple[str, str], Object]:
    return {(child["kind"], child["metadata"]["name"]): child for child in found}


def _together(
    cached: CachedObjects, children: Children, pods: Iterable[Object], slices: Iterable[Object]
) -> EngineObjects:
    return EngineObjects(
        children=children,
        pods=tuple(pods),
        endpoint_slices=tuple(slices),
        credentials=cached.credentials,
        orders_metric_served=cached.orders_metric_served,
    )


async def _unlabelled(
    client: Client, namespace: str, names: Names, children: Children, credentials: str
) -> dict[tuple[str, str], Object]:
    """The generated Secrets and, without them, the volume claim whose passwords they hold, that no label finds."""
    generated = (names.internal,) if credentials else (names.internal, names.credentials)
    missing = [name for name in generated if (SECRET.kind, name) not in children]
    wanted = [(SECRET, name) for name in missing]
    if missing and (VOLUME_CLAIM.kind, names.claim(Component.DATABASE)) not in children:
        wanted.append((VOLUME_CLAIM, names.claim(Component.DATABASE)))
    found = await asyncio.gather(*(client.get(resource, namespace, name) for resource, name in wanted))
    return {
        (resource.kind, name): {"apiVersion": resource.api_version, "kind": resource.kind, **live}
        for (resource, name), live in zip(wanted, found, strict=True)
        if live
    }


async def read_warnings(client: Client, namespace: str, children: Children) -> tuple[Object, ...]:
    """The namespace's Events of type Warning; empty, without a request, while all workloads are up. Raises ApiError."""
    return () if _all_ready(children) else tuple(await client.list(EVENT, namespace, fields=_WARNINGS))


def _all_ready(children: Children) -> bool:
    workloads = [child for (kind, _), child in children.items() if kind in _WORKLOADS]
    jobs = [child for (kind, _), child in children.items() if kind == JOB.kind and not _is_backup(child)]
    ready = all(ready >= desired for desired, ready in map(replicas, workloads))
    return bool(workloads) and ready and all(job.get("status", {}).get("succeeded") for job in jobs)


def _is_backup(job: Object) -> bool:
    """Whether it makes a backup: one that runs, or failed, says nothing about what serves."""
    labels = job["metadata"].get("labels") or {}
    return bool(labels.get(Label.COMPONENT.value) == Component.BACKUP)


def internal_secret_value(children: Children, names: Names, key: InternalKey) -> str:
    """The value of `key` in the engine's internal Secret; empty while it is missing, and when it is no text."""
    return secret_text(children.get((SECRET.kind, names.internal)), key.value) or ""
