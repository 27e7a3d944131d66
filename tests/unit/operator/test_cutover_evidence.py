"""The evidence by which a new version is promoted: its traffic, or its smoke tests, and status says which."""

import itertools
from typing import Any

import pytest
from cutover_walks import ROLLBACK_PHASES, UPGRADE_PHASES, last_result, walk
from cutover_world import World
from rtx_operator.api.enums import CutoverPhase, Judgement, Reason
from rtx_operator.decision.events import events
from rtx_operator.operations.cutover.evidence import is_beyond_chance
from rtx_operator.pod_reports import SmokeResult, is_same_version

NOT_READY = {"conditions": [{"type": "Ready", "status": "False"}]}


def monitored(world: World, *faults: str, **monitor: Any) -> World:
    """The world in which 1.1.0 has just begun to be monitored."""
    world.faults.update(faults)
    if monitor:
        given = world.spec["rollout"]
        world.set_spec(rollout={**given, "monitor": {**given["monitor"], **monitor}})
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.MONITORING)
    return world


def promotion(world: World) -> str:
    """Reconcile until the version is promoted; returns the message of that Event."""
    for _ in range(40):
        before = world.stored
        world.tick()
        world.reconcile()
        if world.phase is CutoverPhase.PROMOTING:
            (message,) = [one.message for one in events(before, world.stored) if one.reason == "CutoverPromoting"]
            return message
    raise AssertionError(f"not promoted: {world.stored['cutover']}")


def reconcile_for(world: World, seconds: int) -> None:
    for _ in range(seconds):
        world.tick()
        world.reconcile()


def message(world: World) -> str:
    return str(world.stored["cutover"]["message"])


# --- by traffic, or by smoke tests -----------------------------------------------------------------------------------


def test_version_with_enough_requests_is_judged_by_its_traffic(world: World) -> None:
    # Given a version that is monitored under load, then it is promoted by its limits
    assert promotion(monitored(world)).startswith("version 1.1.0 kept its limits over ")

    # And status and history say so
    assert world.run_until(CutoverPhase.SUCCEEDED)
    past = world.stored["history"][0]
    assert (world.stored["cutover"]["judged"], past["judged"]) == (Judgement.TRAFFIC, Judgement.TRAFFIC)
    assert past["requests"] >= 20


def test_version_that_nobody_uses_is_promoted_by_its_smoke_tests_and_nothing_else_is_claimed(world: World) -> None:
    # Given a version without requests
    monitored(world, "no traffic")
    assert world.stored["cutover"].get("judged") is None
    reconcile_for(world, 1)
    assert world.stored["cutover"]["judged"] == Judgement.PROBES

    # When its time is over, then no limit was kept
    assert promotion(world) == (
        "version 1.1.0 passed its smoke tests; the 0 requests that it answered are too few to judge its limits"
    )
    assert world.run_until(CutoverPhase.SUCCEEDED)
    past = world.stored["history"][0]
    assert (past["judged"], past["requests"]) == (Judgement.PROBES, 0)


def test_smoke_test_that_fails_for_ten_seconds_rolls_back_a_version_without_traffic(world: World) -> None:
    # Given a version without requests, whose smoke tests begin to fail while it is monitored
    monitored(world, "no traffic")
    reconcile_for(world, 3)
    world.faults.add("smoke:1.1.0")

    # Then it is not promoted at the end of its time, and goes back
    assert walk(world)[0] == ROLLBACK_PHASES
    assert last_result(world) == (CutoverPhase.ROLLED_BACK, Reason.SMOKE_FAILED)
    assert "judged" not in world.stored["history"][0]


def test_smoke_test_that_fails_once_does_not_roll_back(world: World) -> None:
    monitored(world, "no traffic")
    for _ in range(2):
        world.faults.add("smoke:1.1.0")
        reconcile_for(world, 3)
        world.faults.discard("smoke:1.1.0")
        reconcile_for(world, 3)
    reconcile_for(world, 10)

    assert last_result(world) == (CutoverPhase.SUCCEEDED, "")


