"""Times in spec.rollout that are edited while they run: the deadline follows, and keeps its pauses and grace."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from cutover_walks import last_result, reconciled, upgraded
from cutover_world import World
from rtx_operator.api.enums import Colour, CutoverPhase, Reason
from rtx_operator.api.status import Cutover, Release
from rtx_operator.operations.record import DEADLINE_GRACE, with_limit

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def rollout(world: World, **changes: object) -> None:
    world.set_spec(rollout={**world.spec["rollout"], **changes})


def test_longer_time_for_a_migration_that_runs_counts_for_its_phase_as_for_its_job(world: World) -> None:
    # Given a migration that takes longer than its minute
    rollout(world, migrationTimeout="60s")
    world.faults.add("jobs hang")
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.MIGRATING)
    reconciled(world, 40)

    # When its time is raised while it runs
    rollout(world, migrationTimeout="10m")
    reconciled(world, 5)

    # Then the Job gets it, and the cutover waits for it
    job = next(job for (kind, _), job in world.children.items() if kind == "Job" and "--cutover" in str(job))
    assert job["spec"]["activeDeadlineSeconds"] == 600
    reconciled(world, 60)
    assert world.phase is CutoverPhase.MIGRATING


def test_longer_monitoring_rolls_no_good_version_back(world: World) -> None:
    # Given a version that is monitored
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.MONITORING)

    # When it is to be monitored for longer than its deadline was
    rollout(world, monitor={"duration": "10m", "minimumRequests": 20})
    reconciled(world, 700)

    assert last_result(world) == ("Succeeded", "")


def keep_clients(world: World, colour: str) -> None:
    """Clients of the colour's pods keep their WebSockets from now on, whatever the pods tell them."""
    traffic = world.traffic

    def with_clients() -> None:
        traffic()
        for pod in world.colour_pods(colour):
            world.processes[pod].websockets = 1

    world.traffic = with_clients  # type: ignore[method-assign]


def test_shorter_drain_rolls_no_good_version_back(world: World) -> None:
    # Given an old version whose clients stay, and may do so for ten minutes
    rollout(world, drainTimeout="10m")
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.MONITORING)
    keep_clients(world, "blue")
    reconciled(world, 60)

    # When they are to have no more than five seconds, and with them Monitoring less time in all
    rollout(world, drainTimeout="5s")
    reconciled(world, 20)

    # Then they are not waited for any more
    assert last_result(world) == ("Succeeded", "")


def test_longer_drain_lets_clients_of_the_old_version_stay(world: World) -> None:
    # Given an old version whose clients stay, and may do so for five seconds
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.MONITORING)
    keep_clients(world, "blue")

    # When they are to have two minutes
    rollout(world, drainTimeout="2m")
    reconciled(world, 100)

    # Then the drain goes on, and the upgrade succeeds after it
    assert "drains" in world.stored["cutover"]["message"]
    reconciled(world, 40)
    assert last_result(world) == ("Succeeded", "")


def test_shorter_time_ends_a_phase_that_has_exceeded_it(world: World) -> None:
    # Given a migration that hangs, and would have an hour
    world.faults.add("jobs hang")
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.MIGRATING)
    reconciled(world, 90)

    # When it is given a minute, which is over
    rollout(world, migrationTimeout="60s")
    reconciled(world, int(DEADLINE_GRACE.total_seconds()) + 5)

    assert world.stored["cutover"]["reason"] == Reason.DEADLINE_EXCEEDED


@pytest.mark.parametrize(("time", "kept"), [("24h", True), ("30s", False)])
def test_previous_release_is_kept_for_as_long_as_is_asked_for_by_now(world: World, time: str, *, kept: bool) -> None:
    # Given an upgraded engine, whose previous release would be kept for a minute
    upgraded(world)
    reconciled(world, 20)

    # When it is to be kept for longer, or for less
    rollout(world, keepPreviousFor=time)
    reconciled(world, 80 if kept else 20)

    assert bool(world.colour_pods("blue", ready=True)) is kept


def provisioning(limit: timedelta, deadline: datetime) -> Cutover:
    """A record whose phase began at noon."""
    release = Release(colour=Colour.BLUE, version="1", revision="h")
    return Cutover(
        id="a",
        phase=CutoverPhase.PROVISIONING,
        started_at=NOON,
        since=NOON,
        deadline=deadline,
        limit_seconds=limit.total_seconds(),
        from_=release,
        to=release,
    )


@pytest.mark.parametrize(
    ("limit", "deadline", "changed", "now", "moved"),
    [
        (MINUTE, NOON + 31 * MINUTE, 3 * MINUTE, NOON, NOON + 33 * MINUTE),  # a pause had added half an hour
        (60 * MINUTE, NOON + 60 * MINUTE, 10 * MINUTE, NOON + 20 * MINUTE, NOON + 20 * MINUTE + DEADLINE_GRACE),
        (60 * MINUTE, NOON + 60 * MINUTE, MINUTE, NOON + 20 * MINUTE, NOON + 21 * MINUTE),  # the whole of it is less
    ],
)
def test_deadline_moves_by_the_difference_and_leaves_the_grace(
    limit: timedelta, deadline: datetime, changed: timedelta, now: datetime, moved: datetime
) -> None:
    assert with_limit(provisioning(limit, deadline), changed, now).deadline == moved


def test_limit_that_is_set_back_leaves_the_record_as_it_was() -> None:
    record = provisioning(MINUTE, NOON + 31 * MINUTE)

    longer = with_limit(record, 3 * MINUTE, NOON)

    assert with_limit(longer, 3 * MINUTE, NOON) is longer
    assert with_limit(longer, MINUTE, NOON) == record


def test_limit_of_another_phase_that_an_earlier_release_left_is_not_that_of_the_deadline() -> None:
    # Given a phase that has a minute by its deadline, and ten minutes by the limit beside it
    record = provisioning(10 * MINUTE, NOON + MINUTE)

    # Then the deadline stays while spec says a minute, and follows when spec says three
    assert with_limit(record, MINUTE, NOON) is record
    assert with_limit(record, 3 * MINUTE, NOON).deadline == NOON + 3 * MINUTE


def test_operator_that_was_taken_back_amid_an_upgrade_leaves_no_limit_that_rejects_it(world: World) -> None:
    # Given an upgrade in Provisioning, which may take ten minutes
    rollout(world, readyTimeout="10m", monitor={"duration": "60s", "minimumRequests": 20})
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.PROVISIONING)
    left = world.stored["cutover"]["limitSeconds"]
    assert left == 600

    # When an earlier release leads until Monitoring: it sets deadlines, and keeps fields that it does not know
    assert world.run_until(CutoverPhase.MONITORING)
    cutover = {**world.stored["cutover"], "limitSeconds": left}
    world.status = json.dumps({**world.stored, "cutover": cutover})

    # And then this one again
    reconciled(world, 200)

    # Then the version has its time, and is promoted
    assert last_result(world) == ("Succeeded", "")
