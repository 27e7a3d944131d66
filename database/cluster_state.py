"""The state of the cluster in Patroni's ConfigMaps: what is to be done with one of them. Pure.

Which data the cluster is about, who leads, who may be promoted: that is worth as much as the data, so the volume claims
own it. It goes when the last of them goes, and no sooner (ADR 0119).
"""

from collections.abc import Collection
from enum import Enum
from typing import Any

NAMES = ("config", "leader", "sync", "failover")  # end the names of the ConfigMaps: Patroni chooses them
CONFIGURATION = "config"  # the annotation that is the operator's, not a state
SCOPE_LABEL = "rtx-trading.com/database-cluster"
CLAIM = "PersistentVolumeClaim"

Object = dict[str, Any]


class Due(Enum):
    """What is due for a ConfigMap, before a member may rely on it."""

    NOTHING = "nothing"
    OWN = "own"  # the member's claim becomes one of its owners
    EMPTY = "empty"  # it is about volumes that are gone


def due(live: Object, mine: Object, claims: Collection[str]) -> Due:
    """`mine` is the member's claim as an owner reference, `claims` are the uids of all claims of the cluster."""
    owners = {one["uid"] for one in live["metadata"].get("ownerReferences", []) if one["kind"] == CLAIM}
    if owners and not owners & set(claims):
        return Due.EMPTY
    return Due.NOTHING if mine["uid"] in owners else Due.OWN


def new(name: str, cluster: str, mine: Object) -> Object:
    """A ConfigMap that Patroni has not made yet."""
    metadata = {"name": name, "labels": {SCOPE_LABEL: cluster}, "ownerReferences": [mine]}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


def owned(live: Object, mine: Object) -> Object:
    """The merge patch that adds the owner."""
    return _patch(live, [*live["metadata"].get("ownerReferences", []), mine], {})


def emptied(live: Object, mine: Object) -> Object:
    """The merge patch that takes away what it says, and the owners that are gone."""
    others = [one for one in live["metadata"].get("ownerReferences", []) if one["kind"] != CLAIM]
    said = [key for key in live["metadata"].get("annotations") or {} if key != CONFIGURATION]
    return _patch(live, [*others, mine], dict.fromkeys(said))


def _patch(live: Object, owners: list[Object], annotations: Object) -> Object:
    version = live["metadata"]["resourceVersion"]
    return {"metadata": {"resourceVersion": version, "ownerReferences": owners, "annotations": annotations}}


def owner(claim: Object) -> Object:
    """The owner reference to a claim."""
    meta = claim["metadata"]
    return {"apiVersion": "v1", "kind": CLAIM, "name": meta["name"], "uid": meta["uid"]}
