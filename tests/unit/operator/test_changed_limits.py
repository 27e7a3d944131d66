"""Times in spec.rollout that are edited while they run: the deadline follows, and keeps its pauses and grace."""

from datetime import UTC, datetime, timedelta

import pytest
from cutover_walks import last_result, upgraded
from cutover_world import World
from rtx_operator.api.enums import Colour, CutoverPhase, Reason
from rtx_operator.api.status import Cutover, Release
from rtx_operator.operations.record import DEADLINE_GRACE, with_limit

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def reconcile(world: World, times: int) -> None:
    for _ in range(times):
        world.tick()
        world.reconcile()


def rollout(world: World, **changes: object) -> None:
    world.set_spec(rollout={**world.spec["rollout"], **changes})


def test_longer_time_for_a_migration_that_runs_counts_for_its_phase_as_for_its_job(world: World) -> None:
    # Given a migration that takes longer than its minute
    rollout(world, migrationTimeout="60s")
    world.faults.add("jobs hang")
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.MIGRATING)
    reconcile(world, 40)

    # When its time is raised while it runs
    rollout(world, migrationTimeout="10m")
    reconcile(world, 5)

    # Then the Job gets it, and the cutover waits for it
    job = next(job for (kind, _), job in world.children.items() if kind == "Job" and "--cutover" in str(job))
    assert job["spec"]["activeDeadlineSeconds"] == 600
    reconcile(world, 60)
    assert world.phase is CutoverPhase.MIGRATING


def test_longer_monitoring_rolls_no_good_version_back(world: World) -> None:
    # Given a version that is monitored
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.MONITORING)

    # When it is to be monitored for longer than its deadline was
    rollout(world, monitor={"duration": "10m", "minimumRequests": 20})
    reconcile(world, 700)

    assert last_result(world) == ("Succeeded", "")


def test_shorter_time_ends_a_phase_that_has_exceeded_it(world: World) -> None:
    # Given a migration that hangs, and would have an hour
    world.faults.add("jobs hang")
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.MIGRATING)
    reconcile(world, 90)

    # When it is given a minute, which is over
    rollout(world, migrationTimeout="60s")
    reconcile(world, int(DEADLINE_GRACE.total_seconds()) + 5)

    assert world.stored["cutover"]["reason"] == Reason.DEADLINE_EXCEEDED


@pytest.mark.parametrize(("time", "kept"), [("24h", True), ("30s", False)])
def test_previous_release_is_kept_for_as_long_as_is_asked_for_by_now(world: World, time: str, *, kept: bool) -> None:
    # Given an upgraded engine, whose previous release would be kept for a minute
    upgraded(world)
    reconcile(world, 20)

    # When it is to be kept for longer, or for less
    rollout(world, keepPreviousFor=time)
    reconcile(world, 80 if kept else 20)

    assert bool(world.colour_pods("blue", ready=True)) is kept


def test_deadline_moves_by_the_difference_and_keeps_what_a_pause_had_added() -> None:
    # Given a phase of a minute whose deadline a pause has moved by half an hour
    release = Release(colour=Colour.BLUE, version="1", revision="h")
    record = Cutover(
        id="a",
        phase=CutoverPhase.PROVISIONING,
        started_at=NOON,
        since=NOON,
        deadline=NOON + MINUTE + 30 * MINUTE,
        limit_seconds=60,
        from_=release,
        to=release,
    )

    # When the limit becomes three minutes, and then one again
    longer = with_limit(record, 3 * MINUTE, NOON)
    again = with_limit(longer, MINUTE, NOON)

    assert longer.deadline == NOON + 33 * MINUTE
    assert again == record
    assert with_limit(longer, 3 * MINUTE, NOON) is longer


def test_limit_that_is_over_by_now_leaves_the_grace() -> None:
    release = Release(colour=Colour.BLUE, version="1", revision="h")
    record = Cutover(
        id="a",
        phase=CutoverPhase.PROVISIONING,
        started_at=NOON,
        since=NOON,
        deadline=NOON + 10 * MINUTE,
        limit_seconds=600,
        from_=release,
        to=release,
    )

    assert with_limit(record, MINUTE, NOON + 5 * MINUTE).deadline == NOON + 5 * MINUTE + DEADLINE_GRACE
