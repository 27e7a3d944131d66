"""What an engine's Deployments tell of its past when status does not: whether it has served, and with which colours."""

from rtx_operator.api.enums import Colour
from rtx_operator.api.names import Names
from rtx_operator.observation import Object, Observation, revision_of

_ALL_WERE_READY = "NewReplicaSetAvailable"  # reason of Progressing, which stays until the template changes


def colour_deployment(names: Names, uid: str, seen: Observation, colour: Colour) -> Object | None:
    """The colour's Deployment; None also when it goes with an earlier TradingEngine, which owns it."""
    deployment = seen.child("Deployment", names.colour(colour))
    if deployment is None or not revision_of(deployment):
        return None
    owners = {owner["uid"] for owner in deployment["metadata"].get("ownerReferences") or []}
    return deployment if owners <= {uid} else None


def has_served(names: Names, uid: str, seen: Observation) -> bool:
    """Whether a pod of the engine is ready, or all of a colour were at some time."""
    found = (colour_deployment(names, uid, seen, colour) for colour in Colour)
    return any(ready_pods(one) > 0 or was_complete(one) for one in found if one)


def was_complete(deployment: Object) -> bool:
    """Whether all pods of its template were ready at some time: the Deployment controller remembers that."""
    conditions = deployment.get("status", {}).get("conditions") or []
    return any(one["type"] == "Progressing" and one.get("reason") == _ALL_WERE_READY for one in conditions)


def ready_pods(deployment: Object) -> int:
    """The ready pods of the Deployment, of whatever template."""
    return int(deployment.get("status", {}).get("readyReplicas", 0))
