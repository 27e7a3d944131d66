"""Watch events → the work queue: kopf's of the objects of the API, and those of children (cluster/watch.py).

An event only adds the engine's key to the queue. The reconcile observes the state itself, and acts on nothing that an
event contains. An event that says nothing new is dropped: the echo of an own write, an autoscaler's status.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import kopf
import structlog

from rtx_operator.api.names import Label
from rtx_operator.cluster.client import ApiError, Client
from rtx_operator.cluster.fleet import Fleet
from rtx_operator.cluster.resources import ENGINE, OURS
from rtx_operator.controllers.base import Controller, Key
from rtx_operator.operations.arbiter import operates
from rtx_operator.settings import Settings
from rtx_operator.workers import Priority
from rtx_operator.workqueue import WorkQueue

CHILD_EVENT_DELAY_SECONDS = 0.5  # events of children within this time share one reconcile
LIST_RETRY_SECONDS = 5.0  # while the API server does not answer

log = structlog.get_logger(__name__)


def registry(queue: WorkQueue[Key], controllers: Mapping[str, Controller], fleet: Fleet) -> kopf.OperatorRegistry:
    """The watches of the objects of the API, with a handler for each."""
    watched = kopf.OperatorRegistry()

    def event_of(kind: str) -> Callable[..., Awaitable[None]]:
        async def event(*, namespace: str | None, name: str, **_: Any) -> None:
            queue.add(Key(kind, namespace or "", name))

        return event

    async def engine_event(*, namespace: str | None, name: str, type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002 - kopf's name
        scope = (namespace or "", name)
        if type == "DELETED":
            fleet.remove(scope)
        elif not fleet.put(dict(body)):
            return
        queue.add(Key(ENGINE.kind, *scope), controllers[ENGINE.kind].priority(dict(body)))

    kopf.on.login(registry=watched)(login)
    for ours in OURS.values():
        handler = engine_event if ours is ENGINE else event_of(ours.kind)
        kopf.on.event(*_selector(ours.api_version), ours.plural, registry=watched)(handler)
    return watched


async def add_all(client: Client, queue: WorkQueue[Key], engines: Controller, fleet: Fleet, chosen: Settings) -> None:
    """Add all engines to the queue, those with an operation under way before the others. Retries until it can.

    A new leader has a whole fleet to reconcile, and traffic may wait for it in one engine. kopf lists in any order.
    """
    while True:
        try:
            await _add_all(client, queue, engines, fleet, chosen)
        except (ApiError, TimeoutError) as error:
            log.warning("cannot list the engines; the operator retries", error=str(error) or type(error).__name__)
            await asyncio.sleep(LIST_RETRY_SECONDS)
        else:
            return


async def _add_all(client: Client, queue: WorkQueue[Key], engines: Controller, fleet: Fleet, chosen: Settings) -> None:
    others: list[tuple[Key, Priority]] = []
    for namespace in chosen.watch_namespaces or ("",):
        async for page, _ in client.pages(ENGINE, namespace, labels=_served(chosen.operator_class)):
            for manifest in page:
                meta = manifest["metadata"]
                fleet.put(manifest)
                key = Key(ENGINE.kind, meta["namespace"], meta["name"])
                if operates(manifest.get("status") or {}):
                    queue.add(key, engines.priority(manifest))
                else:
                    others.append((key, engines.priority(manifest)))
    fleet.is_complete = True
    for key, priority in others:
        queue.add(key, priority)


def child_changed(queue: WorkQueue[Key], scope: tuple[str, str]) -> None:
    """A child of the engine `scope` has changed. In a rollout many do; the delay lets them share a reconcile."""
    queue.add_after(Key(ENGINE.kind, *scope), CHILD_EVENT_DELAY_SECONDS)


async def login(**arguments: Any) -> kopf.ConnectionInfo | None:
    """Credentials of the pod's ServiceAccount, else of the current context of KUBECONFIG; None without either."""
    return kopf.login_with_service_account(**arguments) or kopf.login_with_kubeconfig(**arguments)


def settings(operator_class: str) -> kopf.OperatorSettings:
    """Settings for kopf as a plain watcher: no peering, no Events from logs, no scanning; bounded requests."""
    chosen = kopf.OperatorSettings()
    chosen.peering.standalone = True
    chosen.posting.enabled = False
    chosen.scanning.disabled = True
    chosen.networking.request_timeout = 30
    chosen.watching.server_timeout = 300
    chosen.watching.client_timeout = 310
    # Only of engines: a backup is served by the operator of its engine, and whoever creates one knows no class.
    chosen.watching.label_selectors[(*_selector(ENGINE.api_version), ENGINE.plural)] = _served(operator_class)
    return chosen


def _served(operator_class: str) -> str:
    """The API server filters, so that objects of other operators never reach this process."""
    return f"{Label.OPERATOR}={operator_class}" if operator_class else f"!{Label.OPERATOR}"


def _selector(api_version: str) -> tuple[str, str]:
    """(group, version) for kopf; the core group is the empty string."""
    group, _, version = api_version.rpartition("/")
    return group, version
