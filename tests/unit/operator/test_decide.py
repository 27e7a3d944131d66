"""The decision: an installation stage by stage, its failures, the fence, sizes and pruning."""

import copy
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import pytest
from desired_servers import DESIRED_SERVERS
from rtx_operator.api.engine import TradingEngine
from rtx_operator.api.enums import Colour, Reason
from rtx_operator.api.names import REQUIRED_CREDENTIALS, Label
from rtx_operator.api.status import Cutover
from rtx_operator.decision.decide import Decision, decide
from rtx_operator.decision.outcome import Outcome
from rtx_operator.decision.requeue import IMMEDIATELY, WAITING_SECONDS, requeue_after
from rtx_operator.desired.state import DesiredColour, DesiredState, Revision, TrafficObjects, Workload
from rtx_operator.observation import Fence, FenceReport, Object, Observation
from rtx_operator.operations.effects import MoveFence, Scale
from rtx_operator.results import Failure

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
    return child(kind, name, spec={"replicas": desired}, status=status)


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


INSTALLATION = [
    # (observation, reason, applied objects)
    (observed(), Reason.DATABASE_STARTING, BASE_OBJECTS),
    (observed(workload("StatefulSet", "rtx-postgres", 1, 0)), Reason.DATABASE_STARTING, BASE_OBJECTS),
    (observed(DATABASE, database=FenceReport()), Reason.CACHE_STARTING, BASE_OBJECTS),
    (observed(DATABASE, CACHE), Reason.DATABASE_UNREACHABLE, BASE_OBJECTS),
    (observed(DATABASE, CACHE, database=FenceReport()), Reason.FENCE_MOVING, BASE_OBJECTS),
    (observed(DATABASE, CACHE, database=OURS), Reason.MIGRATING, TO_MIGRATE),
    (observed(DATABASE, CACHE, job(active=1), database=OURS), Reason.MIGRATING, TO_MIGRATE),
    (
        observed(DATABASE, CACHE, MIGRATED, database=OURS),
        Reason.ENGINE_STARTING,
        TO_START,
    ),
    (
        with_(SERVING, workload("Deployment", "rtx-engine-blue", 3, 2)),
        Reason.ENGINE_STARTING,
        TO_START,
    ),
    (replace(SERVING, endpoint_slices=()), Reason.ENDPOINTS_PENDING, TO_START),
    (SERVING, None, TO_START),
]


@pytest.mark.parametrize(("observation", "waits_for", "applied"), INSTALLATION)
def test_installation_waits_for_each_stage(
    observation: Observation, waits_for: Reason | None, applied: tuple[Object, ...]
):
    decision = decided(engine(), DESIRED, observation)

    assert reason(decision) == waits_for
    assert decision.apply == applied
    assert decision.delete == ()
    assert (decision.state.active is None) == (waits_for is not None)


RESYNC = 300.0


@pytest.mark.parametrize(
    ("observation", "seconds"),
    [
        (observed(DATABASE, CACHE), WAITING_SECONDS),
        (observed(DATABASE, CACHE, database=FenceReport(error="no answer")), RESYNC),  # its first answer wakes it
        (observed(DATABASE, CACHE, job(active=1), database=OURS), WAITING_SECONDS),
        (SERVING, IMMEDIATELY),  # the installation ends with it: the servers' pods are kept from now on
    ],
)
def test_requeue_delay_follows_the_cause(observation: Observation, seconds: float):
    decision = decided(engine(), DESIRED, observation)

    assert requeue_after(decision, Outcome(), now=NOON, resync=RESYNC) == seconds


def test_serving_colour_becomes_active_with_the_epoch_of_the_fence():
    decision = decided(engine(), DESIRED, SERVING)

    assert decision.state.active is not None
    assert (decision.state.active.colour, decision.state.active.revision, decision.state.active.epoch) == (
        Colour.BLUE,
        "h1",
        1,
    )


def test_database_outage_is_reported_and_removes_no_object():
    decision = decided(engine(active=True), DESIRED, with_(SERVING, workload("StatefulSet", "rtx-postgres", 1, 0)))

    assert reason(decision) == Reason.DATABASE_STARTING
    assert decision.apply == BASE_OBJECTS + COLOUR_OBJECTS
    assert decision.state.active == engine(active=True).status.active


def test_deleted_job_of_an_installed_colour_does_not_run_again():
    decision = decided(engine(active=True), DESIRED, without(SERVING, "Job", "rtx-migrate-h1"))

    assert decision.unready is None
    assert decision.apply == BASE_OBJECTS + COLOUR_OBJECTS


