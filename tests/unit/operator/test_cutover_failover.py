"""The database shows an earlier state, by a failover or a restore: it is migrated again, and the fence moves again."""

import pytest
from cutover_walks import UPGRADE_PHASES, until_retiring, upgraded, walk
from cutover_world import World
from maintenance_walks import condition, reconciled
from rtx_operator.api.enums import ConditionType, CutoverPhase, Reason
from rtx_operator.operations.effects import EffectName


@pytest.mark.parametrize("phase", UPGRADE_PHASES[1:5])
def test_lost_fence_move_is_repeated_in_every_phase_of_the_next_cutover(world: World, phase: CutoverPhase) -> None:
    # Given 1.1.0 in green, a cutover to 1.2.0 in blue, and a fence that names blue again
    upgraded(world)
    world.set_spec(version="1.2.0")
    assert world.run_until(phase)
    world.lose_move()
    assert world.fence
    assert world.fence.executors == ("blue",)
    # When the operator reconciles, and the Job that migrates the earlier data again is complete
    for _ in range(4):
        if world.fence.epoch == 1:
            world.run_jobs()
            world.reconcile()
    # Then green executes, at an unused epoch; in Switching blue does, because its gates have passed
    assert world.fence.executors == (("blue",) if phase is CutoverPhase.SWITCHING else ("green",))
    assert world.fence.epoch == 3


def test_colour_that_executes_after_a_failover_is_not_emptied(world: World) -> None:
    # Given a retirement of blue, and a failover that restores blue as the executor
    upgraded(world)
    until_retiring(world)
    world.lose_move()

    # When the operator reconciles, then it empties nothing, and moves the fence once the data are migrated
    waits, moves = world.reconcile(), (world.run_jobs(), world.reconcile())[1]
    assert waits
    assert moves
    assert waits.effects == ()
    assert [effect.name for effect in moves.effects] == [EffectName.MOVE_FENCE]
    assert len(world.colour_pods("blue", ready=True)) == 2
    world.settle()


def test_restored_database_is_migrated_before_its_fence_moves(world: World) -> None:
    # Given 1.1.0 in green at epoch 2, and its Job that has migrated long ago
    upgraded(world)
    before = {name for kind, name in world.children if kind == "Job"}
    world.faults.add("jobs hang")

    # When the database comes back from a backup of before the upgrade: epoch 1, the schema of 1.0.0
    world.lose_move()
    reconciled(world, 5)

    # Then Ready says so, a new Job migrates, and the fence waits for it
    ready = condition(world, ConditionType.READY)
    assert (ready["status"], ready["reason"]) == ("False", Reason.DATA_MISSING)
    assert "what was written since is missing" in ready["message"]
    [migration] = {name for kind, name in world.children if kind == "Job"} - before
    assert world.fence
    assert world.fence.epoch == 1

    # And once it is complete, green executes, and the Job is gone
    world.faults.discard("jobs hang")
    world.settle()
    reconciled(world, 2)
    assert (world.fence.executors, world.fence.epoch) == (("green",), 3)
    assert ("Job", migration) not in world.children


def test_restored_database_that_cannot_be_migrated_is_stalled(world: World) -> None:
    upgraded(world)
    world.faults.add("migration:1.1.0")

    world.lose_move()
    reconciled(world, 5)

    assert condition(world, ConditionType.STALLED)["reason"] == Reason.MIGRATION_FAILED
    assert world.fence
    assert world.fence.epoch == 1
    world.settle()


def test_retirement_has_no_effects_while_the_database_is_unreachable(world: World) -> None:
    upgraded(world)
    until_retiring(world)
    world.faults.add("no database")

    assert walk(world, reconciles=5) == ([], [])


def test_fence_move_lost_in_monitoring_is_repeated(world: World) -> None:
    # Given a cutover in Monitoring, and a failover that loses its fence move
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.MONITORING)
    world.lose_move()

    # When it continues
    phases, performed = walk(world)

    # Then the fence moves first, and the cutover succeeds
    assert phases == [CutoverPhase.PROMOTING, CutoverPhase.SUCCEEDED]
    assert performed[0] is EffectName.MOVE_FENCE
