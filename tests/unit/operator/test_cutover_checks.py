"""Each check of a cutover: passed, not yet, never; and never passed for want of an answer.

The situations come from the small world of cutover_world.py, at the look at which all checks of a phase are passed.
"""

import copy
import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cutover_world import World, copied, installed
from rtx_operator.api.enums import Phase, Reason
from rtx_operator.cutover import checks
from rtx_operator.cutover.checks import CHECKS, SWITCH_GATES, Check, Unmet, unmet
from rtx_operator.cutover.situation import Situation
from rtx_operator.observation import FenceReport, Object
from rtx_operator.reports import EngineReport, ReachReport, SmokeResult

INSTALLED = installed()
FAILED = {"type": "Failed", "status": "True", "message": "backoff limit"}
GREEN = "rtx-engine-green"


def situation(world: World) -> Situation:
    intent = world.intend()
    assert intent.engine.status.cutover
    return Situation(intent.engine, intent.plan, intent.seen, intent.engine.status.cutover, intent.now)


def at_the_end_of(phase: Phase, world: World) -> Situation:
    """The look at which all that the phase waits for is seen."""
    for _ in range(60):
        world.tick()
        if world.phase is phase and unmet(situation(world), CHECKS[phase]) is None:
            return situation(world)
        world.look()
    raise AssertionError(f"{phase} is never over; {world.phase}: {world.stored['cutover']['message']}")


@functools.cache
def passing(phase: Phase, *faults: str) -> Situation:
    world = copied(INSTALLED)
    world.faults.update(faults)
    world.ask(version="1.1.0")
    return at_the_end_of(phase, world)


def seeing(given: Situation, **seen: Any) -> Situation:
    return replace(given, seen=replace(given.seen, **seen))


def with_child(given: Situation, changed: Object) -> Situation:
    key = (changed["kind"], changed["metadata"]["name"])
    return seeing(given, children={**given.seen.children, key: changed})


def with_reports(given: Situation, **changes: Any) -> Situation:
    """Each pod that answers says so, too."""
    engines = {name: replace(report, **changes) for name, report in given.seen.engines.items()}  # type: ignore[type-var]
    return seeing(given, engines=engines)


def with_status(given: Situation, name: str, **status: Any) -> Situation:
    """One pod's status is another."""
    pods = [{**pod, "status": status} if pod["metadata"]["name"] == name else pod for pod in given.seen.pods]
    return seeing(given, pods=tuple(pods))


def new_pod(given: Situation) -> str:
    return str(given.ready_pods(given.new)[0]["metadata"]["name"])


def waits(said: Unmet | None) -> bool:
    return said is not None and said.reason is None


# --- what is not known is never passed -------------------------------------------------------------------------------

IGNORANCE: Mapping[str, Callable[[Situation], Situation]] = {
    "the database was not asked": lambda given: seeing(given, database=None),
    "the database gave no answer": lambda given: seeing(given, database=FenceReport(error="connection refused")),
    "the database has no fence": lambda given: seeing(given, database=FenceReport()),
    "pods were not asked": lambda given: seeing(given, engines={}),
    "pods gave no answer": lambda given: seeing(given, engines=dict.fromkeys(given.seen.engines, "no answer")),
    "reach was not asked": lambda given: seeing(given, reach={}),
    "reach gave no answer": lambda given: seeing(given, reach=dict.fromkeys(given.seen.reach, "no answer")),
    "smoke was not tried": lambda given: seeing(given, smoke=()),
    "no children": lambda given: seeing(given, children={}),
    "no pods": lambda given: seeing(given, pods=()),
    "no slices": lambda given: seeing(given, endpoint_slices=()),
}
DATABASE = ("the database was not asked", "the database gave no answer", "the database has no fence")
REPORTS, REACH = ("pods were not asked", "pods gave no answer"), ("reach was not asked", "reach gave no answer")
TRAFFIC = ("no children", "no pods", "no slices")
BACK_AGAIN = ("errors:1.1.0",)  # it goes back after the fence has moved
UNTESTED = ("smoke:1.1.0",)  # it goes back before

