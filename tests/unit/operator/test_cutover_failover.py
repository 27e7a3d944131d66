"""A failover of the database loses the last move of the fence: the operator makes it again."""

import pytest
from cutover_walks import WHOLE, until_retiring, upgraded, walk
from cutover_world import World
from rtx_operator.api.enums import CutoverPhase
from rtx_operator.operations.effects import EffectName


@pytest.mark.parametrize("phase", WHOLE[1:5])
def test_a_lost_move_is_mended_in_every_phase_of_the_next_cutover(world: World, phase: CutoverPhase) -> None:
    # Given 1.1.0 in green, a cutover to 1.2.0 in blue, and a fence that names blue again
    upgraded(world)
    world.ask(version="1.2.0")
    assert world.run_until(phase)
    world.lose_move()
    assert world.fence
    assert world.fence.executors == ("blue",)
    # When the operator looks
    world.look()
    # Then green executes, at an epoch that was never used; in Switching blue does, which has passed its gates
    assert world.fence.executors == (("blue",) if phase is CutoverPhase.SWITCHING else ("green",))
    assert world.fence.epoch == 3


def test_a_colour_that_a_failover_made_execute_again_is_not_taken_away(world: World) -> None:
    upgraded(world)
    until_retiring(world)
    world.lose_move()

    decision = world.look()

    assert decision
    assert [effect.name for effect in decision.effects] == [EffectName.MOVE_FENCE]
    assert len(world.colour_pods("blue", ready=True)) == 2
    world.settle()


def test_nothing_is_taken_away_while_the_database_does_not_answer(world: World) -> None:
    upgraded(world)
    until_retiring(world)
    world.faults.add("no database")

    assert walk(world, looks=5) == ([], [])


def test_a_move_lost_while_the_version_is_watched_is_made_again(world: World) -> None:
    world.ask(version="1.1.0")
    assert world.run_until(CutoverPhase.MONITORING)
    world.lose_move()

    phases, done = walk(world)

    assert phases == [CutoverPhase.PROMOTING, CutoverPhase.SUCCEEDED]
    assert done[0] is EffectName.MOVE_FENCE
