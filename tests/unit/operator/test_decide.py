"""The decision: an installation stage by stage, its failures, and sizes."""

from dataclasses import replace
from typing import Any

import pytest
from decision_objects import (
    BASE_OBJECTS,
    CACHE,
    COLOUR_OBJECTS,
    DATABASE,
    DESIRED,
    MIGRATED,
    NOON,
    OURS,
    SERVING,
    TO_MIGRATE,
    TO_START,
    decided,
    engine,
    job,
    observed,
    of_kind,
    reason,
    with_,
    without,
    workload,
)
from rtx_operator.api.enums import Colour, Reason
from rtx_operator.api.names import REQUIRED_CREDENTIALS
from rtx_operator.decision.outcome import Outcome
from rtx_operator.decision.requeue import IMMEDIATELY, WAITING_SECONDS, requeue_after
from rtx_operator.observation import FenceReport, Object, Observation
from rtx_operator.operations.effects import Scale
from rtx_operator.results import Failure

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


@pytest.mark.parametrize(("size", "wanted"), [(1, 3), (3, None), (7, None), (10, None), (12, 10), (0, 3)])
def test_only_a_size_out_of_bounds_is_corrected(size: int, wanted: int | None):
    observation = with_(SERVING, workload("Deployment", "rtx-engine-blue", size, size))
    scale = of_kind(Scale, decided(engine(active=True), DESIRED, observation))

    assert (scale.replicas if scale else None) == wanted
    assert scale is None or scale.why == f"had {size} pods, and spec.scaling allows 3 to 10: set to {wanted}"
