"""Reads where the volume of a database or cache can be."""

from rtx_operator.api.enums import Component
from rtx_operator.api.names import Names
from rtx_operator.cluster.client import Client
from rtx_operator.cluster.observe.objects import Children
from rtx_operator.cluster.resources import VOLUME, VOLUME_CLAIM
from rtx_operator.observation import Object


async def read_volume(client: Client, children: Children, names: Names, component: Component | None) -> Object | None:
    """The PersistentVolume of the component's claim; {} while none is bound to it; None without a component.

    Raises ApiError.
    """
    if component is None:
        return None
    claim = children.get((VOLUME_CLAIM.kind, names.claim(component))) or {}
    name = claim.get("spec", {}).get("volumeName", "")
    return (await client.get(VOLUME, "", name) if name else None) or {}
