"""The database comes back from a backup as the runbook says: under a pause, with a fence that names nobody."""

from dataclasses import replace

import pytest
from cutover_walks import executors, reconciled, upgraded
from cutover_world import World
from maintenance_walks import condition
from rtx_operator.api.enums import ConditionType, CutoverPhase, Reason
from simulated_schema import Schema, renewals


def name_nobody(world: World) -> None:
    """A person takes the executors out of the fence, at the epoch that it has."""
    assert world.fence
    world.fence = replace(world.fence, executors=())


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


@pytest.mark.parametrize("moves", [0, 1], ids=["of the present epoch", "of before the last move"])
@pytest.mark.parametrize(
    "phase", [CutoverPhase.TESTING, CutoverPhase.SWITCHING, CutoverPhase.MONITORING, CutoverPhase.ROLLING_BACK]
)
def test_restore_under_a_pause_amid_a_cutover_ends_with_the_active_colour_executing(
    world: World, phase: CutoverPhase, moves: int
) -> None:
    # Given a cutover in one of its phases, paused
    schema = Schema(world)
    upgraded(world)
    if phase is CutoverPhase.ROLLING_BACK:
        world.faults.add("errors:1.2.0")
    world.set_spec(version="1.2.0")
    assert world.run_until(phase, 200)
    world.set_spec(paused=True)
    reconciled(world, 2)

    # When a dump is restored, whose fence names nobody
    schema.restore("1.1.0" if moves else schema.version, moves)
    name_nobody(world)
    reconciled(world, 5)
    assert executors(world) == ()

    # Then nobody executes until the pause is over, and then the colour that becomes active
    world.set_spec(paused=False)
    world.settle()
    reconciled(world, 10)
    assert executors(world) == (world.active["colour"],)
    assert condition(world, ConditionType.READY)["status"] == "True"
    assert schema.version >= world.active["version"]
