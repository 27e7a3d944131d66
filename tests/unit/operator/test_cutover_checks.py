"""The checks of a cutover up to the switch, Migrating to Switching: passed, not yet, or never."""

import copy
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cutover_contexts import IGNORANCE, INSTALLED, context, new_pod, passing, seeing, waits, with_child, with_status
from cutover_world import copied
from rtx_operator.api.enums import CutoverPhase, Reason
from rtx_operator.observation import FenceReport
from rtx_operator.operations.cutover import checks
from rtx_operator.operations.cutover.checks import SWITCH_GATES
from rtx_operator.operations.cutover.context import CutoverContext
from rtx_operator.operations.cutover.phases import PHASES
from rtx_operator.pod_reports import ReachReport, SmokeResult
from rtx_operator.results import Check, Failure, Unmet, Waiting, worst_unmet

# --- Migrating -------------------------------------------------------------------------------------------------------


def job(given: CutoverContext, **status: Any) -> CutoverContext:
    desired = given.desired.of(given.new.colour)
    assert desired
    return with_child(given, {**given.seen.children["Job", desired.migrate["metadata"]["name"]], "status": status})


def test_a_migration_that_runs_is_waited_for_and_one_that_failed_is_the_end() -> None:
    given = passing(CutoverPhase.MIGRATING)

    assert waits(checks.migrated(job(given)))
    failed = checks.migrated(job(given, conditions=[{"type": "Failed", "status": "True", "message": "backoff limit"}]))
    assert failed is not None
    assert failed.reason is Reason.MIGRATION_FAILED
    assert "backoff limit" in failed.message
    assert "kubectl logs job/" in failed.message


def test_the_last_words_of_a_migration_are_told() -> None:
    given = job(passing(CutoverPhase.MIGRATING), conditions=[{"type": "Failed", "status": "True"}])
    desired = given.desired.of(given.new.colour)
    assert desired
    name = desired.migrate["metadata"]["name"]
    ended = {"terminated": {"exitCode": 1, "message": "starting\n0004_x.sql: relation t is locked\n"}}
    pod = {
        "metadata": {"name": "p", "labels": {"batch.kubernetes.io/job-name": name}},
        "status": {"containerStatuses": [{"state": ended}]},
    }

    said = checks.migrated(seeing(given, pods=(*given.seen.pods, pod)))

    assert said is not None
    assert "0004_x.sql: relation t is locked;" in said.message


def test_a_shape_that_is_not_known_any_more_is_not_waited_for() -> None:
    said = checks.migrated(
        replace(passing(CutoverPhase.MIGRATING), desired=replace(passing(CutoverPhase.MIGRATING).desired, idle=None))
    )

    assert said is not None
    assert said.reason is Reason.SUPERSEDED


# --- the new colour --------------------------------------------------------------------------------------------------


def test_the_new_colour_has_to_be_as_large_as_the_old_one_is_now() -> None:
    given = passing(CutoverPhase.PROVISIONING)
    blue = given.seen.children["Deployment", "rtx-engine-blue"]

    grown = with_child(given, {**blue, "spec": {**blue["spec"], "replicas": 3}})

    assert waits(checks.new_colour_ready(grown))


def test_pods_of_another_shape_do_not_count() -> None:
    given = passing(CutoverPhase.PROVISIONING)
    other = [
        {
            **pod,
            "metadata": {**pod["metadata"], "labels": {**pod["metadata"]["labels"], "rtx-trading.com/revision": "x"}},
        }
        for pod in given.seen.pods
    ]

    assert waits(checks.new_colour_ready(seeing(given, pods=tuple(other))))


def test_a_pod_of_another_shape_that_still_ends_is_waited_for() -> None:
    given = passing(CutoverPhase.PROVISIONING)
    [new, *_] = given.ready_pods(given.new)
    ending = copy.deepcopy(new)
    ending["metadata"] |= {"name": "before", "deletionTimestamp": "2026-01-01T12:00:00Z"}
    ending["metadata"]["labels"]["rtx-trading.com/revision"] = "x"
    gone = {**ending, "status": {**ending["status"], "phase": "Failed"}}

    said = checks.new_colour_ready(seeing(given, pods=(*given.seen.pods, ending)))

    assert waits(said)
    assert "pod before of another revision in green" in said.message
    assert checks.new_colour_ready(seeing(given, pods=(*given.seen.pods, gone))) is None