def test_version_that_hangs_after_its_first_requests_is_rolled_back(world: World) -> None:
    # Given a version that has answered enough requests, and whose handlers all hang from then on: its pods stay ready
    monitored(world, duration="60s")
    reconcile_for(world, 2)
    assert world.stored["cutover"]["judged"] == Judgement.TRAFFIC
    world.faults.update({"smoke:1.1.0", "no traffic"})

    # Then what it answered before does not promote it
    assert walk(world)[0] == ROLLBACK_PHASES
    assert last_result(world) == (CutoverPhase.ROLLED_BACK, Reason.SMOKE_FAILED)


@pytest.mark.parametrize("passes_every", [8, 2])
def test_version_whose_smoke_tests_pass_now_and_then_is_rolled_back(
    world: World, monkeypatch: pytest.MonkeyPatch, passes_every: int
) -> None:
    # Given a version without requests, of whose smoke tests half or more fail
    monitored(world, "no traffic", duration="60s")
    asked = itertools.count()

    def flaps(name: str, _: str) -> SmokeResult:
        return SmokeResult(name, next(asked) % passes_every == 0, "503")

    monkeypatch.setattr(world, "smoke", flaps)

    # Then one that passes does not make up for the others
    assert walk(world, 80)[0] == ROLLBACK_PHASES
    assert last_result(world) == (CutoverPhase.ROLLED_BACK, Reason.SMOKE_FAILED)


# --- its pods --------------------------------------------------------------------------------------------------------


def test_version_of_which_most_pods_are_not_ready_is_rolled_back(world: World) -> None:
    # Given four new pods that are monitored, of which three hang under load
    world.set_spec(scaling={"minReplicas": 4, "maxReplicas": 6})
    reconcile_for(world, 5)
    monitored(world)
    hung = world.colour_pods("green")[:3]

    # When they are not ready for 45 s
    for _ in range(60):
        world.tick()
        for name in hung:
            if name in world.pods:
                world.pods[name] = {**world.pods[name], "status": NOT_READY}
        world.run_endpoints()
        world.reconcile()

    # Then one that is ready does not speak for them
    assert last_result(world) == (CutoverPhase.ROLLED_BACK, Reason.NOT_READY)
    assert "1 of 4 pods ready" in world.stored["history"][0]["message"]


def test_new_pod_that_is_away_for_a_moment_is_waited_for(world: World) -> None:
    # Given a new pod that is not ready when the time of monitoring is over
    monitored(world)
    name = world.colour_pods("green")[0]
    for _ in range(30):
        world.tick()
        world.pods[name] = {**world.pods[name], "status": NOT_READY}
        world.run_endpoints()
        world.reconcile()
    assert world.phase is CutoverPhase.MONITORING
    assert "1 of 2 pods ready" in message(world)

    # When it is ready again, then the version is promoted
    assert world.run_until(CutoverPhase.SUCCEEDED)


def test_version_whose_pods_the_kubelet_evicts_is_rolled_back(world: World) -> None:
    # Given a version that fills its disk: its pods are evicted and replaced, and none of them restarts
    monitored(world)
    world.evict(world.colour_pods("green", ready=True)[0])

    assert world.run_until(CutoverPhase.ROLLED_BACK)
    assert last_result(world) == (CutoverPhase.ROLLED_BACK, Reason.CONTAINER_RESTARTED)
    assert "was evicted" in world.stored["history"][0]["message"]


def test_new_pod_that_ends_with_its_node_says_nothing_of_the_version(world: World) -> None:
    monitored(world)
    name = world.colour_pods("green", ready=True)[0]
    world.evict(name)
    world.pods[name]["status"]["reason"] = "NodeShutdown"

    assert world.run_until(CutoverPhase.SUCCEEDED)


