"""The checks of a cutover from Migrating to Switching: each passes, waits or fails."""

import copy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cutover_contexts import (
    INSTALLED,
    MISSING,
    context,
    is_waiting,
    new_pod,
    passing,
    with_child,
    with_observed,
    with_status,
)
from cutover_world import copied
from rtx_operator.api.enums import CutoverPhase, Reason
from rtx_operator.api.status import Cutover
from rtx_operator.observation import BlockingSession, FenceReport
from rtx_operator.operations.cutover.checks import upgrade
from rtx_operator.operations.cutover.context import CutoverContext
from rtx_operator.operations.cutover.phases import PHASES
from rtx_operator.pod_reports import ReachReport, SmokeResult
from rtx_operator.results import Check, Failure, Unmet, Waiting, worst_unmet

# --- Migrating -------------------------------------------------------------------------------------------------------


def job(given: CutoverContext, **status: Any) -> CutoverContext:
    desired = given.desired.of(given.new.colour)
    assert desired
    return with_child(given, {**given.seen.children["Job", desired.migrate["metadata"]["name"]], "status": status})


def test_running_migration_waits_and_failed_migration_fails() -> None:
    given = passing(CutoverPhase.MIGRATING)

    assert is_waiting(upgrade.migrated(job(given)))
    failed = upgrade.migrated(job(given, conditions=[{"type": "Failed", "status": "True", "message": "backoff limit"}]))
    assert failed is not None
    assert failed.reason is Reason.MIGRATION_FAILED
    assert "backoff limit" in failed.message
    assert "kubectl logs job/" in failed.message


def test_waiting_migration_names_the_session_for_which_it_waits() -> None:
    # Given a migration Job that runs, and a report's old snapshot in the database
    since = datetime(2026, 1, 1, 11, 58, 30, tzinfo=UTC)
    report = BlockingSession(4711, "psql", "analyst", "10.0.0.7", "idle in transaction", since)
    given = job(passing(CutoverPhase.MIGRATING))

    unmet = upgrade.migrated(with_observed(given, database=FenceReport(given.fence, blocking=(report,))))

    # Then the message has who it is, since when, and how to end it
    assert is_waiting(unmet)
    assert unmet is not None
    assert "session 4711 (psql, role analyst, from 10.0.0.7, idle in transaction" in unmet.message
    assert "since 2026-01-01 11:58:30 UTC" in unmet.message
    assert "SELECT pg_terminate_backend(4711)" in unmet.message