RESTS_ON: list[tuple[Phase, tuple[str, ...], Check, tuple[str, ...]]] = [
    (Phase.MIGRATING, (), checks.migrated, ("no children",)),
    (Phase.PROVISIONING, (), checks.new_colour_ready, ("no children", "no pods")),
    (Phase.TESTING, (), checks.new_colour_ready, ("no children", "no pods")),
    (Phase.TESTING, (), checks.old_pods_reach_new, REACH),
    (Phase.TESTING, (), checks.smoke_passes, ("smoke was not tried",)),
    (Phase.SWITCHING, (), checks.fence_names_new, DATABASE),
    (Phase.SWITCHING, (), checks.routed_to_new, TRAFFIC),
    (Phase.MONITORING, (), checks.new_colour_lives, ("no pods",)),
    (Phase.MONITORING, (), checks.new_colour_executes, DATABASE),
    (Phase.MONITORING, (), checks.limits_kept, REPORTS),
    (Phase.MONITORING, (), checks.old_colour_drained, REPORTS),
    (Phase.PROMOTING, (), checks.promoted, ("no children",)),
    (Phase.ROLLING_BACK, BACK_AGAIN, checks.fence_names_old, DATABASE),
    (Phase.ROLLING_BACK, BACK_AGAIN, checks.routed_to_old, TRAFFIC),
    (Phase.ROLLING_BACK, UNTESTED, checks.reversed_, ("no children",)),
]
# What time alone decides, and what is over when nothing is there; draining pods are seen below.
OTHERS: set[Check] = {
    checks.nodes_settled,
    checks.watched_long_enough,
    checks.new_colour_empty,
    checks.new_colour_drained,
}


def drains_no_longer_than_it_takes(given: Situation) -> Situation:
    """At the first instant of the time to drain, which otherwise ends it."""
    cutover = given.cutover.model_copy(update={"switched_at": given.now, "restored_at": None})
    return replace(given, cutover=cutover)


@pytest.mark.parametrize(
    ("phase", "faults", "check", "missing"),
    [(phase, faults, check, one) for phase, faults, check, missing in RESTS_ON for one in missing],
    ids=lambda value: value.__name__ if callable(value) else None,
)
def test_what_is_not_known_is_never_passed(phase: Phase, faults: tuple[str, ...], check: Check, missing: str) -> None:
    given = passing(phase, *faults)
    if check is checks.old_colour_drained:
        given = drains_no_longer_than_it_takes(given)
        assert given.seen.engines
    assert check(given) is None

    assert check(IGNORANCE[missing](given)) is not None


def test_every_check_is_among_them() -> None:
    assert {check for _, _, check, _ in RESTS_ON} | OTHERS == {check for chain in CHECKS.values() for check in chain}


@pytest.mark.parametrize("phase", CHECKS)
@pytest.mark.parametrize("missing", DATABASE)
def test_without_the_database_only_what_does_not_need_it_goes_on(phase: Phase, missing: str) -> None:
    given = IGNORANCE[missing](passing(phase, *(UNTESTED if phase is Phase.ROLLING_BACK else ())))

    said = unmet(given, CHECKS[phase])

    assert (said is not None) == (phase in {Phase.SWITCHING, Phase.ROLLING_BACK, Phase.MONITORING})


# --- Migrating -------------------------------------------------------------------------------------------------------


def job(given: Situation, **status: Any) -> Situation:
    plan = given.plan.of(given.new.colour)
    assert plan
    return with_child(given, {**given.seen.children["Job", plan.migrate["metadata"]["name"]], "status": status})


def test_a_migration_that_runs_is_waited_for_and_one_that_failed_is_the_end() -> None:
    given = passing(Phase.MIGRATING)

    assert waits(checks.migrated(job(given)))
    failed = checks.migrated(job(given, conditions=[{"type": "Failed", "status": "True", "message": "backoff limit"}]))
    assert failed is not None
    assert failed.reason is Reason.MIGRATION_FAILED
    assert "backoff limit" in failed.message
    assert "kubectl logs job/" in failed.message


def test_the_last_words_of_a_migration_are_told() -> None:
    given = job(passing(Phase.MIGRATING), conditions=[{"type": "Failed", "status": "True"}])
    plan = given.plan.of(given.new.colour)
    assert plan
    name = plan.migrate["metadata"]["name"]
    ended = {"terminated": {"exitCode": 1, "message": "starting\n0004_x.sql: relation t is locked\n"}}
    pod = {
        "metadata": {"name": "p", "labels": {"batch.kubernetes.io/job-name": name}},
        "status": {"containerStatuses": [{"state": ended}]},
    }

    said = checks.migrated(seeing(given, pods=(*given.seen.pods, pod)))

    assert said is not None
    assert "0004_x.sql: relation t is locked;" in said.message


