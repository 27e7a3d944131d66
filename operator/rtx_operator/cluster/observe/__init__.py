"""Observes one engine, by source: objects.py (the API server), pods.py (its engine pods), database.py (its fence).

Pods and databases may hang: inquiries.py asks them, and an observation takes the answers that are there.

Law: an observation changes nothing. An error of the database or of an engine pod is part of the observation; only an
error of the API server is raised.
"""

import asyncio
from dataclasses import dataclass
from functools import partial

from rtx_operator.api.names import Names
from rtx_operator.cluster.client import Client
from rtx_operator.cluster.engine_pods import EnginePods
from rtx_operator.cluster.observe.database import can_answer, operator_password, read_fence, runs_migration
from rtx_operator.cluster.observe.inquiries import Inquiries, Question
from rtx_operator.cluster.observe.objects import EngineObjects, read_objects, read_warnings
from rtx_operator.cluster.observe.pods import peer_secret, query_pods
from rtx_operator.cluster.observe.volume import read_volumes
from rtx_operator.cluster.postgres import Address, Reader
from rtx_operator.cluster.read_cache import ReadCache
from rtx_operator.observation import Freshness, Observation, PodQueries

__all__ = ["Inquiries", "Observer", "operator_password", "peer_secret"]


@dataclass(frozen=True, slots=True)
class Observer:
    """Observes engines through one API server."""

    client: Client
    read_cache: ReadCache
    fences: Reader
    inquiries: Inquiries[tuple[str, str]]  # by (namespace, name)

    async def observe(
        self,
        namespace: str,
        name: str,
        credentials: str,
        database: Address,
        queries: PodQueries,
        freshness: Freshness,
        objects: EngineObjects | None = None,
    ) -> Observation:
        """Observe one engine: first its objects, then its database and its pods concurrently.

        `credentials` is the name in spec.credentialsSecretRef, or empty. `objects` is given when the watches' are good
        enough; None: they are read live. Raises ApiError.
        """
        names = Names(name)
        objects = objects or await read_objects(self.client, self.read_cache, namespace, name, credentials)
        password = operator_password(objects.children, names)
        engines = EnginePods(peer_secret(objects.children, names))
        migrates = any(runs_migration(pod, names) for pod in objects.pods)
        ask_fence = partial(read_fence, self.fences, password, database, migrates=migrates)
        question = Question(
            fence=ask_fence if can_answer(objects.children, names) else None,
            pods=partial(query_pods, engines, names, namespace, objects.pods, queries) if queries.any else None,
            database=(database, password),
        )
        answers, volumes = await asyncio.gather(
            self.inquiries.ask((namespace, name), question, freshness),
            read_volumes(self.client, objects.children, objects.pods, names, queries.volume_of),
        )
        return Observation(
            children=objects.children,
            pods=objects.pods,
            endpoint_slices=objects.endpoint_slices,
            warnings=await read_warnings(self.client, namespace, objects.children),
            credentials=objects.credentials,
            orders_metric_served=objects.orders_metric_served,
            database=answers.fence,
            engines=answers.pods.reports,
            reach=answers.pods.reach,
            smoke=answers.pods.smoke,
            volumes=volumes,
            is_whole=answers.is_whole,
        )

    def outdate(self, namespace: str, name: str) -> None:
        """The operator acts on the engine: no earlier answer of its database or its pods counts any more."""
        self.inquiries.outdate((namespace, name))

    def forget(self, namespace: str, name: str, database: Address) -> None:
        """Drop the cached objects, the questions and the database session of an engine that was deleted.

        Of one that was never asked, as another operator's is not, there is no session, whatever else has that address.
        """
        self.read_cache.changed((namespace, name))
        if self.inquiries.forget((namespace, name)):
            self.fences.forget(database)
