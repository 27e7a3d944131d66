"""Data of an earlier epoch, after a restore or a failover to a replica that lagged, amid a cutover or a rollback."""

import pytest
from cutover_walks import executors, lose, reconciled, upgraded, walk
from cutover_world import World
from maintenance_walks import condition
from rtx_operator.api.enums import ConditionType, CutoverPhase
from simulated_schema import Schema, renewals


def roll_back_before_the_switch(world: World) -> None:
    """1.1.0 in green; 1.2.0 in blue fails its smoke tests, and is being rolled back."""
    upgraded(world)
    world.faults.add("smoke:1.2.0")
    world.set_spec(version="1.2.0")
    assert world.run_until(CutoverPhase.ROLLING_BACK, 100)


def test_restored_data_are_migrated_while_a_rollback_waits_for_the_database(world: World) -> None:
    # Given 1.1.0 in green; 1.2.0 is rolled back because the database fails
    schema = Schema(world)
    upgraded(world)
    world.set_spec(version="1.2.0")
    assert world.run_until(CutoverPhase.MONITORING)
    world.faults |= {"errors:1.2.0", "no database"}
    assert world.run_until(CutoverPhase.ROLLING_BACK, 200)
    reconciled(world, 5)

    # When the database comes back from a backup of before 1.1.0
    world.faults.discard("no database")
    schema.restore("1.0.0", moves=2)
    reconciled(world, 30)

    # Then its data are migrated for 1.1.0, which serves again
    assert schema.version == "1.1.0"
    assert (world.phase, executors(world)) == (CutoverPhase.ROLLED_BACK, ("green",))
    assert world.colour_pods("green", ready=True)


def test_restored_data_are_migrated_amid_a_rollback_from_before_the_switch(world: World) -> None:
    # Given 1.1.0 in green, and a rollback of 1.2.0 in blue, which never executed
    schema = Schema(world)
    roll_back_before_the_switch(world)

    # When the database comes back from a backup of before 1.1.0, whose fence names blue
    schema.restore("1.0.0")
    reconciled(world, 1)

    # Then the fence names green at once, and green serves once its schema is there again
    assert executors(world) == ("green",)
    reconciled(world, 30)
    assert schema.version == "1.1.0"
    assert condition(world, ConditionType.READY)["status"] == "True"
    assert not renewals(world)
    assert "earlierData" not in world.stored


def test_restored_data_are_migrated_although_the_version_is_taken_back_in_the_same_moment(world: World) -> None:
    # Given 1.1.0 in green, and 1.2.0 in Testing
    schema = Schema(world)
    upgraded(world)
    world.set_spec(version="1.2.0")
    assert world.run_until(CutoverPhase.TESTING)

    # When its user takes it back and restores a backup of before 1.1.0, whose pods are ready for six seconds longer
    world.faults.add("jobs hang")
    world.set_spec(version="1.1.0")
    world.lose_move()
    reconciled(world, 6)
    assert executors(world) == ("green",)
    schema.version = "1.0.0"
    reconciled(world, 10)
    assert condition(world, ConditionType.READY)["status"] == "False"

    # Then the data are migrated all the same, and 1.1.0 serves
    world.faults.discard("jobs hang")
    reconciled(world, 30)
    assert condition(world, ConditionType.READY)["status"] == "True"


def test_version_that_never_passed_its_gates_executes_at_no_time_after_a_restore(world: World) -> None:
    # Given 1.1.0 in green; 1.2.0 in blue fails its smoke tests
    schema = Schema(world)
    roll_back_before_the_switch(world)

    # When a backup of before 1.1.0 is restored, whose fence names blue, and a fix is asked for
    schema.restore("1.0.0")
    reconciled(world, 2)
    world.set_spec(version="1.3.0")
    active = set()
    for _ in range(60):
        reconciled(world, 1)
        active.add(world.active["version"])

    # Then 1.2.0 is at no time the active release
    assert active == {"1.1.0", "1.3.0"}


def test_migration_of_earlier_data_is_not_ended_by_the_cutover_that_goes_back_meanwhile(world: World) -> None:
    # Given 1.2.0 in blue, and 1.3.0 in Testing
    schema = Schema(world)
    upgraded(world)
    upgraded(world, "1.2.0")
    world.set_spec(version="1.3.0")
    assert world.run_until(CutoverPhase.TESTING)

    # When a backup is restored, and the Job that migrates it takes longer than Testing may last
    schema.restore("1.0.0")
    world.faults.add("jobs hang")
    reconciled(world, 5)
    [job] = renewals(world)
    reconciled(world, 40, 5)

    # Then it is still there, and the only one
    assert world.phase is CutoverPhase.ROLLING_BACK
    assert renewals(world) == {job: False}

    # And once it is complete, the rollback ends, and 1.3.0 is tried again on the restored data
    world.faults.discard("jobs hang")
    assert walk(world, 100)[0] == [CutoverPhase.ROLLED_BACK]
    world.settle()
    assert world.active["version"] == "1.3.0"


@pytest.mark.parametrize("phase", [CutoverPhase.PROVISIONING, CutoverPhase.TESTING, CutoverPhase.MONITORING])
def test_version_is_not_rejected_for_a_restore(world: World, phase: CutoverPhase) -> None:
    # Given an upgrade
    schema = Schema(world)
    upgraded(world)
    world.set_spec(version="1.2.0")
    assert world.run_until(phase, 100)

    # When a backup of before it is restored, without the schema of 1.2.0
    schema.restore("1.1.0", moves=2 if phase is CutoverPhase.MONITORING else 1)
    rejected = set()
    for _ in range(120):
        reconciled(world, 1, 5)
        rejected.add(world.stored.get("rejected", {}).get("version"))

    # Then 1.2.0 is tried again, and serves
    assert rejected == {None}
    assert world.active["version"] == "1.2.0"


def test_failover_amid_a_stuck_rollback_leaves_the_version_executing_that_has_pods(stuck: World) -> None:
    # Given a rollback whose old colour has no ready pod
    reconciled(stuck, 10)
    assert executors(stuck) == ("green",)
    assert "goes on executing" in condition(stuck, ConditionType.STALLED)["message"]

    # When the database fails over to a replica whose fence names blue
    stuck.lose_move()
    reconciled(stuck, 5)

    # Then 1.1.0 goes on executing, until blue has a pod again
    assert executors(stuck) == ("green",)
    stuck.faults.discard("unready:1.0.0")
    reconciled(stuck, 20)
    assert executors(stuck) == ("blue",)


def test_old_colour_that_lost_its_schema_comes_back_in_a_rollback(world: World) -> None:
    # Given 1.1.0 in green, and a rollback of 1.2.0 that has moved the fence back
    schema = Schema(world)
    upgraded(world)
    world.faults.add("errors:1.2.0")
    world.set_spec(version="1.2.0")
    assert world.run_until(CutoverPhase.ROLLING_BACK, 100)

    # When a backup of before 1.1.0 is restored: no pod finds its schema
    schema.restore("1.0.0", moves=len(world.earlier_fences))
    lose(world, "blue", "1.2.0")
    reconciled(world, 40)

    # Then the data are migrated, and the rollback ends
    assert (schema.version, world.phase) == ("1.1.0", CutoverPhase.ROLLED_BACK)