def test_a_shape_that_is_not_known_any_more_is_not_waited_for() -> None:
    said = checks.migrated(replace(passing(Phase.MIGRATING), plan=replace(passing(Phase.MIGRATING).plan, idle=None)))

    assert said is not None
    assert said.reason is Reason.SUPERSEDED


# --- the new colour --------------------------------------------------------------------------------------------------


def test_the_new_colour_has_to_be_as_large_as_the_old_one_is_now() -> None:
    given = passing(Phase.PROVISIONING)
    blue = given.seen.children["Deployment", "rtx-engine-blue"]

    grown = with_child(given, {**blue, "spec": {**blue["spec"], "replicas": 3}})

    assert waits(checks.new_colour_ready(grown))


def test_pods_of_another_shape_do_not_count() -> None:
    given = passing(Phase.PROVISIONING)
    other = [
        {**pod, "metadata": {**pod["metadata"], "labels": {**pod["metadata"]["labels"], "rtx-trading.com/shape": "x"}}}
        for pod in given.seen.pods
    ]

    assert waits(checks.new_colour_ready(seeing(given, pods=tuple(other))))


def test_a_pod_of_another_shape_that_still_ends_is_waited_for() -> None:
    given = passing(Phase.PROVISIONING)
    [new, *_] = given.ready_pods(given.new)
    ending = copy.deepcopy(new)
    ending["metadata"] |= {"name": "before", "deletionTimestamp": "2026-01-01T12:00:00Z"}
    ending["metadata"]["labels"]["rtx-trading.com/shape"] = "x"
    gone = {**ending, "status": {**ending["status"], "phase": "Failed"}}

    said = checks.new_colour_ready(seeing(given, pods=(*given.seen.pods, ending)))

    assert waits(said)
    assert "pod before of what green was before" in said.message
    assert checks.new_colour_ready(seeing(given, pods=(*given.seen.pods, gone))) is None


def test_what_keeps_pods_from_coming_up_may_pass_for_a_while() -> None:
    given = passing(Phase.PROVISIONING)
    state = {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}
    given = with_status(given, new_pod(given), containerStatuses=[{"name": "engine", "state": state, "image": "i"}])

    early = checks.new_colour_ready(replace(given, now=given.cutover.since + timedelta(seconds=44)))
    late = checks.new_colour_ready(replace(given, now=given.cutover.since + timedelta(seconds=46)))

    assert waits(early)
    assert late is not None
    assert late.reason is Reason.IMAGE_UNAVAILABLE


# --- the gates -------------------------------------------------------------------------------------------------------


def test_one_old_pod_that_does_not_reach_the_new_ones_is_enough_to_wait() -> None:
    given = passing(Phase.TESTING)
    first, *_ = given.seen.reach

    cut = seeing(given, reach={**given.seen.reach, first: ReachReport(False, "green", "connection timed out")})

    said = checks.old_pods_reach_new(cut)
    assert waits(said)
    assert said is not None
    assert first in said.message
    assert "connection timed out" in said.message


def test_pods_that_came_up_just_now_take_no_traffic_yet() -> None:
    given = passing(Phase.TESTING)

    just_now = replace(given, cutover=given.cutover.model_copy(update={"since": given.now}))

    assert unmet(given, CHECKS[Phase.TESTING]) is None
    assert waits(unmet(just_now, CHECKS[Phase.TESTING]))


def test_each_smoke_test_of_the_spec_has_to_pass() -> None:
    given = passing(Phase.TESTING)
    passed, _ = given.seen.smoke

    assert waits(checks.smoke_passes(seeing(given, smoke=(passed,))))
    said = checks.smoke_passes(seeing(given, smoke=(passed, SmokeResult("symbols", False, "503"))))
    assert said is not None
    assert "GET /api/symbols" in said.message
    assert "503" in said.message


