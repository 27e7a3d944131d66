"""kopf's watch events → the work queue.

An event only adds the engine's key to the queue. The reconcile observes the state itself, and ignores what the event
contains.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import kopf

from rtx_operator.api.names import Label
from rtx_operator.cluster.read_cache import ReadCache
from rtx_operator.cluster.resources import CACHED_KINDS, CHILDREN, ENGINE, GRANDCHILDREN, OURS
from rtx_operator.controllers.base import Key
from rtx_operator.workqueue import WorkQueue

CHILD_EVENT_DELAY_SECONDS = 0.5  # events of children within this time share one reconcile


def registry(queue: WorkQueue[Key], read_cache: ReadCache) -> kopf.OperatorRegistry:
    """The watches of the operator, with a handler for each."""
    watched = kopf.OperatorRegistry()

    def event_of(kind: str) -> Callable[..., Awaitable[None]]:
        async def event(*, namespace: str | None, name: str, **_: Any) -> None:
            queue.add(Key(kind, namespace or "", name))

        return event

    async def child_event(*, namespace: str | None, labels: Mapping[str, str], **_: Any) -> None:
        # A rollout changes many children at a time; the delay lets their events share one reconcile.
        queue.add_after(Key(ENGINE.kind, namespace or "", labels[Label.ENGINE]), CHILD_EVENT_DELAY_SECONDS)

    async def cached_child_event(*, namespace: str | None, labels: Mapping[str, str], **event: Any) -> None:
        read_cache.changed((namespace or "", labels[Label.ENGINE]))
        await child_event(namespace=namespace, labels=labels, **event)

    kopf.on.login(registry=watched)(login)
    for ours in OURS.values():
        kopf.on.event(*_selector(ours.api_version), ours.plural, registry=watched)(event_of(ours.kind))
    for resource in (*CHILDREN, *GRANDCHILDREN):
        kopf.on.event(
            *_selector(resource.api_version), resource.plural, labels={Label.ENGINE: kopf.PRESENT}, registry=watched
        )(cached_child_event if resource in CACHED_KINDS else child_event)
    return watched


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
    # The API server filters, so that objects of other operators never reach this process.
    served = f"{Label.OPERATOR}={operator_class}" if operator_class else f"!{Label.OPERATOR}"
    for ours in OURS.values():
        chosen.watching.label_selectors[(*_selector(ours.api_version), ours.plural)] = served
    for resource in (*CHILDREN, *GRANDCHILDREN):
        chosen.watching.label_selectors[(*_selector(resource.api_version), resource.plural)] = Label.ENGINE.value
    return chosen


def _selector(api_version: str) -> tuple[str, str]:
    """(group, version) for kopf; the core group is the empty string."""
    group, _, version = api_version.rpartition("/")
    return group, version
