"""TradingEngines and their objects as the API server has them, for the plugin's tests.

Each status is read by the operator's own model first, so that no test rests on a field that it does not write.
"""

from datetime import UTC, datetime
from typing import Any

from rtx_operator.api.enums import Colour, ConditionType, CutoverPhase, Reason
from rtx_operator.api.names import Label
from rtx_operator.api.status import TradingEngineStatus

Object = dict[str, Any]

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
OLD, NEW = "1.0.0", "1.1.0"
OLD_REVISION, NEW_REVISION = "aaaa1111", "bbbb2222"


def condition(kind: ConditionType, holds: bool, reason: Reason, message: str, generation: int = 3) -> Object:
    return {
        "type": kind.value,
        "status": "True" if holds else "False",
        "reason": reason.value,
        "message": message,
        "lastTransitionTime": "2026-11-27T11:58:00Z",
        "observedGeneration": generation,
    }


AT_REST = (
    condition(ConditionType.READY, True, Reason.SERVING, "2 of 2 engine pods ready"),
    condition(ConditionType.RECONCILING, False, Reason.DONE, "nothing is left to do"),
    condition(ConditionType.STALLED, False, Reason.DONE, "nothing is left to do"),
    condition(ConditionType.UP_TO_DATE, True, Reason.AS_SPECIFIED, "version 1.0.0 runs"),
)


def release(colour: Colour = Colour.BLUE, version: str = OLD, revision: str = OLD_REVISION, **more: Any) -> Object:
    return {"colour": colour.value, "version": version, "revision": revision, **more}


def active(**more: Any) -> Object:
    return {**release(), "image": f"localhost/rtx-engine:{OLD}", "configHash": "c1", "epoch": 7, **more}


def cutover(phase: CutoverPhase, identity: str = "cutover-1", **more: Any) -> Object:
    """From 1.0.0 in blue to 1.1.0 in green."""
    return {
        "id": identity,
        "phase": phase.value,
        "startedAt": "2026-11-27T11:59:00Z",
        "since": "2026-11-27T11:59:30Z",
        "from": release(),
        "to": release(Colour.GREEN, NEW, NEW_REVISION),
        **more,
    }


def engine(
    *conditions: Object, spec: Object | None = None, generation: int = 3, seen: int | None = None, **status: Any
) -> Object:
    """A TradingEngine at rest with version 1.0.0 in blue, but for what is given."""
    written = {
        "observedGeneration": generation if seen is None else seen,
        "conditions": list(conditions or AT_REST),
        "active": active(),
        "replicas": {"desired": 2, "ready": 2},
        "pods": "2/2",
        "history": [],
        **status,
    }
    TradingEngineStatus.model_validate(written)
    return {
        "apiVersion": "rtx-trading.com/v1alpha1",
        "kind": "TradingEngine",
        "metadata": {
            "name": "rtx",
            "namespace": "trading",
            "uid": "uid-1",
            "generation": generation,
            "resourceVersion": "10",
            "creationTimestamp": "2026-11-25T12:00:00Z",
        },
        "spec": {
            "version": OLD,
            "image": {"repository": "localhost/rtx-engine", "pullPolicy": "IfNotPresent"},
            **(spec or {}),
        },
        "status": written,
    }


def labels(component: str, colour: Colour | None = None, **more: str) -> dict[str, str]:
    of_colour = {Label.COLOUR.value: colour.value} if colour else {}
    return {Label.ENGINE.value: "rtx", Label.COMPONENT.value: component, **of_colour, **more}


def pod(
    name: str, component: str = "engine", colour: Colour | None = None, *, ready: bool = True, **status: Any
) -> Object:
    return {
        "kind": "Pod",
        "metadata": {
            "name": name,
            "uid": name,
            "labels": labels(component, colour),
            "creationTimestamp": "2026-11-27T11:00:00Z",
        },
        "spec": {"nodeName": f"node{len(name) % 3 + 1}"},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [{"restartCount": 0, "state": {"running": {}}}],
            **status,
        },
    }


def workload(kind: str, name: str, wanted: int, ready: int, image: str) -> Object:
    return {
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"replicas": wanted, "template": {"spec": {"containers": [{"image": image}]}}},
        "status": {"readyReplicas": ready},
    }


def claim(name: str, phase: str = "Bound") -> Object:
    return {
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {"resources": {"requests": {"storage": "1Gi"}}},
        "status": {"phase": phase},
    }


def record(revision: str, colour: Colour, made: str, refresh: str = "", **inputs: Any) -> Object:
    """The ControllerRevision of a colour."""
    data = {"layout": 1, "revision": revision, "inputs": inputs, **({"refresh": refresh} if refresh else {})}
    name = f"rtx-engine-{colour}-{revision}"
    meta = {"name": name, "labels": labels("engine", colour), "creationTimestamp": made}
    return {"kind": "ControllerRevision", "metadata": meta, "data": data}


SERVERS = (
    workload("StatefulSet", "rtx-postgres", 1, 1, "localhost/rtx-postgres:17"),
    workload("StatefulSet", "rtx-redis", 1, 1, "localhost/rtx-redis:8"),
    claim("data-rtx-postgres-0"),
    claim("data-rtx-redis-0"),
    pod("rtx-postgres-0", "database"),
    pod("rtx-redis-0", "cache"),
)
BLUE = (
    workload("Deployment", "rtx-engine-blue", 2, 2, f"localhost/rtx-engine:{OLD}"),
    pod("rtx-engine-blue-5d4-aa", colour=Colour.BLUE),
    pod("rtx-engine-blue-5d4-bbb", colour=Colour.BLUE),
)
SERVICE = {
    "kind": "Service",
    "metadata": {"name": "rtx-engine"},
    "spec": {"selector": labels("engine", Colour.BLUE)},
}
ENDPOINTS = {
    "kind": "EndpointSlice",
    "metadata": {"name": "rtx-engine-1", "labels": {"kubernetes.io/service-name": "rtx-engine"}},
    "endpoints": [{"conditions": {"ready": True}}],
}
AUTOSCALER = {
    "kind": "HorizontalPodAutoscaler",
    "metadata": {"name": "rtx-engine"},
    "spec": {"minReplicas": 2, "maxReplicas": 5},
    "status": {"currentReplicas": 2, "desiredReplicas": 2},
}
WHOLE = (*BLUE, *SERVERS, SERVICE, ENDPOINTS, AUTOSCALER)
