"""Performs what is asked of Patroni, by ConfigMaps of its own: no request goes to a pod."""

import structlog

from rtx_operator.api.names import KEPT
from rtx_operator.cluster import events
from rtx_operator.cluster.client import Client, Object
from rtx_operator.cluster.events import EventReason
from rtx_operator.cluster.resources import CONFIG_MAP
from rtx_operator.observation import Owner
from rtx_operator.operations.effects import ForgetCluster, SwitchOver
from rtx_operator.patroni import CONFIGURATION

log = structlog.get_logger(__name__)


async def switch_over(client: Client, manifest: Object, owner: Owner, effect: SwitchOver) -> None:
    """Ask once: the request stays until Patroni has carried it out or refused it.

    Raises ConflictError when somebody else asks just now, and ApiError.
    """
    live = await client.get(CONFIG_MAP, owner.namespace, effect.config_map)
    if live is None:
        log.warning("no switchover: its ConfigMap is gone, until a server starts", config_map=effect.config_map)
        return
    asked = {"leader": effect.leader, "member": effect.candidate}
    if asked.items() <= (live["metadata"].get("annotations") or {}).items():
        return
    await client.merge(CONFIG_MAP, live, {"metadata": {"annotations": {**asked, "scheduled_at": None}}})
    log.info("switchover asked for", leader=effect.leader, candidate=effect.candidate)
    message = f"database server {effect.candidate} takes over from {effect.leader}"
    await events.record(client, manifest, EventReason.SWITCHED_OVER, message)


async def forget_cluster(client: Client, owner: Owner, effect: ForgetCluster) -> None:
    """Take away all that Patroni has written; its configuration is the operator's, and stays. Raises ApiError."""
    for name in effect.config_maps:
        live = await client.get(CONFIG_MAP, owner.namespace, name)
        annotations = (live or {}).get("metadata", {}).get("annotations") or {}
        said = [key for key in annotations if key != CONFIGURATION and key not in KEPT]
        if live is not None and said:
            await client.merge(CONFIG_MAP, live, {"metadata": {"annotations": dict.fromkeys(said)}})
            log.info("what Patroni says of the cluster is forgotten", config_map=name)
