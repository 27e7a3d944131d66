"""kopf's events → the work queue. An event says that something happened to an engine, and nothing is done here but to
note which; what is to be done is found out by the reconcile, from what is true by then.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import kopf

from rtx_operator.api.names import Label
from rtx_operator.cluster.read_cache import ReadCache
from rtx_operator.cluster.resources import CACHED_KINDS, CHILDREN, ENGINE, GRANDCHILDREN, OURS
from rtx_operator.controllers.base import Key
from rtx_operator.workqueue import WorkQueue

CHILD_EVENT_DELAY_SECONDS = 0.5  # in which events of children become one reconcile


def registry(queue: WorkQueue[Key], read_cache: ReadCache) -> kopf.OperatorRegistry:
    """What is watched, and what each event does."""
    watched = kopf.OperatorRegistry()

    def event_of(kind: str) -> Callable[..., Awaitable[None]]:
        async def event(*, namespace: str | None, name: str, **_: Any) -> None:
            queue.add(Key(kind, namespace or "", name))

        return event

    async def child_event(*, namespace: str | None, labels: Mapping[str, str], **_: Any) -> None:
        # Children come in crowds: a moment of patience makes one reconcile of them.
        queue.add_after(Key(ENGINE.kind, namespace or "", labels[Label.ENGINE]), CHILD_EVENT_DELAY_SECONDS)

    async def resting_child_event(*, namespace: str | None, labels: Mapping[str, str], **event: Any) -> None:
        read_cache.changed((namespace or "", labels[Label.ENGINE]))
        await child_event(namespace=namespace, labels=labels, **event)

    kopf.on.login(registry=watched)(login)
    for ours in OURS.values():
        kopf.on.event(*_selector(ours.api_version), ours.plural, registry=watched)(event_of(ours.kind))
    for resource in (*CHILDREN, *GRANDCHILDREN):
        kopf.on.event(
            *_selector(resource.api_version), resource.plural, labels={Label.ENGINE: kopf.PRESENT}, registry=watched
        )(resting_child_event if resource in CACHED_KINDS else child_event)
    return watched


async def login(**arguments: Any) -> kopf.ConnectionInfo | None:
    """As the ServiceAccount of the pod, else as the current context of KUBECONFIG."""
    return kopf.login_with_service_account(**arguments) or kopf.login_with_kubeconfig(**arguments)


def settings(operator_class: str) -> kopf.OperatorSettings:
    """Kopf without what it would do by itself: no peering, no Events from logs, no scanning; bounded requests."""
    chosen = kopf.OperatorSettings()
    chosen.peering.standalone = True
    chosen.posting.enabled = False
    chosen.scanning.disabled = True
    chosen.networking.request_timeout = 30
    chosen.watching.server_timeout = 300
    chosen.watching.client_timeout = 310
    # Filtered by the API server, so that objects of others never reach this process.
    served = f"{Label.OPERATOR}={operator_class}" if operator_class else f"!{Label.OPERATOR}"
    for ours in OURS.values():
        chosen.watching.label_selectors[(*_selector(ours.api_version), ours.plural)] = served
    for resource in (*CHILDREN, *GRANDCHILDREN):
        chosen.watching.label_selectors[(*_selector(resource.api_version), resource.plural)] = Label.ENGINE.value
    return chosen


def _selector(api_version: str) -> tuple[str, str]:
    """(group, version) as kopf wants them; the core group is empty."""
    group, _, version = api_version.rpartition("/")
    return group, version
