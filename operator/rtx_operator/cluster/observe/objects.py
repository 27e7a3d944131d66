"""Reads the objects of one engine from the API server: those with its label, and the Secret that its spec names."""

import asyncio
import base64
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rtx_operator.api.names import InternalKey, Label, Names
from rtx_operator.cluster.client import Client
from rtx_operator.cluster.read_cache import CachedObjects, ReadCache
from rtx_operator.cluster.resources import CHILDREN, ENDPOINT_SLICE, EVENT, GRANDCHILDREN, JOB, LIVE_KINDS, POD, SECRET
from rtx_operator.observation import Object, replicas

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
    return _together(cached, itertools.chain(*live), pods, slices)


async def watched_objects(read_cache: ReadCache, namespace: str, name: str, credentials: str) -> EngineObjects | None:
    """The same by what the watches have delivered, with no request but for the user's Secret; None until all have.

    It may lag behind: enough to see that nothing is to be done, never to do something. Raises ApiError.
    """
    watched, scope = read_cache.watched, (namespace, name)
    if not watched.is_complete((*CHILDREN, *GRANDCHILDREN)):
        return None
    cached = await read_cache.read(namespace, name, credentials)
    pods, slices = watched.of(scope, [POD]), watched.of(scope, [ENDPOINT_SLICE])
    return _together(cached, watched.of(scope, LIVE_KINDS), pods, slices)


def _together(
    cached: CachedObjects, live: Iterable[Object], pods: Iterable[Object], slices: Iterable[Object]
) -> EngineObjects:
    children = itertools.chain(cached.children, live)
    return EngineObjects(
        children={(child["kind"], child["metadata"]["name"]): child for child in children},
        pods=tuple(pods),
        endpoint_slices=tuple(slices),
        credentials=cached.credentials,
        orders_metric_served=cached.orders_metric_served,
    )


async def read_warnings(client: Client, namespace: str, children: Children) -> tuple[Object, ...]:
    """The namespace's Events of type Warning; empty, without a request, while all workloads are up. Raises ApiError."""
    return () if _all_ready(children) else tuple(await client.list(EVENT, namespace, fields=_WARNINGS))


def _all_ready(children: Children) -> bool:
    workloads = [child for (kind, _), child in children.items() if kind in _WORKLOADS]
    jobs = [child for (kind, _), child in children.items() if kind == JOB.kind]
    ready = all(ready >= desired for desired, ready in map(replicas, workloads))
    return bool(workloads) and ready and all(job.get("status", {}).get("succeeded") for job in jobs)


def internal_secret_value(children: Children, names: Names, key: InternalKey) -> str:
    """The decoded value of `key` in the engine's internal Secret; empty while the Secret or the key is missing."""
    secret = children.get((SECRET.kind, names.internal)) or {}
    encoded = (secret.get("data") or {}).get(key.value, "")
    return base64.b64decode(encoded).decode()
