"""The database comes back from a backup, or fails over to a replica that lagged behind, amid whatever runs."""

from dataclasses import replace

import pytest
from cutover_walks import lose, reconciled, upgraded, walk
from cutover_world import World
from maintenance_walks import MORE, condition, phases, until
from retirement_walks import until as until_retirement
from rtx_operator.api.enums import ConditionType, CutoverPhase, MaintenancePhase, Reason, RetirementPhase
from rtx_operator.observation import Fence
from simulated_schema import Schema, arguments, migrations, renewals

FOREIGN = Fence(40, ("green",), "install-uid-9-39", "trading/other/uid-9")
KEPT_FOR_A_DAY = {"drainTimeout": "5s", "monitor": {"duration": "10s", "minimumRequests": 20}, "keepPreviousFor": "24h"}


def executors(world: World) -> tuple[str, ...]:
    assert world.fence
    return world.fence.executors


def name_nobody(world: World) -> None:
    """A person takes the executors out of the fence, at the epoch that it has."""
    assert world.fence
    world.fence = replace(world.fence, executors=())


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
    upgraded(world)
    world.faults.add("smoke:1.2.0")
    world.set_spec(version="1.2.0")
    assert world.run_until(CutoverPhase.ROLLING_BACK, 100)

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
    upgraded(world)
    world.faults.add("smoke:1.2.0")
    world.set_spec(version="1.2.0")
    assert world.run_until(CutoverPhase.ROLLING_BACK, 100)

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


def test_failover_is_no_outage_where_no_job_can_run_and_the_pods_find_their_schema(world: World) -> None:
    # Given 1.1.0 in green, 1.0.0 retired, and a namespace whose quota has no room for a Job
    upgraded(world)
    reconciled(world, 30, 5)
    assert not world.colour_pods("blue")
    world.faults.add("quota:Job")

    # When the database fails over to a replica that lacks the last move
    world.lose_move()
    reconciled(world, 20)
    assert executors(world) == ("blue",)
    reconciled(world, 20)

    # Then green executes, whose pods have been ready for longer than their probe needs
    assert executors(world) == ("green",)
    assert condition(world, ConditionType.READY)["status"] == "True"

    # And the Job runs when it can
    assert "earlierData" in world.stored
    world.faults.discard("quota:Job")
    reconciled(world, 5)
    assert "earlierData" not in world.stored


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


def test_maintenance_that_mends_a_restored_database_succeeds(world: World) -> None:
    # Given restored data, whose migration fails for too little memory
    upgraded(world)
    world.faults.add("migration:1.1.0")
    world.lose_move()
    reconciled(world, 5)
    assert condition(world, ConditionType.STALLED)["reason"] == Reason.MIGRATION_FAILED

    # When the user gives the database more, then it has it: its data are those of before the maintenance
    world.set_spec(database=MORE)
    assert until(world, MaintenancePhase.SUCCEEDED)


def test_database_is_not_restarted_under_the_migration_of_restored_data(world: World) -> None:
    # Given restored data, whose migration takes long
    upgraded(world)
    world.faults.add("jobs hang")
    world.lose_move()
    reconciled(world, 2)

    # When spec.database is edited, then its maintenance waits for the migration
    world.set_spec(database=MORE)
    assert phases(world, 20) == [MaintenancePhase.PENDING]
    assert "waiting for migration Job" in world.stored["maintenance"]["message"]
    world.faults.discard("jobs hang")
    assert until(world, MaintenancePhase.SUCCEEDED)


@pytest.mark.parametrize("wanted", ["1.0.0", "1.1.1"])
def test_migration_that_fails_on_restored_data_does_not_bar_another_version(world: World, wanted: str) -> None:
    # Given 1.1.0, whose migration fails on the data of a backup of 1.0.0, which is kept
    schema = Schema(world)
    world.set_spec(rollout=KEPT_FOR_A_DAY)
    upgraded(world)
    world.faults.add("migration:1.1.0")
    schema.restore("1.0.0")
    reconciled(world, 5)
    assert condition(world, ConditionType.STALLED)["reason"] == Reason.MIGRATION_FAILED

    # When another version is asked for, then it serves
    world.set_spec(version=wanted)
    reconciled(world, 60)
    assert world.active["version"] == wanted
    assert condition(world, ConditionType.READY)["status"] == "True"


