"""The checks of a cutover after the fence move: Monitoring, Promoting and RollingBack."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cutover_contexts import (
    FAILS_AFTER_FENCE_MOVE,
    FAILS_BEFORE_FENCE_MOVE,
    INSTALLED,
    MISSING,
    at_drain_start,
    is_waiting,
    new_pod,
    passing,
    with_child,
    with_observed,
    with_reports,
    with_status,
)
from cutover_world import copied
from rtx_operator.api.enums import CutoverPhase, Reason
from rtx_operator.observation import FenceReport
from rtx_operator.operations.cutover.checks import monitoring, rollback, upgrade
from rtx_operator.operations.cutover.context import CutoverContext
from rtx_operator.pod_reports import EngineReport

FAILED = {"type": "Failed", "status": "True", "message": "backoff limit"}
GREEN = "rtx-engine-green"


# --- Monitoring ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("container", "before", "restarted"), [("engine", 1, True), ("engine", 2, False), ("injected", 0, False)]
)
def test_container_that_ends_after_the_switch_began_fails(container: str, before: int, *, restarted: bool) -> None:
    # Given a pod whose container has ended twice, some of it before the switch, whatever the clock of its node says
    given = passing(CutoverPhase.MONITORING)
    pod = new_pod(given)
    ended = {"terminated": {"exitCode": 137, "finishedAt": "2036-01-01T00:00:00Z"}}
    last = [{"name": container, "lastState": ended, "restartCount": 2}]
    ready = [{"type": "Ready", "status": "True"}]
    given = replace(given, cutover=given.cutover.model_copy(update={"restarts": {pod: before}}))

    unmet = monitoring.new_colour_lives(with_status(given, pod, conditions=ready, containerStatuses=last))

    assert (unmet is not None and unmet.reason is Reason.CONTAINER_RESTARTED) == restarted
    assert unmet is None or "exit code 137" in unmet.message


def with_served_requests(given: CutoverContext, **changes: Any) -> CutoverContext:
    """The context in which the first new pod served these requests, and the others none."""
    first, *others = [str(pod["metadata"]["name"]) for pod in given.ready_pods(given.new)]
    report = given.seen.engines[first]
    assert isinstance(report, EngineReport)
    assert report.executed
    counts = changes.pop("counts", (1000, 0, 0, 0))
    latency = replace(report.executed.latency_ms, counts=counts)
    fields = {"requests": sum(counts), "server_errors": 0, "latency_ms": latency, **changes}
    busy = replace(report, executed=replace(report.executed, **fields))
    idle = {name: replace(report, pod=name, executed=None) for name in others}
    return with_observed(given, engines={**given.seen.engines, first: busy, **idle})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"server_errors": 10}, None),  # 1 % is allowed
        ({"server_errors": 11}, Reason.TOO_MANY_ERRORS),
        ({"counts": (990, 0, 0, 10)}, None),
        ({"counts": (989, 0, 0, 11)}, Reason.TOO_SLOW),
        ({"counts": (15, 0, 0, 0), "server_errors": 1}, None),  # fewer than minimumRequests: chance explains one
        ({"counts": (15, 0, 0, 0), "server_errors": 3}, Reason.TOO_MANY_ERRORS),  # but not three
        ({"counts": (2, 0, 0, 0), "server_errors": 2}, Reason.TOO_MANY_ERRORS),
        ({"counts": (0, 0, 0, 19)}, None),  # latency of so few says nothing
        ({"server_errors": 1000, "epoch": 1}, None),  # of an earlier epoch
    ],
)
def test_only_an_exceeded_limit_fails(changes: dict[str, Any], reason: Reason | None) -> None:
    unmet = monitoring.limits_kept(with_served_requests(passing(CutoverPhase.MONITORING), **changes))

    assert (unmet.reason if unmet else None) == reason


def test_errors_of_one_pod_count_although_another_pod_does_not_respond() -> None:
    given = with_served_requests(passing(CutoverPhase.MONITORING), server_errors=500)
    *_, last = [str(pod["metadata"]["name"]) for pod in given.ready_pods(given.new)]

    unmet = monitoring.limits_kept(with_observed(given, engines={**given.seen.engines, last: "no answer"}))

    assert unmet is not None
    assert unmet.reason is Reason.TOO_MANY_ERRORS


def test_monitoring_time_counts_from_the_begin_of_the_phase() -> None:
    given = passing(CutoverPhase.MONITORING)

    at = given.cutover.since + timedelta(seconds=10)

    assert monitoring.monitored_long_enough(replace(given, now=at)) is None
    assert is_waiting(monitoring.monitored_long_enough(replace(given, now=at - timedelta(seconds=1))))


@pytest.mark.parametrize(
    ("changes", "drained"),
    [
        ({"websockets": 0, "quiet_seconds": 5.0}, True),
        ({"websockets": 1, "quiet_seconds": 5.0}, False),
        ({"websockets": 0, "quiet_seconds": 4.9}, False),
    ],
)
def test_old_colour_is_drained_without_websockets_and_recent_requests(changes: dict[str, Any], drained: bool) -> None:
    given = at_drain_start(passing(CutoverPhase.MONITORING))

    assert (monitoring.old_colour_drained(with_reports(given, **changes)) is None) == drained


def test_drain_ends_at_its_timeout() -> None:
    given = with_reports(at_drain_start(passing(CutoverPhase.MONITORING)), websockets=1)

    assert is_waiting(monitoring.old_colour_drained(given))
    assert monitoring.old_colour_drained(replace(given, now=given.now + timedelta(seconds=5))) is None


# --- Promoting -------------------------------------------------------------------------------------------------------


def test_version_whose_pods_are_not_autoscaled_is_not_promoted() -> None:
    given = passing(CutoverPhase.PROMOTING)
    (old,) = given.desired.traffic[given.old.colour].scaling

    assert is_waiting(upgrade.promoted(with_child(given, old)))


# --- RollingBack -----------------------------------------------------------------------------------------------------


def test_rollback_to_a_colour_without_ready_pods_fails() -> None:
    given = passing(CutoverPhase.ROLLING_BACK, *FAILS_AFTER_FENCE_MOVE)
    assert given.fence
    moved = with_observed(given, database=FenceReport(replace(given.fence, executors=("green",))))

    assert is_waiting(rollback.fence_names_old(moved))
    unmet = rollback.fence_names_old(with_observed(moved, pods=()))
    assert unmet is not None
    assert unmet.reason is Reason.CANNOT_ROLL_BACK


def test_rollback_needs_a_fence_move_of_its_own() -> None:
    # Given a fence that still names the old colour: a late move to the new one would still succeed
    given = passing(CutoverPhase.ROLLING_BACK, *FAILS_AFTER_FENCE_MOVE)
    assert given.fence

    before = with_observed(given, database=FenceReport(replace(given.fence, cutover="install")))

    assert is_waiting(rollback.fence_names_old(before))


def test_service_that_never_left_the_old_colour_needs_no_endpoints() -> None:
    assert (
        rollback.routed_to_old(MISSING["no slices"](passing(CutoverPhase.ROLLING_BACK, *FAILS_BEFORE_FENCE_MOVE)))
        is None
    )


def test_new_colour_that_executed_drains_before_it_is_emptied() -> None:
    # Given a rollback whose new colour still has WebSockets
    given = passing(CutoverPhase.ROLLING_BACK, *FAILS_AFTER_FENCE_MOVE)
    world = copied(INSTALLED)
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.MONITORING)
    pods = tuple(world.pods.values())
    reports = {name: world.report(name) for name in world.processes}
    busy = at_drain_start(with_observed(given, pods=pods, engines=reports))

    # When the check runs, then it waits; without a switch it passes
    assert is_waiting(rollback.new_colour_drained(busy))
    assert (
        rollback.new_colour_drained(passing(CutoverPhase.ROLLING_BACK, *FAILS_BEFORE_FENCE_MOVE)) is None
    )  # it never had traffic


def test_new_colour_is_empty_without_replicas_or_with_another_revision() -> None:
    given = passing(CutoverPhase.ROLLING_BACK, *FAILS_AFTER_FENCE_MOVE)
    green = given.seen.children["Deployment", GREEN]
    full = {**green, "spec": {**green["spec"], "replicas": 2}}
    labels = {**green["metadata"]["labels"], "rtx-trading.com/revision": "another"}
    foreign = {**full, "metadata": {**green["metadata"], "labels": labels}}

    assert is_waiting(rollback.new_colour_empty(with_child(given, full)))
    assert rollback.new_colour_empty(with_child(given, foreign)) is None


def test_failed_or_slow_reverse_migration_does_not_block_the_rollback() -> None:
    # Given a reverse migration that runs, and one that failed
    given = passing(CutoverPhase.ROLLING_BACK, *FAILS_BEFORE_FENCE_MOVE)
    desired = given.desired.of(given.new.colour)
    assert desired
    key = ("Job", desired.reverse["metadata"]["name"])
    running = with_child(given, {**given.seen.children[key], "status": {}})
    failed = with_child(given, {**running.seen.children[key], "status": {"conditions": [FAILED]}})

    # When it is checked, then only a running one waits, for at most five minutes
    assert is_waiting(rollback.reversed_(running))
    assert rollback.reversed_(failed) is None
    assert rollback.reversed_(replace(running, now=given.cutover.since + timedelta(minutes=6))) is None


def test_migrations_of_a_version_that_executed_are_not_reversed() -> None:
    assert rollback.reverses(passing(CutoverPhase.ROLLING_BACK, *FAILS_BEFORE_FENCE_MOVE))
    assert not rollback.reverses(passing(CutoverPhase.ROLLING_BACK, *FAILS_AFTER_FENCE_MOVE))