def test_what_keeps_pods_from_coming_up_may_pass_for_a_while() -> None:
    given = passing(CutoverPhase.PROVISIONING)
    state = {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}
    given = with_status(given, new_pod(given), containerStatuses=[{"name": "engine", "state": state, "image": "i"}])

    early = checks.new_colour_ready(replace(given, now=given.cutover.since + timedelta(seconds=44)))
    late = checks.new_colour_ready(replace(given, now=given.cutover.since + timedelta(seconds=46)))

    assert waits(early)
    assert late is not None
    assert late.reason is Reason.IMAGE_UNAVAILABLE


# --- the gates -------------------------------------------------------------------------------------------------------


def test_one_old_pod_that_does_not_reach_the_new_ones_is_enough_to_wait() -> None:
    given = passing(CutoverPhase.TESTING)
    first, *_ = given.seen.reach

    cut = seeing(given, reach={**given.seen.reach, first: ReachReport(False, "green", "connection timed out")})

    said = checks.old_pods_reach_new(cut)
    assert waits(said)
    assert said is not None
    assert first in said.message
    assert "connection timed out" in said.message


def test_pods_that_came_up_just_now_take_no_traffic_yet() -> None:
    given = passing(CutoverPhase.TESTING)

    just_now = replace(given, cutover=given.cutover.model_copy(update={"since": given.now}))

    assert worst_unmet(given, PHASES[CutoverPhase.TESTING].checks) is None
    assert waits(worst_unmet(just_now, PHASES[CutoverPhase.TESTING].checks))


def test_each_smoke_test_of_the_spec_has_to_pass() -> None:
    given = passing(CutoverPhase.TESTING)
    passed, _ = given.seen.smoke

    assert waits(checks.smoke_passes(seeing(given, smoke=(passed,))))
    said = checks.smoke_passes(seeing(given, smoke=(passed, SmokeResult("symbols", False, "503"))))
    assert said is not None
    assert "GET /api/symbols" in said.message
    assert "503" in said.message


@pytest.mark.parametrize("gate", SWITCH_GATES)
def test_the_gates_are_asked_again_before_the_fence_moves(gate: Check[CutoverContext]) -> None:
    missing = {checks.new_colour_ready: "no pods", checks.old_pods_reach_new: "reach was not asked"}.get(
        gate, "smoke was not tried"
    )
    world = copied(INSTALLED)
    world.ask(version="1.1.0")
    assert world.run_until(CutoverPhase.SWITCHING)
    given = context(world)
    waiting = checks.fence_names_new(given)
    assert waiting is not None
    assert "does not name green" in waiting.message

    assert checks.fence_names_new(IGNORANCE[missing](given)) == gate(IGNORANCE[missing](given))


def test_a_fence_that_is_behind_what_is_known_does_not_count() -> None:
    given = passing(CutoverPhase.SWITCHING)
    fence, active = given.fence, given.engine.status.active
    assert fence
    assert active

    behind = seeing(given, database=FenceReport(replace(fence, epoch=active.epoch - 1)))

    assert waits(checks.fence_names_new(behind))


def test_traffic_that_still_reaches_an_old_pod_is_not_switched() -> None:
    given = passing(CutoverPhase.SWITCHING)
    (slice_,) = given.seen.endpoint_slices
    old = str(given.ready_pods(given.old)[0]["metadata"]["name"])
    both = [*slice_["endpoints"], {"conditions": {"ready": True}, "targetRef": {"name": old}}]

    assert waits(checks.routed_to_new(seeing(given, endpoint_slices=({**slice_, "endpoints": both},))))


def test_a_new_colour_that_is_gone_after_the_fence_has_moved_is_the_end() -> None:
    said = checks.routed_to_new(seeing(passing(CutoverPhase.SWITCHING), pods=()))

    assert said is not None
    assert said.reason is Reason.NOT_READY


# --- the order -------------------------------------------------------------------------------------------------------


def test_what_never_will_be_passed_is_told_before_what_only_waits() -> None:
    def waiting(_: CutoverContext) -> Unmet:
        return Waiting("wait")

    def never(_: CutoverContext) -> Unmet:
        return Failure("never", Reason.TOO_SLOW)

    given = passing(CutoverPhase.MIGRATING)
    assert worst_unmet(given, (waiting, never)) == never(given)
    assert worst_unmet(given, (waiting, waiting)) == waiting(given)
    assert worst_unmet(given, ()) is None
