"""The decision, walked through an installation and through what can stand in its way."""

import copy
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import pytest
from rtx_operator.api.engine import TradingEngine
from rtx_operator.api.enums import Colour, Reason
from rtx_operator.api.names import REQUIRED_CREDENTIALS, Label
from rtx_operator.api.status import Cutover
from rtx_operator.decision.decide import Decision, decide
from rtx_operator.decision.outcome import Outcome
from rtx_operator.decision.requeue import UNREACHABLE_SECONDS, WAITING_SECONDS, requeue_after
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


def route(colour: Colour) -> TrafficObjects:
    deployment = Workload("Deployment", f"rtx-engine-{colour}", {"component": "engine", Label.COLOUR.value: colour})
    service = child("Service", "rtx-engine", spec={"selector": {Label.COLOUR.value: colour}})
    scaler = child("HorizontalPodAutoscaler", "rtx-engine", spec={"scaleTargetRef": {"name": deployment.name}})
    return TrafficObjects(service, (scaler,), deployment)


FOUNDATION = (child("StatefulSet", "rtx-postgres"), child("StatefulSet", "rtx-redis"))
INSTALL = child("Job", "rtx-migrate-h1")
BLUE = DesiredColour(
    colour=Colour.BLUE,
    revision=REVISION,
    objects=(child("ControllerRevision", "rtx-engine-h1"), child("Deployment", "rtx-engine-blue")),
    install=INSTALL,
    migrate=child("Job", "rtx-migrate-h1-expand"),
    reverse=child("Job", "rtx-migrate-h1-down"),
    contract=child("Job", "rtx-migrate-h1-contract"),
)
ROUTES = {colour: route(colour) for colour in Colour}
TO_BLUE = (ROUTES[Colour.BLUE].select, *ROUTES[Colour.BLUE].promote)
COLOUR = (*BLUE.objects, *TO_BLUE)

