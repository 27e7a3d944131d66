"""Durations are measured by the operator's own clock, whatever other clocks say."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cutover_walks import last_result, walk
from cutover_world import World
from rtx_operator.api.enums import CutoverPhase, Reason
from rtx_operator.controllers.clock import ObservationClock
from rtx_operator.observation import HANGS_AFTER, Object, Observation, hangs, is_younger

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
KEY = "engine"


def ending(deletion: datetime, uid: str = "u1") -> Object:
    meta = {"name": "pod", "uid": uid, "deletionTimestamp": deletion.isoformat(), "deletionGracePeriodSeconds": 60}
    return {"metadata": meta, "status": {}}


def observe(times: ObservationClock, pod: Object, seconds: float, step: float = 0.0) -> tuple[Observation, datetime]:
    """An observation `seconds` after noon, with the wall clock set by `step` seconds."""
    now = NOON + timedelta(seconds=seconds + step)
    return times.timed(KEY, Observation(children={}, pods=(pod,)), now, seconds), now


# --- pods that end ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("skew", [timedelta(minutes=-10), timedelta(), timedelta(minutes=10)])
def test_pod_hangs_after_its_time_by_the_operators_clock(skew: timedelta) -> None:
    # Given a pod that ends, on a cluster whose clock differs from the operator's
    times, pod = ObservationClock(), ending(NOON + skew)
    limit = 60 + HANGS_AFTER.total_seconds()

    # When it is observed for longer and longer
    results = []
    for seconds in (0, limit, limit + 1):
        seen, now = observe(times, pod, seconds)
        results.append(hangs(seen.pods[0], now))

    # Then it hangs once it had the time to end, and a minute more
    assert results == [False, False, True]


def test_pod_of_the_same_name_has_its_own_time() -> None:
    times = ObservationClock()
    observe(times, ending(NOON), 0)

    seen, now = observe(times, ending(NOON, uid="u2"), 600)

    assert not hangs(seen.pods[0], now)


@pytest.mark.parametrize("skew", [timedelta(minutes=-10), timedelta(), timedelta(minutes=10)])
def test_pod_is_young_from_when_it_was_first_observed(skew: timedelta) -> None:
    # Given a new pod, on a cluster whose clock differs from the operator's
    pod = {"metadata": {"name": "pod", "uid": "u1", "creationTimestamp": (NOON + skew).isoformat()}, "status": {}}
    times = ObservationClock()

    # When it is observed for longer and longer
    results = []
    for seconds in (0, 44, 46):
        seen, now = observe(times, pod, seconds)
        results.append(is_younger(seen.pods[0], timedelta(seconds=45), now))

    assert results == [True, True, False]


def test_pod_that_does_not_end_is_observed_as_it_is() -> None:
    pod = {"metadata": {"name": "pod", "uid": "u1"}, "status": {}}

    assert observe(ObservationClock(), pod, 0)[0].pods == (pod,)


# --- gaps ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("elapsed", "step", "recent"),
    [(10, 0, True), (10, 2, True), (30, 0, False), (10, 180, False), (10, -300, False)],
)
def test_long_pause_or_a_clock_that_was_set_is_a_gap(elapsed: float, step: float, *, recent: bool) -> None:
    times, pod = ObservationClock(), ending(NOON)
    assert not observe(times, pod, 0)[0].observed_recently

    assert observe(times, pod, elapsed, step)[0].observed_recently == recent


# --- a cutover under other clocks ------------------------------------------------------------------------------------


def test_new_leader_watches_the_version_although_its_clock_is_ahead(world: World) -> None:
    # Given a version that was monitored for a moment
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.MONITORING)

    # When a leader takes over whose clock is three minutes ahead
    world.now += timedelta(minutes=3)
    world.last_observed = None
    world.reconcile()

    # Then the version is still monitored, and its faults are found
    assert world.phase is CutoverPhase.MONITORING
    world.faults.add("errors:1.1.0")
    walk(world)
    assert last_result(world) == (CutoverPhase.ROLLED_BACK, Reason.TOO_MANY_ERRORS)


def test_new_leader_whose_clock_is_behind_ends_the_cutover(world: World) -> None:
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.MONITORING)

    world.now -= timedelta(minutes=1)
    world.last_observed = None

    assert world.run_until(CutoverPhase.SUCCEEDED, reconciles=120)


def test_observation_that_lacks_answers_ends_no_gap() -> None:
    # Given observations of which only the first was whole
    times = ObservationClock()
    whole = Observation(children={})
    times.timed(KEY, whole, NOON, 0)

    # When answers are missing for half a minute
    results = []
    for seconds in (10, 20, 30):
        partly = replace(whole, is_whole=False)
        seen = times.timed(KEY, partly, NOON + timedelta(seconds=seconds), seconds)
        results.append(seen.observed_recently)

    # Then that is a gap
    assert results == [True, False, False]
