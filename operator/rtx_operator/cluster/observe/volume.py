"""Reads where the volumes of a database or cache can be."""

import asyncio
from collections.abc import Iterable, Mapping

from rtx_operator.api.enums import Component
from rtx_operator.api.names import Names
from rtx_operator.cluster.client import ApiError, Client
from rtx_operator.cluster.observe.objects import Children
from rtx_operator.cluster.resources import STATEFUL_SET, VOLUME, VOLUME_CLAIM
from rtx_operator.observation import Object, replicas

_FORBIDDEN = 403


async def read_volumes(
    client: Client, children: Children, pods: Iterable[Object], names: Names, component: Component | None
) -> Mapping[str, Object] | None:
    """The PersistentVolumes of the component's servers, by claim; {}: not bound. None without a component.

    Claims of servers that are there no longer do not count. Raises ApiError.
    """
    if component is None:
        return None
    size, _ = replicas(children.get((STATEFUL_SET.kind, names.server(component))))
    claims = [names.claim(component, ordinal) for ordinal in range(max(1, size))]
    found = await asyncio.gather(*(_read(client, children, pods, claim) for claim in claims))
    return dict(zip(claims, found, strict=True))


async def _read(client: Client, children: Children, pods: Iterable[Object], claim: str) -> Object:
    """An operator with rights in some namespaces only may read no volume: then it can be where its pod runs now."""
    name = (children.get((VOLUME_CLAIM.kind, claim)) or {}).get("spec", {}).get("volumeName", "")
    if not name:
        return {}
    try:
        return await client.get(VOLUME, "", name) or {}
    except ApiError as error:
        if error.code != _FORBIDDEN:
            raise
    return _on_the_node_of(claim.removeprefix("data-"), pods)


def _on_the_node_of(name: str, pods: Iterable[Object]) -> Object:
    nodes = [pod["spec"].get("nodeName") for pod in pods if pod["metadata"]["name"] == name]
    if not any(nodes):
        return {}
    field = {"key": "metadata.name", "operator": "In", "values": nodes}
    return {"spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchFields": [field]}]}}}}
