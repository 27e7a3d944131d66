"""Looks at everything of one engine: its labelled objects, the Secret that its spec names, its pods' answers, and its
database's fence.
"""

import asyncio
import base64
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rtx_operator.api.enums import Colour, Component
from rtx_operator.api.names import DATABASE_NAME, InternalKey, Label, Names
from rtx_operator.cluster import postgres as fence
from rtx_operator.cluster.client import Client
from rtx_operator.cluster.engine_pods import EnginePods
from rtx_operator.cluster.read_cache import ReadCache
from rtx_operator.cluster.resources import EVENT, GRANDCHILDREN, JOB, LIVE_KINDS, SECRET, STATEFUL_SET
from rtx_operator.cutover.queries import PodQueries
from rtx_operator.observation import FenceReport, Object, Observation, is_ready, replicas
from rtx_operator.pod_reports import EngineReport, ReachReport, SmokeResult

_WARNINGS = "type=Warning"
WORKLOADS = {"Deployment", "StatefulSet"}


@dataclass(frozen=True, slots=True)
class Observer:
    """Looks at engines through one API server."""

    client: Client
    read_cache: ReadCache
    fences: fence.Reader

    async def observe(
        self, namespace: str, name: str, credentials: str, database: fence.Address, queries: PodQueries
    ) -> Observation:
        """Read it all, side by side. `credentials` is the name in spec.credentialsSecretRef, or empty.

        Raises ApiError; what is wrong with the database or with engine pods is part of what is observed.
        """
        labels = {Label.ENGINE.value: name}
        kinds = (*LIVE_KINDS, *GRANDCHILDREN)
        cached, (*moving, pods, slices) = await asyncio.gather(
            self.read_cache.read(namespace, name, credentials),
            asyncio.gather(*(self.client.list(resource, namespace, labels=labels) for resource in kinds)),
        )
        found = itertools.chain(cached.children, *moving)
        children = {(child["kind"], child["metadata"]["name"]): child for child in found}
        names = Names(name)
        engines = EnginePods(peer_secret(children, names))
        fence_report, (reports, reach, smoke) = await asyncio.gather(
            self._ask_database(children, names, database), _ask_engines(engines, names, namespace, pods, queries)
        )
        return Observation(
            children=children,
            pods=tuple(pods),
            endpoint_slices=tuple(slices),
            warnings=() if _all_ready(children) else tuple(await self.client.list(EVENT, namespace, fields=_WARNINGS)),
            credentials=cached.credentials,
            orders_metric_served=cached.orders_metric_served,
            database=fence_report,
            engines=reports,
            reach=reach,
            smoke=smoke,
        )

    def forget(self, namespace: str, name: str, database: fence.Address) -> None:
        """Drop what is kept of an engine that is gone."""
        self.read_cache.changed((namespace, name))
        self.fences.forget(database)

    async def _ask_database(
        self, children: Mapping[tuple[str, str], Object], names: Names, address: fence.Address
    ) -> FenceReport | None:
        password = operator_password(children, names)
        _, ready = replicas(children.get((STATEFUL_SET.kind, names.postgres)))
        if not ready or not password:
            return None
        try:
            return FenceReport(fence=await self.fences.read(address, password))
        except fence.FenceUnreachableError as error:
            return FenceReport(error=f"{DATABASE_NAME} at {error}")


async def _ask_engines(
    engines: EnginePods, names: Names, namespace: str, pods: list[Object], queries: PodQueries
) -> tuple[dict[str, EngineReport | str], dict[str, ReachReport | str], tuple[SmokeResult, ...]]:
    """Reports and reach by pod, and the results of the smoke tests."""

    def ready(colours: Iterable[Colour]) -> list[Object]:
        wanted = [names.selector(Component.ENGINE, colour).items() for colour in colours]
        return [
            pod
            for pod in pods
            if is_ready(pod) and any(labels <= pod["metadata"].get("labels", {}).items() for labels in wanted)
        ]

    host = f"{names.colour(queries.smoke)}.{namespace}.svc" if queries.smoke else ""
    reports, reach, smoke = await asyncio.gather(
        engines.ask(ready(queries.reports)),
        engines.reach(ready([queries.reach] if queries.reach else [])),
        engines.smoke(host, queries.tests if host else ()),
    )
    return reports, reach, smoke


def _all_ready(children: Mapping[tuple[str, str], Object]) -> bool:
    workloads = [child for (kind, _), child in children.items() if kind in WORKLOADS]
    jobs = [child for (kind, _), child in children.items() if kind == JOB.kind]
    ready = all(ready >= desired for desired, ready in map(replicas, workloads))
    return bool(workloads) and ready and all(job.get("status", {}).get("succeeded") for job in jobs)


def operator_password(children: Mapping[tuple[str, str], Object], names: Names) -> str:
    """The password of the operator's role, from the engine's internal Secret; empty while there is none."""
    return _internal(children, names, InternalKey.DB_OPERATOR_PASSWORD)


def peer_secret(children: Mapping[tuple[str, str], Object], names: Names) -> str:
    """What engine pods and the operator know each other by; empty while there is none."""
    return _internal(children, names, InternalKey.PEER_SECRET)


def _internal(children: Mapping[tuple[str, str], Object], names: Names, key: InternalKey) -> str:
    secret = children.get((SECRET.kind, names.internal)) or {}
    encoded = (secret.get("data") or {}).get(key.value, "")
    return base64.b64decode(encoded).decode()