def test_active_engine_is_ready_with_one_ready_pod():
    observation = with_(SERVING, workload("Deployment", "rtx-engine-blue", 3, 1))

    assert decided(engine(active=True), DESIRED, observation).unready is None
    assert reason(decided(engine(), DESIRED, observation)) == Reason.ENGINE_STARTING


@pytest.mark.parametrize(("name", "component"), [("rtx-postgres", "database"), ("rtx-redis", "cache")])
def test_server_whose_pod_hangs_on_a_lost_node_is_a_failure_with_the_command_that_helps(name: str, component: str):
    # Given a StatefulSet whose only pod should have ended ten minutes ago
    meta = {"name": f"{name}-0", "namespace": "trading", "labels": {"component": component}}
    lost = {"metadata": {**meta, "deletionTimestamp": "2026-01-01T11:50:00Z"}, "spec": {"nodeName": "node2"}}
    observation = replace(with_(SERVING, workload("StatefulSet", name, 1, 0)), pods=(lost,))

    # When it is decided about, then a person is told the node and the command
    decision = decided(engine(active=True), DESIRED, observation)
    assert isinstance(decision.unready, Failure)
    assert decision.unready.reason is Reason.NODE_LOST
    assert f"kubectl delete pod {name}-0 -n trading --force" in decision.unready.message


def test_failed_migration_is_a_failure_with_a_remedy():
    failed = job(conditions=[{"type": "Failed", "status": "True", "message": "backoff limit reached"}])
    decision = decided(engine(), DESIRED, observed(DATABASE, CACHE, failed, database=OURS))

    assert reason(decision) == Reason.MIGRATION_FAILED
    assert decision.unready is not None
    assert isinstance(decision.unready, Failure)
    assert "kubectl logs job/rtx-migrate-h1" in decision.unready.message
    assert decision.apply == TO_MIGRATE