# --- requireTraffic --------------------------------------------------------------------------------------------------


def waiting_for_traffic(world: World) -> World:
    """1.1.0 has waited for traffic far longer than the phase may last."""
    monitored(world, "no traffic", requireTraffic=True)
    reconcile_for(world, 400)
    assert world.phase is CutoverPhase.MONITORING
    return world


def test_version_that_requires_traffic_waits_without_end_and_says_for_what(world: World) -> None:
    waiting_for_traffic(world)
    assert "0 of the 20 requests" in message(world)

    # When clients come back, then it is judged by them
    world.faults.clear()
    assert promotion(world).startswith("version 1.1.0 kept its limits")


def test_bad_version_that_requires_traffic_goes_back_at_its_first_requests(world: World) -> None:
    waiting_for_traffic(world)
    world.faults.remove("no traffic")
    world.faults.add("errors:1.1.0")

    assert walk(world)[0] == ROLLBACK_PHASES
    assert last_result(world) == (CutoverPhase.ROLLED_BACK, Reason.TOO_MANY_ERRORS)


def test_pod_that_does_not_report_once_does_not_end_a_long_wait_for_traffic(world: World) -> None:
    waiting_for_traffic(world)
    world.faults.add("silent")
    reconcile_for(world, 5)
    world.faults.discard("silent")
    reconcile_for(world, 5)

    assert world.phase is CutoverPhase.MONITORING


def test_wait_for_traffic_ends_when_it_is_no_longer_required(world: World) -> None:
    waiting_for_traffic(world)
    rollout = world.spec["rollout"]
    world.set_spec(rollout={**rollout, "monitor": {**rollout["monitor"], "requireTraffic": False}})

    assert world.run_until(CutoverPhase.SUCCEEDED)
    assert world.stored["history"][0]["judged"] == Judgement.PROBES


def test_third_version_ends_a_wait_for_traffic(world: World) -> None:
    waiting_for_traffic(world)
    world.set_spec(version="1.2.0")

    assert walk(world)[0] == ROLLBACK_PHASES
    assert last_result(world) == (CutoverPhase.ROLLED_BACK, Reason.SUPERSEDED)


# --- few requests ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failed", "total", "share", "beyond"),
    [
        (0, 0, 0.01, False),
        (1, 1, 0.01, False),
        (2, 2, 0.01, True),
        (1, 15, 0.01, False),
        (2, 15, 0.01, False),
        (3, 15, 0.01, True),
        (15, 15, 0.01, True),
        (30, 1000, 0.01, True),
        (14, 1000, 0.01, False),
        (1, 15, 0.0, True),
        (0, 15, 0.0, False),
        (15, 15, 1.0, False),
        (5, 5, 0.5, False),
        (10, 10, 0.5, True),
        (12_000, 999_999, 0.01, True),
        (10_050, 999_999, 0.01, False),
    ],
)
def test_errors_among_few_requests_count_when_chance_does_not_explain_them(
    failed: int, total: int, share: float, *, beyond: bool
) -> None:
    assert is_beyond_chance(failed, total, share) == beyond


# --- the version -----------------------------------------------------------------------------------------------------


def test_image_that_is_another_version_than_its_tag_fails_testing(world: World) -> None:
    # Given a tag 1.1.0 that leads to a build of 0.9.0
    world.faults.add("wrong version:1.1.0")
    world.set_spec(version="1.1.0")
    phases, _ = walk(world)

    # Then it never gets traffic, and the sentence names both
    assert phases == [*UPGRADE_PHASES[:5], *ROLLBACK_PHASES]
    assert last_result(world) == (CutoverPhase.ROLLED_BACK, Reason.WRONG_VERSION)
    assert "reports version 0.9.0, not 1.1.0" in world.stored["history"][0]["message"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("1.1.0", "1.1.0", True),
        ("1.2.0-broken", "1.2.0+broken", True),
        ("1.4.0-rc.1", "1.4.0rc1", True),
        ("v2.0.0-Alpha.3", "2.0.0a3", True),
        ("1.1.0", "11.0", False),
        ("1.1.0", "1.1.1", False),
        ("1.1.0", "1.1.0-rc.1", False),
        ("1.1.0", "", False),
    ],
)
def test_spellings_of_a_version_are_compared_by_their_parts(one: str, other: str, *, same: bool) -> None:
    assert is_same_version(one, other) == same


