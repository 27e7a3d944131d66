"""An engine, what is desired of it, and what is observed of it: the input of decisions in tests."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from desired_servers import DESIRED_SERVERS
from rtx_operator.api.engine import TradingEngine
from rtx_operator.api.enums import Colour, Reason
from rtx_operator.api.names import Label
from rtx_operator.decision.decide import Decision, decide
from rtx_operator.desired.database.instances import ALONE, InstancesPlan
from rtx_operator.desired.state import DesiredColour, DesiredState, Revision, TrafficObjects, Workload
from rtx_operator.observation import Fence, FenceReport, Object, Observation

T = TypeVar("T")

UID = "uid-1"
OWNER = "trading/rtx/" + UID
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
REVISION = Revision("1.0.0", None, "c1", "h1")


def child(kind: str, name: str, *, owned: bool = True, **more: Any) -> Object:
    owners = [{"uid": UID, "controller": True}] if owned else []
    return {"kind": kind, "metadata": {"name": name, "uid": name, "generation": 1, "ownerReferences": owners}, **more}


def workload(kind: str, name: str, desired: int, ready: int) -> Object:
    status = {"observedGeneration": 1, "readyReplicas": ready, "updatedReplicas": ready}
    spec: Object = {"replicas": desired, "template": {"spec": {"containers": [{"name": "server"}]}}}
    return child(kind, name, spec=spec, status=status)


def job(**status: Any) -> Object:
    return child("Job", "rtx-migrate-h1", status=status)


def traffic_to(colour: Colour) -> TrafficObjects:
    deployment = Workload("Deployment", f"rtx-engine-{colour}", {"component": "engine", Label.COLOUR.value: colour})
    service = child("Service", "rtx-engine", spec={"selector": {Label.COLOUR.value: colour}})
    scaler = child("HorizontalPodAutoscaler", "rtx-engine", spec={"scaleTargetRef": {"name": deployment.name}})
    return TrafficObjects(service, (scaler,), deployment)


BASE_OBJECTS = (child("StatefulSet", "rtx-postgres"), child("StatefulSet", "rtx-redis"))
INSTALL = child("Job", "rtx-migrate-h1")
BLUE = DesiredColour(
    colour=Colour.BLUE,
    revision=REVISION,
    objects=(child("ControllerRevision", "rtx-engine-h1"), child("Deployment", "rtx-engine-blue")),
    install=INSTALL,
    migrate=child("Job", "rtx-migrate-h1-expand"),
    reverse=child("Job", "rtx-migrate-h1-down"),
    contract=child("Job", "rtx-migrate-h1-contract"),
    renew=child("Job", "rtx-migrate-h1-renew"),
)
TRAFFIC = {colour: traffic_to(colour) for colour in Colour}
TO_BLUE = (TRAFFIC[Colour.BLUE].select, *TRAFFIC[Colour.BLUE].scaling)
COLOUR_OBJECTS = (*BLUE.objects, *TO_BLUE)
TO_MIGRATE = (*BASE_OBJECTS, BLUE.controller_revision, INSTALL)
TO_START = (*TO_MIGRATE, *BLUE.objects[1:], *TO_BLUE)

DESIRED = DesiredState(
    active=BLUE,
    idle=None,
    traffic=TRAFFIC,
    wanted=REVISION,
    base_objects=BASE_OBJECTS,
    borrowed_revision=(),
    servers=DESIRED_SERVERS,
    instances=InstancesPlan(1, ALONE),
    live_service="rtx-engine",
    credentials_name="",
    minimum=3,
    maximum=10,
)


def engine(*, active: bool = False, epoch: int = 1, **spec: Any) -> TradingEngine:
    status: Object = {}
    if active:
        running = {"colour": "blue", "version": "1.0.0", "configHash": "c1", "revision": "h1", "epoch": epoch}
        status = {"observedGeneration": 1, "active": running}
    meta = {"namespace": "trading", "name": "rtx", "uid": UID, "generation": 1, "resourceVersion": "1"}
    stored_spec = {"version": "1.0.0", "image": {"repository": "example.com/rtx-engine"}, **spec}
    return TradingEngine.parse({"metadata": meta, "spec": stored_spec, "status": status})


def observed(*objects: Object, **fields: Any) -> Observation:
    return Observation(children={(found["kind"], found["metadata"]["name"]): found for found in objects}, **fields)


def endpoints(ready: int) -> Object:
    labels = {"kubernetes.io/service-name": "rtx-engine"}
    return {"metadata": {"labels": labels}, "endpoints": [{"conditions": {"ready": True}}] * ready}


DATABASE = workload("StatefulSet", "rtx-postgres", 1, 1)
CACHE = workload("StatefulSet", "rtx-redis", 1, 1)
OURS = FenceReport(Fence(1, ("blue",), "install", OWNER))
MIGRATED = job(conditions=[{"type": "Complete", "status": "True"}])
SERVING = observed(
    DATABASE,
    CACHE,
    MIGRATED,
    workload("Deployment", "rtx-engine-blue", 3, 3),
    endpoint_slices=(endpoints(3),),
    database=OURS,
)


def without(observation: Observation, kind: str, name: str) -> Observation:
    kept = {key: found for key, found in observation.children.items() if key != (kind, name)}
    return replace(observation, children=kept)


def with_(observation: Observation, *objects: Object) -> Observation:
    return replace(observation, children={**observation.children, **observed(*objects).children})


def decided(engine: TradingEngine, desired: DesiredState, observation: Observation) -> Decision:
    return decide(engine, desired, observation, NOON, "1.0.0-abcd")


def of_kind(kind: type[T], decision: Decision) -> T | None:
    """The one effect of this kind, if there is one."""
    (found,) = [effect for effect in decision.effects if isinstance(effect, kind)] or [None]
    return found


def reason(decision: Decision) -> Reason | None:
    return decision.unready.reason if decision.unready else None