PLAN = DesiredState(
    active=BLUE,
    idle=None,
    traffic=ROUTES,
    wanted=REVISION,
    base_objects=FOUNDATION,
    borrowed_revision=(),
    database=Workload("StatefulSet", "rtx-postgres", {"component": "database"}),
    cache=Workload("StatefulSet", "rtx-redis", {"component": "cache"}),
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
    asked = {"version": "1.0.0", "image": {"repository": "example.com/rtx-engine"}, **spec}
    return TradingEngine.parse({"metadata": meta, "spec": asked, "status": status})


def world(*objects: Object, **seen: Any) -> Observation:
    return Observation(children={(found["kind"], found["metadata"]["name"]): found for found in objects}, **seen)


def endpoints(ready: int) -> Object:
    labels = {"kubernetes.io/service-name": "rtx-engine"}
    return {"metadata": {"labels": labels}, "endpoints": [{"conditions": {"ready": True}}] * ready}


DATABASE = workload("StatefulSet", "rtx-postgres", 1, 1)
CACHE = workload("StatefulSet", "rtx-redis", 1, 1)
OURS = FenceReport(Fence(1, ("blue",), "install", OWNER))
MIGRATED = job(conditions=[{"type": "Complete", "status": "True"}])
SERVING = world(
    DATABASE,
    CACHE,
    MIGRATED,
    workload("Deployment", "rtx-engine-blue", 3, 3),
    endpoint_slices=(endpoints(3),),
    database=OURS,
)


def without(seen: Observation, kind: str, name: str) -> Observation:
    return replace(seen, children={key: found for key, found in seen.children.items() if key != (kind, name)})


def with_(seen: Observation, *objects: Object) -> Observation:
    return replace(seen, children={**seen.children, **world(*objects).children})


def decided(engine: TradingEngine, desired: DesiredState, seen: Observation) -> Decision:
    return decide(engine, desired, seen, NOON, "1.0.0-abcd")


def of_kind(kind: type[T], decision: Decision) -> T | None:
    """The one effect of this kind, if there is one."""
    (found,) = [effect for effect in decision.effects if isinstance(effect, kind)] or [None]
    return found


def reason(decision: Decision) -> Reason | None:
    return decision.unready.reason if decision.unready else None


INSTALLATION = [
    # what is there, what it waits for, what is applied
    (world(), Reason.DATABASE_STARTING, FOUNDATION),
    (world(workload("StatefulSet", "rtx-postgres", 1, 0)), Reason.DATABASE_STARTING, FOUNDATION),
    (world(DATABASE, database=FenceReport()), Reason.CACHE_STARTING, FOUNDATION),
    (world(DATABASE, CACHE), Reason.DATABASE_UNREACHABLE, FOUNDATION),
    (world(DATABASE, CACHE, database=FenceReport()), Reason.FENCE_MOVING, FOUNDATION),
    (world(DATABASE, CACHE, database=OURS), Reason.MIGRATING, (*FOUNDATION, INSTALL)),
    (world(DATABASE, CACHE, job(active=1), database=OURS), Reason.MIGRATING, (*FOUNDATION, INSTALL)),
    (world(DATABASE, CACHE, MIGRATED, database=OURS), Reason.ENGINE_STARTING, (*FOUNDATION, INSTALL, *COLOUR)),
    (
        with_(SERVING, workload("Deployment", "rtx-engine-blue", 3, 2)),
        Reason.ENGINE_STARTING,
        (*FOUNDATION, INSTALL, *COLOUR),
    ),
    (replace(SERVING, endpoint_slices=()), Reason.ENDPOINTS_PENDING, (*FOUNDATION, INSTALL, *COLOUR)),
    (SERVING, None, (*FOUNDATION, INSTALL, *COLOUR)),
]


@pytest.mark.parametrize(("seen", "waits_for", "applied"), INSTALLATION)
def test_an_installation_goes_stage_by_stage(seen: Observation, waits_for: Reason | None, applied: tuple[Object, ...]):
    decision = decided(engine(), PLAN, seen)

    assert reason(decision) == waits_for
    assert decision.apply == applied
    assert decision.delete == ()
    assert (decision.state.active is None) == (waits_for is not None)


RESYNC = 300.0


@pytest.mark.parametrize(
    ("seen", "seconds"),
    [
        (world(DATABASE, CACHE), UNREACHABLE_SECONDS),  # no event tells that it answers
        (world(DATABASE, CACHE, job(active=1), database=OURS), WAITING_SECONDS),
        (SERVING, RESYNC),
    ],
)
def test_what_is_waited_for_says_when_to_look_again(seen: Observation, seconds: float):
    decision = decided(engine(), PLAN, seen)

    assert requeue_after(decision, Outcome(), now=NOON, resync=RESYNC) == seconds


def test_a_colour_that_serves_becomes_active_with_the_epoch_of_the_database():
    decision = decided(engine(), PLAN, SERVING)

    assert decision.state.active is not None
    assert (decision.state.active.colour, decision.state.active.revision, decision.state.active.epoch) == (
        Colour.BLUE,
        "h1",
        1,
    )


def test_the_database_down_after_the_installation_is_told_and_nothing_else_is_taken_away():
    decision = decided(engine(active=True), PLAN, with_(SERVING, workload("StatefulSet", "rtx-postgres", 1, 0)))

    assert reason(decision) == Reason.DATABASE_STARTING
    assert decision.apply == FOUNDATION + COLOUR
    assert decision.state.active == engine(active=True).status.active


def test_the_job_of_an_installed_colour_is_not_run_again_when_somebody_deleted_it():
    decision = decided(engine(active=True), PLAN, without(SERVING, "Job", "rtx-migrate-h1"))

    assert decision.unready is None
    assert decision.apply == FOUNDATION + COLOUR


def test_a_running_engine_serves_while_one_of_its_pods_does():
    seen = with_(SERVING, workload("Deployment", "rtx-engine-blue", 3, 1))

    assert decided(engine(active=True), PLAN, seen).unready is None
    assert reason(decided(engine(), PLAN, seen)) == Reason.ENGINE_STARTING


def test_a_failed_migration_stalls_and_says_what_to_do():
    failed = job(conditions=[{"type": "Failed", "status": "True", "message": "backoff limit reached"}])
    decision = decided(engine(), PLAN, world(DATABASE, CACHE, failed, database=OURS))

    assert reason(decision) == Reason.MIGRATION_FAILED
    assert decision.unready is not None
    assert isinstance(decision.unready, Failure)
    assert "kubectl logs job/rtx-migrate-h1" in decision.unready.message
    assert COLOUR[0] not in decision.apply


def test_a_migration_whose_time_was_over_is_started_again():
    late = job(conditions=[{"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}])
    decision = decided(engine(), PLAN, world(DATABASE, CACHE, late, database=OURS))

    assert reason(decision) == Reason.MIGRATING
    assert decision.delete == (late,)


def test_a_paused_engine_is_looked_at_and_left_alone():
    decision = decided(engine(paused=True), PLAN, world())

    assert reason(decision) == Reason.DATABASE_STARTING
    assert (decision.apply, decision.delete, decision.effects) == ((), (), ())


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        (None, "does not exist"),
        ({"data": dict.fromkeys(REQUIRED_CREDENTIALS[1:], "eA==")}, f"lacks {REQUIRED_CREDENTIALS[0]}"),
    ],
)
def test_without_the_users_credentials_no_pod_is_made(secret: Object | None, said: str):
    desired = replace(PLAN, credentials_name="mine")
    decision = decided(engine(), desired, replace(world(), credentials=secret))

    assert reason(decision) == Reason.CREDENTIALS_MISSING
    assert decision.unready is not None
    assert said in decision.unready.message
    assert decision.apply == ()


# --- the fence ---


def test_the_database_of_another_engine_is_left_alone():
    theirs = FenceReport(Fence(7, ("blue",), "install", "trading/other/uid-2"))
    decision = decided(engine(), PLAN, world(DATABASE, CACHE, database=theirs))

    assert reason(decision) == Reason.DATABASE_IN_USE
    assert of_kind(MoveFence, decision) is None
    assert decision.apply == FOUNDATION


@pytest.mark.parametrize(
    "fence",
    [
        None,  # a database that was made anew
        Fence(4, ("green",), "x", OWNER),  # names another colour
        Fence(2, ("blue",), "x", OWNER),  # a restore lost a move
        Fence(4, ("blue",), "x", "trading/rtx/uid-0"),  # an earlier incarnation of the same engine
    ],
)
def test_a_fence_that_is_not_what_it_should_be_is_moved_above_all_known_epochs(fence: Fence | None):
    decision = decided(engine(active=True, epoch=4), PLAN, replace(SERVING, database=FenceReport(fence)))

    assert reason(decision) == Reason.FENCE_MOVING
    move = of_kind(MoveFence, decision)
    assert move is not None
    assert move.executors == ("blue",)
    assert move.known_epoch == 4
    assert move.expected_epoch == (fence.epoch if fence else None)


def test_a_move_that_status_does_not_know_of_is_remembered():
    seen = replace(SERVING, database=FenceReport(Fence(9, ("blue",), "x", OWNER)))
    decision = decided(engine(active=True, epoch=4), PLAN, seen)

    assert of_kind(MoveFence, decision) is None
    assert decision.state.active is not None
    assert decision.state.active.epoch == 9


# --- sizes, and what is no longer wanted ---


@pytest.mark.parametrize(("size", "wanted"), [(1, 3), (3, None), (7, None), (10, None), (12, 10), (0, 3)])
def test_the_size_is_brought_within_its_bounds_and_otherwise_left_to_the_autoscaler(size: int, wanted: int | None):
    seen = with_(SERVING, workload("Deployment", "rtx-engine-blue", size, size))
    scale = of_kind(Scale, decided(engine(active=True), PLAN, seen))

    assert (scale.replicas if scale else None) == wanted


def test_only_our_own_expendable_objects_are_deleted_when_unnamed():
    ours = [child("ConfigMap", "rtx-engine-old"), child("Job", "rtx-migrate-old")]
    kept = [
        child("PersistentVolumeClaim", "data-rtx-postgres-0"),
        child("Secret", "rtx-internal"),
        child("Deployment", "rtx-engine-green"),
        child("Service", "rtx-engine-green"),
        child("StatefulSet", "rtx-other"),
        child("ConfigMap", "theirs", owned=False),
    ]
    going = copy.deepcopy(child("ConfigMap", "going"))
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    assert decided(engine(active=True), PLAN, with_(SERVING, *ours, *kept, going)).delete == tuple(ours)


@pytest.mark.parametrize(
    ("phase", "conditions", "is_deleted"),
    [
        ("RolledBack", [], True),
        ("RolledBack", [{"type": "Failed", "status": "True"}], False),
        ("RollingBack", [], False),
    ],
)
def test_a_migration_that_never_ran_does_not_outlive_its_cutover(
    phase: str, conditions: list[Object], is_deleted: bool
) -> None:
    # given the Job of the last cutover, which has ended or still waits for its image
    since, release = "2026-01-01T12:00:00Z", {"version": "1.1.0", "revision": "h2"}
    cutover = {"id": "1.1.0-x", "phase": phase, "since": since, "startedAt": since}
    cutover |= {"from": {**release, "colour": "blue"}, "to": {**release, "colour": "green"}}
    late = child("Job", "rtx-migrate-h2", status={"conditions": conditions})
    late["metadata"]["labels"] = {"rtx-trading.com/cutover": "1.1.0-x"}
    running = engine(active=True)
    given = replace(running, status=running.status.model_copy(update={"cutover": Cutover.model_validate(cutover)}))

    # when it is decided what is of no use, then logs of what ran are kept, and nothing runs late
    assert (late in decided(given, PLAN, with_(SERVING, late)).delete) is is_deleted
