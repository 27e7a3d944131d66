"""Performs what is asked of Patroni, by the ConfigMaps in which it keeps its state: no request goes to a pod."""

import structlog

from rtx_operator.cluster import events
from rtx_operator.cluster.apply import Applier
from rtx_operator.cluster.client import Client, Object
from rtx_operator.cluster.events import EventReason
from rtx_operator.cluster.resources import CONFIG_MAP
from rtx_operator.observation import Owner
from rtx_operator.operations.effects import Configure, SwitchOver

log = structlog.get_logger(__name__)


async def configure(client: Client, applier: Applier, owner: Owner, effect: Configure) -> None:
    """Raises ConflictError when the ConfigMap has changed since it was observed, and ApiError."""
    changes = {"metadata": {"labels": dict(effect.labels), "annotations": dict(effect.annotations)}}
    written = await client.merge(CONFIG_MAP, effect.config_map, changes)
    applier.forget_child((owner.namespace, owner.name), {"kind": CONFIG_MAP.kind, **effect.config_map}, written)
    if effect.annotations:
        log.info("Patroni configured", config_map=written["metadata"]["name"], **effect.annotations)


async def switch_over(client: Client, manifest: Object, owner: Owner, effect: SwitchOver) -> None:
    """Ask once: the request stays until Patroni has carried it out or refused it. Raises ApiError."""
    asked = {"leader": effect.leader, "member": effect.candidate}
    live = await client.get(CONFIG_MAP, owner.namespace, effect.config_map)
    if live is None:
        meta = {"name": effect.config_map, "namespace": owner.namespace, "labels": dict(effect.labels)}
        await client.create(
            CONFIG_MAP, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**meta, "annotations": asked}}
        )
    elif asked.items() <= (live["metadata"].get("annotations") or {}).items():
        return
    else:
        await client.merge(CONFIG_MAP, live, {"metadata": {"annotations": {**asked, "scheduled_at": None}}})
    log.info("switchover asked for", leader=effect.leader, candidate=effect.candidate)
    message = f"database server {effect.candidate} takes over from {effect.leader}"
    await events.record(client, manifest, EventReason.SWITCHED_OVER, message)