# --- pods that end ---------------------------------------------------------------------------------------------------


def answer(world: World, pod: str, requests: int, errors: int) -> None:
    process = world.processes[pod]
    process.requests += requests
    process.errors += errors


def delete(world: World, pod: str) -> None:
    """Somebody deletes the pod; its ReplicaSet makes another one."""
    del world.pods[pod]
    world.processes.pop(pod)


@pytest.mark.parametrize(
    ("errors", "result"),
    [(1, (CutoverPhase.SUCCEEDED, "")), (8, (CutoverPhase.ROLLED_BACK, Reason.TOO_MANY_ERRORS))],
)
def test_errors_of_pods_that_end_are_counted_with_those_of_the_pods_that_follow(
    world: World, errors: int, result: tuple[str, str]
) -> None:
    # Given a version of which one pod fails some of its requests, fewer than is allowed of all
    monitored(world, "no traffic", duration="60s", maxErrorPercent=5)
    reconcile_for(world, 2)
    good, *bad = world.colour_pods("green")
    answer(world, good, 200, 0)

    # When each pod that takes its place does the same, and is gone soon after
    for _ in range(3):
        answer(world, bad[0], 20, errors)
        reconcile_for(world, 1)
        delete(world, bad[0])
        reconcile_for(world, 5)
        bad = [name for name in world.colour_pods("green") if name != good]

    # Then it is judged by what all of them answered
    reconcile_for(world, 80)
    assert last_result(world) == result


def test_pods_without_errors_that_end_are_counted_beside_those_with_some(world: World) -> None:
    # Given a version that fails fewer requests than is allowed, all of them in one pod
    monitored(world, "no traffic", duration="60s", maxErrorPercent=5)
    good, bad = world.colour_pods("green")
    answer(world, good, 180, 0)
    answer(world, bad, 20, 2)
    reconcile_for(world, 1)

    # When the nodes of both are drained
    delete(world, good)
    reconcile_for(world, 3)
    delete(world, bad)
    reconcile_for(world, 80)

    # Then the errors of the one do not outweigh what the other answered
    assert last_result(world) == (CutoverPhase.SUCCEEDED, "")


def test_answers_of_pods_that_end_are_no_evidence_of_the_latency_of_those_that_follow(world: World) -> None:
    # Given a version that answered a thousand requests in time, and failed one, which is allowed
    monitored(world, "no traffic", duration="60s", maxErrorPercent=5)
    before = world.colour_pods("green")
    for pod in before:
        answer(world, pod, 500, 0)
    answer(world, before[0], 0, 1)
    reconcile_for(world, 2)

    # When its nodes are drained, and the first of three requests to a new pod is slow
    for pod in before:
        delete(world, pod)
        reconcile_for(world, 5)
    after = world.colour_pods("green")[0]
    answer(world, after, 3, 0)
    world.processes[after].slow += 1
    reconcile_for(world, 80)

    # Then three requests do not judge its latency
    assert last_result(world) == (CutoverPhase.SUCCEEDED, "")


def test_answers_of_a_version_that_fails_nothing_make_no_write_of_status(world: World) -> None:
    monitored(world, duration="60s")
    writes = world.engine_version
    reconcile_for(world, 5)
    after = world.engine_version
    reconcile_for(world, 30)

    assert world.stored["cutover"]["answers"] == []
    assert writes < after == world.engine_version