@pytest.mark.parametrize("gate", SWITCH_GATES)
def test_the_gates_are_asked_again_before_the_fence_moves(gate: Check) -> None:
    missing = {checks.new_colour_ready: "no pods", checks.old_pods_reach_new: REACH[0]}.get(gate, "smoke was not tried")
    world = copied(INSTALLED)
    world.ask(version="1.1.0")
    assert world.run_until(Phase.SWITCHING)
    given = situation(world)
    waiting = checks.fence_names_new(given)
    assert waiting is not None
    assert "does not name green" in waiting.message

    assert checks.fence_names_new(IGNORANCE[missing](given)) == gate(IGNORANCE[missing](given))


def test_a_fence_that_is_behind_what_is_known_does_not_count() -> None:
    given = passing(Phase.SWITCHING)
    fence, active = given.fence, given.engine.status.active
    assert fence
    assert active

    behind = seeing(given, database=FenceReport(replace(fence, epoch=active.epoch - 1)))

    assert waits(checks.fence_names_new(behind))


def test_traffic_that_still_reaches_an_old_pod_is_not_switched() -> None:
    given = passing(Phase.SWITCHING)
    (slice_,) = given.seen.endpoint_slices
    old = str(given.ready_pods(given.old)[0]["metadata"]["name"])
    both = [*slice_["endpoints"], {"conditions": {"ready": True}, "targetRef": {"name": old}}]

    assert waits(checks.routed_to_new(seeing(given, endpoint_slices=({**slice_, "endpoints": both},))))


def test_a_new_colour_that_is_gone_after_the_fence_has_moved_is_the_end() -> None:
    said = checks.routed_to_new(seeing(passing(Phase.SWITCHING), pods=()))

    assert said is not None
    assert said.reason is Reason.NOT_READY