def test_kept_release_is_migrated_where_its_schema_was_lost(world: World) -> None:
    # Given 1.0.0, gone back to from 1.1.0, which is kept
    schema = Schema(world)
    world.set_spec(rollout=KEPT_FOR_A_DAY)
    upgraded(world)
    upgraded(world, "1.0.0")
    assert world.stored["previous"]["version"] == "1.1.0"

    # When a backup of before the upgrade is restored, then the upgrade can be made again
    schema.restore("1.0.0", moves=2)
    reconciled(world, 10)
    world.set_spec(version="1.1.0")
    assert walk(world, 100)[0][-1] is CutoverPhase.SUCCEEDED


def test_contract_job_does_not_stay_beside_data_that_lack_its_expand_half(world: World) -> None:
    # Given a retirement whose contract Job has not run yet
    upgraded(world)
    assert until_retirement(world, RetirementPhase.EMPTYING, 100)
    world.faults.add("jobs hang")
    assert until_retirement(world, RetirementPhase.CONTRACTING)
    reconciled(world, 2)
    assert any("contract" in arguments(job) for job in migrations(world))

    # When a backup of before the upgrade is restored
    world.lose_move()
    reconciled(world, 3)

    # Then the Job is taken away until the data are migrated
    assert not any("contract" in arguments(job) for job in migrations(world))
    assert renewals(world)
    world.faults.discard("jobs hang")
    assert until_retirement(world, RetirementPhase.SUCCEEDED)


@pytest.mark.parametrize("phase", [CutoverPhase.SWITCHING, CutoverPhase.MONITORING])
def test_database_of_another_engine_is_no_evidence_for_a_cutover(world: World, phase: CutoverPhase) -> None:
    # Given a cutover to green, under which another engine's backup is restored, whose fence names green
    world.set_spec(version="1.1.0")
    assert world.run_until(phase)
    ours, world.fence = world.fence, FOREIGN

    # When it goes on, then it does not succeed by that fence
    entered, _ = walk(world, 60)
    assert CutoverPhase.SUCCEEDED not in entered
    assert world.active["epoch"] < FOREIGN.epoch
    assert world.fence == FOREIGN

    # And it ends once the database is the right one again
    world.fence = ours
    world.settle()


def test_contract_migrations_do_not_run_in_the_database_of_another_engine(world: World) -> None:
    # Given a retirement
    upgraded(world)
    assert until_retirement(world, RetirementPhase.EMPTYING, 100)
    before = {job["metadata"]["name"] for job in migrations(world)}

    # When the database is another engine's, then no Job is made for it
    world.fence = FOREIGN
    reconciled(world, 20)
    assert {job["metadata"]["name"] for job in migrations(world)} <= before


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


def test_restored_data_in_which_nobody_executes_wait_for_the_end_of_the_pause(world: World) -> None:
    # Given 1.1.0 in green, paused
    schema = Schema(world)
    upgraded(world)
    known = world.active["epoch"]
    world.set_spec(paused=True)
    reconciled(world, 2)

    # When a backup of before 1.1.0 is restored as the runbook says, with a fence that names nobody
    schema.restore("1.0.0")
    name_nobody(world)
    reconciled(world, 30)

    # Then status says so, and nothing is done
    assert condition(world, ConditionType.READY)["reason"] == Reason.DATA_MISSING
    assert world.stored["earlierData"]["epoch"] == known
    assert (executors(world), renewals(world)) == ((), {})

    # And once the pause is over, the data are migrated before green executes, above every epoch
    world.set_spec(paused=False)
    reconciled(world, 30)
    assert (schema.version, executors(world)) == ("1.1.0", ("green",))
    assert world.active["epoch"] > known
    assert condition(world, ConditionType.READY)["status"] == "True"


def test_restored_data_of_the_present_epoch_execute_at_a_higher_one(world: World) -> None:
    # Given 1.1.0 in green, paused
    upgraded(world)
    known = world.active["epoch"]
    world.set_spec(paused=True)
    reconciled(world, 2)

    # When a backup of after its upgrade is restored, with a fence that names nobody
    name_nobody(world)
    reconciled(world, 5)
    assert condition(world, ConditionType.READY)["reason"] == Reason.FENCE_MOVING

    # Then green executes at a higher epoch once the pause is over, without a migration
    world.set_spec(paused=False)
    reconciled(world, 10)
    assert (executors(world), renewals(world)) == (("green",), {})
    assert world.active["epoch"] > known
    assert condition(world, ConditionType.READY)["status"] == "True"