def test_migration_pod_on_a_lost_node_fails_the_migration_by_its_name() -> None:
    # Given a migration Job whose pod should have ended two minutes ago
    given = job(passing(CutoverPhase.MIGRATING))
    desired = given.desired.of(given.new.colour)
    assert desired
    until = (given.now - timedelta(minutes=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    labels = {"batch.kubernetes.io/job-name": desired.migrate["metadata"]["name"]}
    lost = {"metadata": {"name": "p", "labels": labels, "deletionTimestamp": until}, "spec": {"nodeName": "node2"}}
    stuck = with_observed(given, pods=(*given.seen.pods, lost))

    # When it is checked, then it is reported, and fails the migration once it has lasted
    assert is_waiting(upgrade.migrated(stuck))
    unmet = upgrade.migrated(replace(stuck, cutover=begun_before(stuck, timedelta(minutes=1))))
    assert unmet is not None
    assert unmet.reason is Reason.NODE_LOST


def begun_before(given: CutoverContext, elapsed: timedelta) -> Cutover:
    return given.cutover.model_copy(update={"since": given.now - elapsed})


def test_failure_of_a_migration_has_its_last_log_line() -> None:
    # Given a failed Job whose pod has a termination message
    given = job(passing(CutoverPhase.MIGRATING), conditions=[{"type": "Failed", "status": "True"}])
    desired = given.desired.of(given.new.colour)
    assert desired
    name = desired.migrate["metadata"]["name"]
    ended = {"terminated": {"exitCode": 1, "message": "starting\n0004_x.sql: relation t is locked\n"}}
    pod = {
        "metadata": {"name": "p", "labels": {"batch.kubernetes.io/job-name": name}},
        "status": {"containerStatuses": [{"name": "migrate", "state": ended}]},
    }

    # When its check runs
    unmet = upgrade.migrated(with_observed(given, pods=(*given.seen.pods, pod)))

    # Then the failure has the last line of the message
    assert unmet is not None
    assert "0004_x.sql: relation t is locked;" in unmet.message


def test_unknown_revision_fails_as_superseded() -> None:
    unmet = upgrade.migrated(
        replace(passing(CutoverPhase.MIGRATING), desired=replace(passing(CutoverPhase.MIGRATING).desired, idle=None))
    )

    assert unmet is not None
    assert unmet.reason is Reason.SUPERSEDED


# --- the new colour --------------------------------------------------------------------------------------------------


def test_new_colour_must_reach_the_current_size_of_the_old_one() -> None:
    given = passing(CutoverPhase.PROVISIONING)
    blue = given.seen.children["Deployment", "rtx-engine-blue"]

    grown = with_child(given, {**blue, "spec": {**blue["spec"], "replicas": 3}})

    assert is_waiting(upgrade.new_colour_ready(grown))


def test_ready_pods_of_another_revision_do_not_count() -> None:
    given = passing(CutoverPhase.PROVISIONING)
    other = [
        {
            **pod,
            "metadata": {**pod["metadata"], "labels": {**pod["metadata"]["labels"], "rtx-trading.com/revision": "x"}},
        }
        for pod in given.seen.pods
    ]

    assert is_waiting(upgrade.new_colour_ready(with_observed(given, pods=tuple(other))))


def test_ending_pod_of_another_revision_delays_the_new_colour() -> None:
    # Given a ready new colour, and a pod of another revision that is ending, or has ended
    given = passing(CutoverPhase.PROVISIONING)
    [new, *_] = given.ready_pods(given.new)
    ending = copy.deepcopy(new)
    ending["metadata"] |= {"name": "before", "deletionTimestamp": "2026-01-01T12:00:00Z"}
    ending["metadata"]["labels"]["rtx-trading.com/revision"] = "x"
    gone = {**ending, "status": {**ending["status"], "phase": "Failed"}}

    # When the check runs, then only the ending pod delays it
    unmet = upgrade.new_colour_ready(with_observed(given, pods=(*given.seen.pods, ending)))

    assert is_waiting(unmet)
    assert "pod before of another revision in green" in unmet.message
    assert upgrade.new_colour_ready(with_observed(given, pods=(*given.seen.pods, gone))) is None


def test_diagnosis_fails_the_phase_only_after_a_grace_time() -> None:
    # Given a pod whose image cannot be pulled
    given = passing(CutoverPhase.PROVISIONING)
    state = {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}
    given = with_status(given, new_pod(given), containerStatuses=[{"name": "engine", "state": state, "image": "i"}])

    # When it is checked before and after the grace time
    early = upgrade.new_colour_ready(replace(given, now=given.cutover.since + timedelta(seconds=44)))
    late = upgrade.new_colour_ready(replace(given, now=given.cutover.since + timedelta(seconds=46)))

    # Then the phase waits before, and fails after it
    assert is_waiting(early)
    assert late is not None
    assert late.reason is Reason.IMAGE_UNAVAILABLE


def test_pod_that_was_made_late_in_the_phase_has_the_same_grace_time() -> None:
    # Given a pod that is made after a minute, and whose image cannot be pulled at once
    given = passing(CutoverPhase.PROVISIONING)
    state = {"waiting": {"reason": "ErrImagePull", "message": "the registry is busy"}}
    name, begun = new_pod(given), given.cutover.since
    given = with_status(given, name, containerStatuses=[{"name": "engine", "state": state, "image": "i"}])
    made = {"creationTimestamp": (begun + timedelta(seconds=60)).isoformat()}
    pods = tuple(
        {**pod, "metadata": {**pod["metadata"], **made}} if pod["metadata"]["name"] == name else pod
        for pod in given.seen.pods
    )
    given = with_observed(given, pods=pods)

    # When it is checked at once, and when its time is over
    early = upgrade.new_colour_ready(replace(given, now=begun + timedelta(seconds=63)))
    late = upgrade.new_colour_ready(replace(given, now=begun + timedelta(seconds=106)))

    # Then the phase waits, and fails after it
    assert is_waiting(early)
    assert late is not None
    assert late.reason is Reason.IMAGE_UNAVAILABLE


# --- the gates -------------------------------------------------------------------------------------------------------


def test_one_old_pod_that_does_not_reach_the_new_ones_blocks_the_switch() -> None:
    given = passing(CutoverPhase.TESTING)
    first, *_ = given.seen.reach

    cut = with_observed(given, reach={**given.seen.reach, first: ReachReport(False, "green", "connection timed out")})

    unmet = upgrade.old_pods_reach_new(cut)
    assert is_waiting(unmet)
    assert unmet is not None
    assert first in unmet.message
    assert "connection timed out" in unmet.message


def test_switch_waits_until_the_nodes_have_settled() -> None:
    given = passing(CutoverPhase.TESTING)

    just_now = replace(given, cutover=given.cutover.model_copy(update={"since": given.now}))

    assert worst_unmet(given, PHASES[CutoverPhase.TESTING].checks) is None
    assert is_waiting(worst_unmet(just_now, PHASES[CutoverPhase.TESTING].checks))


def test_every_smoke_test_of_the_spec_must_pass() -> None:
    given = passing(CutoverPhase.TESTING)
    passed, _ = given.seen.smoke

    assert is_waiting(upgrade.smoke_passes(with_observed(given, smoke=(passed,))))
    unmet = upgrade.smoke_passes(with_observed(given, smoke=(passed, SmokeResult("symbols", False, "503"))))
    assert unmet is not None
    assert "GET /api/symbols" in unmet.message
    assert "503" in unmet.message


@pytest.mark.parametrize("gate", upgrade.SWITCH_GATES)
def test_gates_are_checked_again_before_the_fence_moves(gate: Check[CutoverContext]) -> None:
    # Given a cutover in Switching whose fence has not moved
    missing = {
        upgrade.new_colour_ready: "no pods",
        upgrade.pods_are_of_version: "pods were not queried",
        upgrade.old_pods_reach_new: "reach was not queried",
    }.get(gate, "smoke was not run")
    world = copied(INSTALLED)
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.SWITCHING)
    given = context(world)
    waiting = upgrade.fence_names_new(given)
    assert waiting is not None
    assert "does not name green" in waiting.message

    # When the observation of a gate is missing, then Switching waits for that gate
    assert upgrade.fence_names_new(MISSING[missing](given)) == gate(MISSING[missing](given))


def test_fence_with_an_epoch_below_status_does_not_pass() -> None:
    given = passing(CutoverPhase.SWITCHING)
    fence, active = given.fence, given.engine.status.active
    assert fence
    assert active

    behind = with_observed(given, database=FenceReport(replace(fence, epoch=active.epoch - 1)))

    assert is_waiting(upgrade.fence_names_new(behind))


def test_endpoints_with_an_old_pod_do_not_pass() -> None:
    given = passing(CutoverPhase.SWITCHING)
    (slice_,) = given.seen.endpoint_slices
    old = str(given.ready_pods(given.old)[0]["metadata"]["name"])
    both = [*slice_["endpoints"], {"conditions": {"ready": True}, "targetRef": {"name": old}}]

    assert is_waiting(upgrade.routed_to_new(with_observed(given, endpoint_slices=({**slice_, "endpoints": both},))))


def test_new_colour_without_pods_after_the_fence_move_fails() -> None:
    unmet = upgrade.routed_to_new(with_observed(passing(CutoverPhase.SWITCHING), pods=()))

    assert unmet is not None
    assert unmet.reason is Reason.NOT_READY


# --- the order -------------------------------------------------------------------------------------------------------


def test_failure_is_reported_before_a_wait() -> None:
    def waiting(_: CutoverContext) -> Unmet:
        return Waiting("wait")

    def never(_: CutoverContext) -> Unmet:
        return Failure("never", Reason.TOO_SLOW)

    given = passing(CutoverPhase.MIGRATING)
    assert worst_unmet(given, (waiting, never)) == never(given)
    assert worst_unmet(given, (waiting, waiting)) == waiting(given)
    assert worst_unmet(given, ()) is None
