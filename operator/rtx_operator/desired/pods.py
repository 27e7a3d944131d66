"""The values that pods of every component have from the spec: where they run, as whom, with which labels."""

from collections.abc import Mapping, Sequence
from typing import Any

from rtx_operator.api.names import GROUP
from rtx_operator.api.schema import ApiModel
from rtx_operator.api.spec import PodSecurityContext, Scheduling
from rtx_operator.desired.render import Object

ZONE = "topology.kubernetes.io/zone"
NODE = "kubernetes.io/hostname"
CREDENTIALS = f"{GROUP}/credentials"  # annotation with a fingerprint: a new one restarts the pods


def plain(model: ApiModel) -> Object:
    """The model as a manifest has it, without what is unset and without empty lists."""
    dumped: Object = _without_empty_lists(model.model_dump(mode="json", by_alias=True, exclude_none=True))
    return dumped


def _without_empty_lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_empty_lists(inner) for key, inner in value.items() if inner != []}
    return [_without_empty_lists(inner) for inner in value] if isinstance(value, list) else value


def scheduling_values(scheduling: Scheduling) -> Object:
    """node_selector, tolerations, affinity, topology_spread, priority_class; empty where the spec leaves it out."""
    return {
        "node_selector": dict(scheduling.node_selector),
        "tolerations": [plain(one) for one in scheduling.tolerations],
        "affinity": scheduling.affinity,
        "topology_spread": [plain(one) for one in scheduling.topology_spread_constraints or []],
        "priority_class": scheduling.priority_class_name or "",
    }


def spread_evenly(*topology_keys: str) -> list[Object]:
    """A preference for an equal number of pods in every domain of these node labels."""
    return [{"topologyKey": key, "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway"} for key in topology_keys]


def counting(constraints: Sequence[Object], selector: Mapping[str, str]) -> list[Object]:
    """The constraints for the pods that `selector` selects."""
    return [{**one, "labelSelector": {"matchLabels": dict(selector)}} for one in constraints]


def security_context(asked: PodSecurityContext | None, default: Mapping[str, Any]) -> Object:
    """The securityContext of a pod: `default`'s users and groups, or exactly those that are asked for."""
    users = default if asked is None else plain(asked)
    return {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}, **users}


def credentials_of(pod: Mapping[str, Any]) -> str:
    """The fingerprint of the passwords with which a pod, or pods of a template, started; empty when it is not known."""
    return str((pod["metadata"].get("annotations") or {}).get(CREDENTIALS, ""))


def annotations(asked: Mapping[str, str], fingerprint: str) -> dict[str, str]:
    """The annotations of a pod; `fingerprint` is of its credentials, empty while they are not known."""
    return {**asked, **({CREDENTIALS: fingerprint} if fingerprint else {})}
