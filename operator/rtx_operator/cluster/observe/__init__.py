"""Observes one engine, by source: objects.py (the API server), pods.py (its engine pods), database.py (its fence).

Law: an observation changes nothing. An error of the database or of an engine pod is part of the observation; only an
error of the API server is raised.
"""

import asyncio
from dataclasses import dataclass

from rtx_operator.api.names import Names
from rtx_operator.cluster.client import Client
from rtx_operator.cluster.engine_pods import EnginePods
from rtx_operator.cluster.observe.database import operator_password, read_fence
from rtx_operator.cluster.observe.objects import EngineObjects, read_objects, read_warnings
from rtx_operator.cluster.observe.pods import peer_secret, query_pods
from rtx_operator.cluster.postgres import Address, Reader
from rtx_operator.cluster.read_cache import ReadCache
from rtx_operator.observation import Observation, PodQueries

__all__ = ["Observer", "operator_password", "peer_secret"]


@dataclass(frozen=True, slots=True)
class Observer:
    """Observes engines through one API server."""

    client: Client
    read_cache: ReadCache
    fences: Reader

    async def observe(
        self,
        namespace: str,
        name: str,
        credentials: str,
        database: Address,
        queries: PodQueries,
        objects: EngineObjects | None = None,
    ) -> Observation:
        """Observe one engine: first its objects, then its database and its pods concurrently.

        `credentials` is the name in spec.credentialsSecretRef, or empty. `objects` is given when the watches' are good
        enough; None: they are read live. Raises ApiError.
        """
        names = Names(name)
        objects = objects or await read_objects(self.client, self.read_cache, namespace, name, credentials)
        engines = EnginePods(peer_secret(objects.children, names))
        fence, answers = await asyncio.gather(
            read_fence(self.fences, objects.children, names, database),
            query_pods(engines, names, namespace, objects.pods, queries),
        )
        return Observation(
            children=objects.children,
            pods=objects.pods,
            endpoint_slices=objects.endpoint_slices,
            warnings=await read_warnings(self.client, namespace, objects.children),
            credentials=objects.credentials,
            orders_metric_served=objects.orders_metric_served,
            database=fence,
            engines=answers.reports,
            reach=answers.reach,
            smoke=answers.smoke,
        )

    def forget(self, namespace: str, name: str, database: Address) -> None:
        """Drop the cached objects and the database session of an engine that was deleted."""
        self.read_cache.changed((namespace, name))
        self.fences.forget(database)