def test_migration_past_its_deadline_is_restarted():
    late = job(conditions=[{"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}])
    decision = decided(engine(), DESIRED, observed(DATABASE, CACHE, late, database=OURS))

    assert reason(decision) == Reason.MIGRATING
    assert decision.delete == (late,)


def test_paused_engine_is_observed_without_effects():
    decision = decided(engine(paused=True), DESIRED, observed())

    assert reason(decision) == Reason.DATABASE_STARTING
    assert (decision.apply, decision.delete, decision.effects) == ((), (), ())


@pytest.mark.parametrize(
    ("secret", "expected"),
    [
        (None, "does not exist"),
        ({"data": dict.fromkeys(REQUIRED_CREDENTIALS[1:], "eA==")}, f"lacks {REQUIRED_CREDENTIALS[0]}"),
    ],
)
def test_missing_credentials_stop_the_installation(secret: Object | None, expected: str):
    desired = replace(DESIRED, credentials_name="mine")
    decision = decided(engine(), desired, replace(observed(), credentials=secret))

    assert reason(decision) == Reason.CREDENTIALS_MISSING
    assert decision.unready is not None
    assert expected in decision.unready.message
    assert decision.apply == ()


@pytest.mark.parametrize(
    "problem", [{"lost_secrets": ("rtx-internal",)}, {"unreadable_keys": ("DB_PASSWORD of Secret mine",)}]
)
def test_engine_without_its_passwords_is_repaired_but_for_its_pods(problem: dict[str, Any]):
    desired = replace(DESIRED, **problem)
    decision = decided(engine(active=True), desired, SERVING)

    assert isinstance(decision.unready, Failure)
    assert {applied["kind"] for applied in decision.apply} == {
        "ControllerRevision",
        "Service",
        "HorizontalPodAutoscaler",
    }
    assert decided(engine(), desired, SERVING).apply == ()


# --- the fence ---


def test_database_of_another_engine_is_not_used():
    theirs = FenceReport(Fence(7, ("blue",), "install", "trading/other/uid-2"))
    decision = decided(engine(), DESIRED, observed(DATABASE, CACHE, database=theirs))

    assert reason(decision) == Reason.DATABASE_IN_USE
    assert of_kind(MoveFence, decision) is None
    assert decision.apply == BASE_OBJECTS


def test_fence_of_an_earlier_epoch_moves_once_its_data_are_migrated():
    # Given a database whose restore has lost a move of the fence
    earlier = replace(SERVING, database=FenceReport(Fence(2, ("blue",), "x", OWNER)))
    running = engine(active=True, epoch=4)

    # When its data are not migrated again yet, then only that is done
    decision = decided(running, DESIRED, earlier)
    assert reason(decision) == Reason.DATA_MISSING
    assert decision.effects == ()
    assert BLUE.renew in decision.apply

    # And once they are, the fence moves above the epoch that was known
    done = {**BLUE.renew, "status": {"conditions": [{"type": "Complete", "status": "True"}]}}
    move = of_kind(MoveFence, decided(running, DESIRED, with_(earlier, done)))
    assert move is not None
    assert (move.executors, move.known_epoch, move.expected_epoch) == (("blue",), 4, 2)


@pytest.mark.parametrize(
    "fence",
    [
        None,  # a new database
        Fence(4, ("green",), "x", OWNER),  # another colour
        Fence(4, ("blue",), "x", "trading/rtx/uid-0"),  # an earlier incarnation of the same engine
    ],
)
def test_wrong_fence_is_moved_above_all_known_epochs(fence: Fence | None):
    decision = decided(engine(active=True, epoch=4), DESIRED, replace(SERVING, database=FenceReport(fence)))

    assert reason(decision) == Reason.FENCE_MOVING
    move = of_kind(MoveFence, decision)
    assert move is not None
    assert move.executors == ("blue",)
    assert move.known_epoch == 4
    assert move.expected_epoch == (fence.epoch if fence else None)


def test_fence_epoch_above_status_is_adopted():
    observation = replace(SERVING, database=FenceReport(Fence(9, ("blue",), "x", OWNER)))
    decision = decided(engine(active=True, epoch=4), DESIRED, observation)

    assert of_kind(MoveFence, decision) is None
    assert decision.state.active is not None
    assert decision.state.active.epoch == 9


# --- sizes and pruning ---


@pytest.mark.parametrize(("size", "wanted"), [(1, 3), (3, None), (7, None), (10, None), (12, 10), (0, 3)])
def test_only_a_size_out_of_bounds_is_corrected(size: int, wanted: int | None):
    observation = with_(SERVING, workload("Deployment", "rtx-engine-blue", size, size))
    scale = of_kind(Scale, decided(engine(active=True), DESIRED, observation))

    assert (scale.replicas if scale else None) == wanted
    assert scale is None or scale.why == f"had {size} pods, and spec.scaling allows 3 to 10: set to {wanted}"


def test_only_owned_objects_of_prunable_kinds_are_deleted():
    ours = [child("ConfigMap", "rtx-engine-old"), child("Job", "rtx-migrate-old")]
    kept = [
        child("PersistentVolumeClaim", "data-rtx-postgres-0"),
        child("Secret", "rtx-internal"),
        child("Deployment", "rtx-engine-green"),
        child("Service", "rtx-engine-green"),
        child("StatefulSet", "rtx-other"),
        child("ConfigMap", "theirs", owned=False),
    ]
    terminating = copy.deepcopy(child("ConfigMap", "terminating"))
    terminating["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    assert decided(engine(active=True), DESIRED, with_(SERVING, *ours, *kept, terminating)).delete == tuple(ours)


@pytest.mark.parametrize(
    ("phase", "conditions", "is_deleted"),
    [
        ("RolledBack", [], True),
        ("RolledBack", [{"type": "Failed", "status": "True"}], False),
        ("RollingBack", [], True),
        ("RollingBack", [{"type": "Failed", "status": "True"}], False),
        ("Migrating", [], False),
    ],
)
def test_job_that_has_not_ended_is_deleted_once_its_cutover_goes_back(
    phase: str, conditions: list[Object], is_deleted: bool
) -> None:
    # Given a migration Job of the last cutover
    since, release = "2026-01-01T12:00:00Z", {"version": "1.1.0", "revision": "h2"}
    cutover = {"id": "1.1.0-x", "phase": phase, "since": since, "startedAt": since}
    cutover |= {"from": {**release, "colour": "blue"}, "to": {**release, "colour": "green"}}
    late = child("Job", "rtx-migrate-h2", status={"conditions": conditions})
    late["metadata"]["labels"] = {"rtx-trading.com/cutover": "1.1.0-x"}
    running = engine(active=True)
    given = replace(running, status=running.status.model_copy(update={"cutover": Cutover.model_validate(cutover)}))

    # When the cutover goes back, then the Job is deleted unless it ran: its logs are kept, and it cannot run late
    assert (late in decided(given, DESIRED, with_(SERVING, late)).delete) is is_deleted
    # When the cutover needs another Job instead, then likewise: two at a time would wait for each other's lock
    replaced = replace(DESIRED, idle=DESIRED.active)
    assert (late in decided(given, replaced, with_(SERVING, late)).delete) is (not conditions)