# --- Monitoring ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "restarted"), [(-5, False), (5, True)])
def test_a_container_that_ends_after_the_fence_has_moved_is_the_end(seconds: int, restarted: bool) -> None:
    given = passing(Phase.MONITORING)
    assert given.cutover.fenced_at
    at = (given.cutover.fenced_at + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    last = [{"name": "engine", "lastState": {"terminated": {"exitCode": 137, "finishedAt": at}}}]
    ready = [{"type": "Ready", "status": "True"}]

    said = checks.new_colour_lives(with_status(given, new_pod(given), conditions=ready, containerStatuses=last))

    assert (said is not None and said.reason is Reason.CONTAINER_RESTARTED) == restarted


def answered(given: Situation, **changes: Any) -> Situation:
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
    said = checks.limits_kept(answered(passing(Phase.MONITORING), **changes))

    assert (said.reason if said else None) == reason


def test_a_bad_answer_counts_although_another_pod_is_silent() -> None:
    given = answered(passing(Phase.MONITORING), server_errors=500)
    *_, last = [str(pod["metadata"]["name"]) for pod in given.ready_pods(given.new)]

    said = checks.limits_kept(seeing(given, engines={**given.seen.engines, last: "no answer"}))

    assert said is not None
    assert said.reason is Reason.TOO_MANY_ERRORS


def test_a_version_is_watched_from_the_fences_move_on() -> None:
    given = passing(Phase.MONITORING)
    assert given.cutover.fenced_at

    at = given.cutover.fenced_at + timedelta(seconds=10)

    assert checks.watched_long_enough(replace(given, now=at)) is None
    assert waits(checks.watched_long_enough(replace(given, now=at - timedelta(seconds=1))))


@pytest.mark.parametrize(
    ("changes", "drained"),
    [
        ({"websockets": 0, "quiet_seconds": 5.0}, True),
        ({"websockets": 1, "quiet_seconds": 5.0}, False),
        ({"websockets": 0, "quiet_seconds": 4.9}, False),
    ],
)
def test_an_old_colour_is_drained_when_nobody_asks_it_any_more(changes: dict[str, Any], drained: bool) -> None:
    given = drains_no_longer_than_it_takes(passing(Phase.MONITORING))

    assert (checks.old_colour_drained(with_reports(given, **changes)) is None) == drained


def test_a_drain_is_over_when_its_time_is() -> None:
    given = with_reports(drains_no_longer_than_it_takes(passing(Phase.MONITORING)), websockets=1)

    assert waits(checks.old_colour_drained(given))
    assert checks.old_colour_drained(replace(given, now=given.now + timedelta(seconds=5))) is None


# --- Promoting -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["HorizontalPodAutoscaler", "PodDisruptionBudget"])
def test_what_is_on_the_old_colour_is_not_promoted(kind: str) -> None:
    given = passing(Phase.PROMOTING)
    (old,) = [one for one in given.plan.routes[given.old.colour].promote if one["kind"] == kind]

    assert waits(checks.promoted(with_child(given, old)))


# --- RollingBack -----------------------------------------------------------------------------------------------------


def test_there_is_no_way_back_to_a_colour_without_a_ready_pod() -> None:
    given = passing(Phase.ROLLING_BACK, *BACK_AGAIN)
    assert given.fence
    forth = seeing(given, database=FenceReport(replace(given.fence, executors=("green",))))

    assert waits(checks.fence_names_old(forth))
    said = checks.fence_names_old(seeing(forth, pods=()))
    assert said is not None
    assert said.reason is Reason.CANNOT_ROLL_BACK


def test_the_fence_has_gone_back_only_in_the_way_backs_own_epoch() -> None:
    # Given a fence that names the old colour as it did before: a move forth that is on its way would still arrive
    given = passing(Phase.ROLLING_BACK, *BACK_AGAIN)
    assert given.fence

    before = seeing(given, database=FenceReport(replace(given.fence, cutover="install")))

    assert waits(checks.fence_names_old(before))


def test_a_service_that_never_left_the_old_colour_needs_no_endpoints() -> None:
    assert checks.routed_to_old(IGNORANCE["no slices"](passing(Phase.ROLLING_BACK, *UNTESTED))) is None


def test_a_new_colour_that_executed_drains_before_it_is_emptied() -> None:
    given = passing(Phase.ROLLING_BACK, *BACK_AGAIN)
    world = copied(INSTALLED)
    world.ask(version="1.1.0")
    assert world.run_until(Phase.MONITORING)
    pods = tuple(world.pods.values())
    reports = {name: world.report(name) for name in world.processes}
    cutover = given.cutover.model_copy(update={"restored_at": given.now})

    busy = replace(seeing(given, pods=pods, engines=reports), cutover=cutover)

    assert waits(checks.new_colour_drained(busy))
    assert checks.new_colour_drained(passing(Phase.ROLLING_BACK, *UNTESTED)) is None  # nobody was ever led to it


def test_a_new_colour_is_empty_when_its_deployment_is_or_is_of_another_shape() -> None:
    given = passing(Phase.ROLLING_BACK, *BACK_AGAIN)
    green = given.seen.children["Deployment", GREEN]
    full = {**green, "spec": {**green["spec"], "replicas": 2}}
    labels = {**green["metadata"]["labels"], "rtx-trading.com/shape": "another"}
    theirs = {**full, "metadata": {**green["metadata"], "labels": labels}}

    assert waits(checks.new_colour_empty(with_child(given, full)))
    assert checks.new_colour_empty(with_child(given, theirs)) is None


def test_a_reverse_migration_that_fails_or_takes_too_long_is_left() -> None:
    given = passing(Phase.ROLLING_BACK, *UNTESTED)
    plan = given.plan.of(given.new.colour)
    assert plan
    key = ("Job", plan.reverse["metadata"]["name"])
    running = with_child(given, {**given.seen.children[key], "status": {}})
    failed = with_child(given, {**running.seen.children[key], "status": {"conditions": [FAILED]}})

    assert waits(checks.reversed_(running))
    assert checks.reversed_(failed) is None
    assert checks.reversed_(replace(running, now=given.cutover.since + timedelta(minutes=6))) is None


def test_what_has_executed_is_not_reversed() -> None:
    assert checks.reverses(passing(Phase.ROLLING_BACK, *UNTESTED))
    assert not checks.reverses(passing(Phase.ROLLING_BACK, *BACK_AGAIN))


# --- the order -------------------------------------------------------------------------------------------------------


def test_what_never_will_be_passed_is_told_before_what_only_waits() -> None:
    def waiting(_: Situation) -> Unmet:
        return Unmet("wait")

    def never(_: Situation) -> Unmet:
        return Unmet("never", Reason.TOO_SLOW)

    given = passing(Phase.MIGRATING)
    assert unmet(given, (waiting, never)) == never(given)
    assert unmet(given, (waiting, waiting)) == waiting(given)
    assert unmet(given, ()) is None
