"""A failover of the database loses the last move of the fence: the operator repeats it."""

import pytest
from cutover_walks import UPGRADE_PHASES, until_retiring, upgraded, walk
from cutover_world import World
from rtx_operator.api.enums import CutoverPhase
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
    # When the operator reconciles
    world.reconcile()
    # Then green executes, at an unused epoch; in Switching blue does, because its gates have passed
    assert world.fence.executors == (("blue",) if phase is CutoverPhase.SWITCHING else ("green",))
    assert world.fence.epoch == 3


def test_colour_that_executes_after_a_failover_is_not_emptied(world: World) -> None:
    # Given a retirement of blue, and a failover that restores blue as the executor
    upgraded(world)
    until_retiring(world)
    world.lose_move()

    # When the operator reconciles
    decision = world.reconcile()

    # Then it moves the fence, and keeps the pods of blue
    assert decision
    assert [effect.name for effect in decision.effects] == [EffectName.MOVE_FENCE]
    assert len(world.colour_pods("blue", ready=True)) == 2
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
