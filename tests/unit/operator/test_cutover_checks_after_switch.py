"""The checks of a cutover after the fence has moved: Monitoring, Promoting and RollingBack."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cutover_contexts import (
    BACK_AGAIN,
    IGNORANCE,
    INSTALLED,
    UNTESTED,
    drains_no_longer_than_it_takes,
    new_pod,
    passing,
    seeing,
    waits,
    with_child,
    with_reports,
    with_status,
)
from cutover_world import copied
from rtx_operator.api.enums import CutoverPhase, Reason
from rtx_operator.observation import FenceReport
from rtx_operator.operations.cutover import checks
from rtx_operator.operations.cutover.context import CutoverContext
from rtx_operator.pod_reports import EngineReport

FAILED = {"type": "Failed", "status": "True", "message": "backoff limit"}
GREEN = "rtx-engine-green"


# --- Monitoring ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "restarted"), [(-5, False), (5, True)])
def test_a_container_that_ends_after_the_fence_has_moved_is_the_end(seconds: int, restarted: bool) -> None:
    given = passing(CutoverPhase.MONITORING)
    assert given.cutover.fenced_at
    at = (given.cutover.fenced_at + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    last = [{"name": "engine", "lastState": {"terminated": {"exitCode": 137, "finishedAt": at}}}]
    ready = [{"type": "Ready", "status": "True"}]

    said = checks.new_colour_lives(with_status(given, new_pod(given), conditions=ready, containerStatuses=last))

    assert (said is not None and said.reason is Reason.CONTAINER_RESTARTED) == restarted


def answered(given: CutoverContext, **changes: Any) -> CutoverContext:
    """The first new pod has answered so, the others nothing."""
    first, *others = [str(pod["metadata"]["name"]) for pod in given.ready_pods(given.new)]
    report = given.seen.engines[first]
    assert isinstance(report, EngineReport)
    assert report.executed
    counts = changes.pop("counts", (1000, 0, 0, 0))
    latency = replace(report.executed.latency_ms, counts=counts)
    fields = {"requests": sum(counts), "server_errors": 0, "latency_ms": latency, **changes}
    spoken = replace(report, executed=replace(report.executed, **fields))
    silent = {name: replace(report, pod=name, executed=None) for name in others}
    return seeing(given, engines={**given.seen.engines, first: spoken, **silent})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"server_errors": 10}, None),  # one per cent is allowed
        ({"server_errors": 11}, Reason.TOO_MANY_ERRORS),
        ({"counts": (990, 0, 0, 10)}, None),
        ({"counts": (989, 0, 0, 11)}, Reason.TOO_SLOW),
        ({"counts": (19, 0, 0, 0), "server_errors": 19}, None),  # too few to say anything
        ({"server_errors": 1000, "epoch": 1}, None),  # of an earlier epoch
    ],
)
def test_limits_are_kept_or_not(changes: dict[str, Any], reason: Reason | None) -> None:
    said = checks.limits_kept(answered(passing(CutoverPhase.MONITORING), **changes))

    assert (said.reason if said else None) == reason


def test_a_bad_answer_counts_although_another_pod_is_silent() -> None:
    given = answered(passing(CutoverPhase.MONITORING), server_errors=500)
    *_, last = [str(pod["metadata"]["name"]) for pod in given.ready_pods(given.new)]

    said = checks.limits_kept(seeing(given, engines={**given.seen.engines, last: "no answer"}))

    assert said is not None
    assert said.reason is Reason.TOO_MANY_ERRORS


def test_a_version_is_watched_from_the_fences_move_on() -> None:
    given = passing(CutoverPhase.MONITORING)
    assert given.cutover.fenced_at

    at = given.cutover.fenced_at + timedelta(seconds=10)

    assert checks.monitored_long_enough(replace(given, now=at)) is None
    assert waits(checks.monitored_long_enough(replace(given, now=at - timedelta(seconds=1))))


@pytest.mark.parametrize(
    ("changes", "drained"),
    [
        ({"websockets": 0, "quiet_seconds": 5.0}, True),
        ({"websockets": 1, "quiet_seconds": 5.0}, False),
        ({"websockets": 0, "quiet_seconds": 4.9}, False),
    ],
)
def test_an_old_colour_is_drained_when_nobody_asks_it_any_more(changes: dict[str, Any], drained: bool) -> None:
    given = drains_no_longer_than_it_takes(passing(CutoverPhase.MONITORING))

    assert (checks.old_colour_drained(with_reports(given, **changes)) is None) == drained


def test_a_drain_is_over_when_its_time_is() -> None:
    given = with_reports(drains_no_longer_than_it_takes(passing(CutoverPhase.MONITORING)), websockets=1)

    assert waits(checks.old_colour_drained(given))
    assert checks.old_colour_drained(replace(given, now=given.now + timedelta(seconds=5))) is None


# --- Promoting -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["HorizontalPodAutoscaler", "PodDisruptionBudget"])
def test_what_is_on_the_old_colour_is_not_promoted(kind: str) -> None:
    given = passing(CutoverPhase.PROMOTING)
    (old,) = [one for one in given.desired.traffic[given.old.colour].promote if one["kind"] == kind]

    assert waits(checks.promoted(with_child(given, old)))


# --- RollingBack -----------------------------------------------------------------------------------------------------


def test_there_is_no_way_back_to_a_colour_without_a_ready_pod() -> None:
    given = passing(CutoverPhase.ROLLING_BACK, *BACK_AGAIN)
    assert given.fence
    forth = seeing(given, database=FenceReport(replace(given.fence, executors=("green",))))

    assert waits(checks.fence_names_old(forth))
    said = checks.fence_names_old(seeing(forth, pods=()))
    assert said is not None
    assert said.reason is Reason.CANNOT_ROLL_BACK


def test_the_fence_has_gone_back_only_in_the_way_backs_own_epoch() -> None:
    # Given a fence that names the old colour as it did before: a move forth that is on its way would still arrive
    given = passing(CutoverPhase.ROLLING_BACK, *BACK_AGAIN)
    assert given.fence

    before = seeing(given, database=FenceReport(replace(given.fence, cutover="install")))

    assert waits(checks.fence_names_old(before))


def test_a_service_that_never_left_the_old_colour_needs_no_endpoints() -> None:
    assert checks.routed_to_old(IGNORANCE["no slices"](passing(CutoverPhase.ROLLING_BACK, *UNTESTED))) is None


def test_a_new_colour_that_executed_drains_before_it_is_emptied() -> None:
    given = passing(CutoverPhase.ROLLING_BACK, *BACK_AGAIN)
    world = copied(INSTALLED)
    world.ask(version="1.1.0")
    assert world.run_until(CutoverPhase.MONITORING)
    pods = tuple(world.pods.values())
    reports = {name: world.report(name) for name in world.processes}
    cutover = given.cutover.model_copy(update={"restored_at": given.now})

    busy = replace(seeing(given, pods=pods, engines=reports), cutover=cutover)

    assert waits(checks.new_colour_drained(busy))
    assert checks.new_colour_drained(passing(CutoverPhase.ROLLING_BACK, *UNTESTED)) is None  # nobody was ever led to it


def test_a_new_colour_is_empty_when_its_deployment_is_or_is_of_another_shape() -> None:
    given = passing(CutoverPhase.ROLLING_BACK, *BACK_AGAIN)
    green = given.seen.children["Deployment", GREEN]
    full = {**green, "spec": {**green["spec"], "replicas": 2}}
    labels = {**green["metadata"]["labels"], "rtx-trading.com/revision": "another"}
    theirs = {**full, "metadata": {**green["metadata"], "labels": labels}}

    assert waits(checks.new_colour_empty(with_child(given, full)))
    assert checks.new_colour_empty(with_child(given, theirs)) is None


def test_a_reverse_migration_that_fails_or_takes_too_long_is_left() -> None:
    given = passing(CutoverPhase.ROLLING_BACK, *UNTESTED)
    desired = given.desired.of(given.new.colour)
    assert desired
    key = ("Job", desired.reverse["metadata"]["name"])
    running = with_child(given, {**given.seen.children[key], "status": {}})
    failed = with_child(given, {**running.seen.children[key], "status": {"conditions": [FAILED]}})

    assert waits(checks.reversed_(running))
    assert checks.reversed_(failed) is None
    assert checks.reversed_(replace(running, now=given.cutover.since + timedelta(minutes=6))) is None


def test_what_has_executed_is_not_reversed() -> None:
    assert checks.reverses(passing(CutoverPhase.ROLLING_BACK, *UNTESTED))
    assert not checks.reverses(passing(CutoverPhase.ROLLING_BACK, *BACK_AGAIN))
