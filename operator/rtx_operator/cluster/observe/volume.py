"""Reads where the volume of a database or cache can be."""

from collections.abc import Iterable

from rtx_operator.api.enums import Component
from rtx_operator.api.names import Names
from rtx_operator.cluster.client import ApiError, Client
from rtx_operator.cluster.observe.objects import Children
from rtx_operator.cluster.resources import VOLUME, VOLUME_CLAIM
from rtx_operator.observation import Object

_FORBIDDEN = 403


async def read_volume(
    client: Client, children: Children, pods: Iterable[Object], names: Names, component: Component | None
) -> Object | None:
    """The PersistentVolume of the component's claim; {} while none is bound to it; None without a component.

    An operator with rights in some namespaces only may read no volume: then it can be where its pod runs now.
    Raises ApiError.
    """
    if component is None:
        return None
    claim = children.get((VOLUME_CLAIM.kind, names.claim(component))) or {}
    name = claim.get("spec", {}).get("volumeName", "")
    if not name:
        return {}
    try:
        return await client.get(VOLUME, "", name) or {}
    except ApiError as error:
        if error.code != _FORBIDDEN:
            raise
    return _on_the_node_of(f"{names.server(component)}-0", pods)


def _on_the_node_of(name: str, pods: Iterable[Object]) -> Object:
    nodes = [pod["spec"].get("nodeName") for pod in pods if pod["metadata"]["name"] == name]
    if not any(nodes):
        return {}
    field = {"key": "metadata.name", "operator": "In", "values": nodes}
    return {"spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchFields": [field]}]}}}}
