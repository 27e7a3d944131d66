"""Data of an earlier epoch, after a restore or a failover to a replica that lagged: what is missing is migrated."""

import pytest
from cutover_walks import executors, reconciled, upgraded, walk
from cutover_world import World
from maintenance_walks import MORE, condition, phases, until
from retirement_walks import until as until_retirement
from rtx_operator.api.enums import ConditionType, CutoverPhase, MaintenancePhase, Reason, RetirementPhase
from rtx_operator.observation import Fence
from simulated_schema import Schema, arguments, migrations, renewals

FOREIGN = Fence(40, ("green",), "install-uid-9-39", "trading/other/uid-9")
KEPT_FOR_A_DAY = {"drainTimeout": "5s", "monitor": {"duration": "10s", "minimumRequests": 20}, "keepPreviousFor": "24h"}


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
