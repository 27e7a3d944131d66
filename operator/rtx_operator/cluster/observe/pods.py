"""Queries the engine pods of one engine, as its cutover needs."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rtx_operator.api.enums import Colour, Component
from rtx_operator.api.names import InternalKey, Names
from rtx_operator.cluster.engine_pods import EnginePods
from rtx_operator.cluster.observe.objects import Children, internal_secret_value
from rtx_operator.observation import Object, PodQueries, is_ready
from rtx_operator.pod_reports import EngineReport, ReachReport, SmokeResult


@dataclass(frozen=True, slots=True)
class PodAnswers:
    """The answers to PodQueries; for a pod without a valid answer, the error as text."""

    reports: Mapping[str, EngineReport | str]  # by pod name
    reach: Mapping[str, ReachReport | str]  # by pod name
    smoke: tuple[SmokeResult, ...]


NO_ANSWERS = PodAnswers({}, {}, ())


async def query_pods(
    engines: EnginePods, names: Names, namespace: str, pods: Iterable[Object], queries: PodQueries
) -> PodAnswers:
    """Send `queries` concurrently to those of `pods` that are ready. Errors of a pod are part of the result."""
    ready = [pod for pod in pods if is_ready(pod)]

    def ready_of(colours: Iterable[Colour]) -> list[Object]:
        wanted = [names.selector(Component.ENGINE, colour).items() for colour in colours]
        return [pod for pod in ready if any(labels <= pod["metadata"].get("labels", {}).items() for labels in wanted)]

    host = f"{names.colour(queries.smoke)}.{namespace}.svc" if queries.smoke else ""
    reports, reach, smoke = await asyncio.gather(
        engines.query_status(ready_of(queries.reports)),
        engines.query_reach(ready_of([queries.reach] if queries.reach else [])),
        engines.run_smoke_tests(host, queries.tests if host else ()),
    )
    return PodAnswers(reports, reach, smoke)


def peer_secret(children: Children, names: Names) -> str:
    """The secret that engine pods and the operator share, from the internal Secret; empty while it is missing."""
    return internal_secret_value(children, names, InternalKey.PEER_SECRET)
