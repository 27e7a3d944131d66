"""The database comes back without its data: its volume is empty. Nothing is installed into it, in whatever state.

The laws of cutover_laws.py refuse a fence that is made for an engine that has served.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from cutover_walks import ROLLBACK_PHASES, UPGRADE_PHASES, upgraded
from cutover_world import World
from maintenance_walks import DATABASE, MORE, condition, reconciled, until
from rtx_operator.api.enums import ConditionType, CutoverPhase, MaintenancePhase, Reason
from rtx_operator.api.names import Label
from rtx_operator.operations.effects import EffectName
from simulated_api import label
from simulated_patroni import CONFIG, SYNC


@contextmanager
def data_lost(world: World) -> Iterator[None]:
    """The database answers and is empty; in the end its volume is restored."""
    fence, world.fence = world.fence, None
    yield
    assert world.fence is None
    world.fence = fence


def test_empty_database_is_reported_and_left_empty(world: World) -> None:
    with data_lost(world):
        reconciled(world, 60)

        for kind in (ConditionType.READY, ConditionType.STALLED):
            assert condition(world, kind)["reason"] == Reason.DATA_MISSING
        assert (
            "Restore the volume of PersistentVolumeClaim data-rtx-postgres-0"
            in condition(world, ConditionType.STALLED)["message"]
        )
        assert not world.slices["rtx-engine"]

    world.settle()
    assert condition(world, ConditionType.READY)["status"] == "True"


@pytest.mark.parametrize("phase", [*UPGRADE_PHASES, *ROLLBACK_PHASES])
def test_empty_database_in_any_phase_of_a_cutover(world: World, phase: CutoverPhase) -> None:
    # Given a cutover in one of its phases
    if phase in ROLLBACK_PHASES:
        world.faults.add("errors:1.1.0")
    world.set_spec(version="1.1.0")
    assert world.run_until(phase)

    # When the database is empty for a while, then no colour gets a fence in it, and Stalled says so
    with data_lost(world):
        reconciled(world, 120)
        assert condition(world, ConditionType.STALLED)["reason"] == Reason.DATA_MISSING

    # And once its data are restored, the cutover ends
    world.settle()
    assert world.fence
    assert world.fence.executors == (world.active["colour"],)


@pytest.mark.parametrize("phase", [MaintenancePhase.CHECKING, MaintenancePhase.RESTARTING, MaintenancePhase.VERIFYING])
def test_empty_database_after_a_restart_stays_empty_when_the_maintenance_is_over(
    world: World, phase: MaintenancePhase
) -> None:
    # Given a maintenance
    world.set_spec(database=MORE)
    assert until(world, phase)

    # When the database is empty from its restart on, be it by the new image or by its volume
    with data_lost(world):
        reconciled(world, 60)

        # Then the maintenance goes back, no fence is made afterwards either, and Stalled says so
        assert world.stored["maintenance"]["phase"] == MaintenancePhase.FAILED
        assert condition(world, ConditionType.STALLED)["reason"] == Reason.DATA_MISSING

    world.settle()


def test_empty_database_and_lost_status(world: World) -> None:
    # Given an engine that serves 1.1.0 in green
    upgraded(world)
    before = set(world.children)

    # When status is lost, and the database is empty
    world.lose_status()
    with data_lost(world):
        decisions = [world.reconcile() for _ in range(20)]

        # Then nothing is installed, nothing is pruned, and Stalled says why
        assert {effect.name for decision in decisions if decision for effect in decision.commands()} <= {
            EffectName.REPAIR
        }
        assert before <= set(world.children)
        assert condition(world, ConditionType.STALLED)["reason"] == Reason.DATA_MISSING

    # And once its data are restored, what executes is adopted
    world.settle()
    assert (world.active["version"], world.selected) == ("1.1.0", "green")


def test_engine_that_is_deleted_and_applied_again_begins_anew_in_an_empty_database(world: World) -> None:
    # Given an engine whose data are lost
    world.fence = None
    reconciled(world, 5)
    assert condition(world, ConditionType.STALLED)["reason"] == Reason.DATA_MISSING

    # When it is deleted with all that it owns but the database's volume and Patroni's state, and applied again
    world.lose_status()
    world.has_served, world.uid = False, "uid-2"
    kept = {CONFIG, SYNC, *(key for key in world.children if key[0] in {"PersistentVolumeClaim", "Secret"})}
    for key in world.children.keys() - kept:
        del world.children[key]
    world.pods = {name: pod for name, pod in world.pods.items() if name == DATABASE}
    assert label(world.pods[DATABASE], Label.REVISION)
    world.processes.clear()

    # Then it is installed
    world.settle()
    assert world.fence
    assert world.fence.owner.endswith("uid-2")


def test_maintenance_that_shows_an_earlier_state_of_the_data_goes_back(world: World) -> None:
    # Given an engine at epoch 2, and a maintenance of its database
    upgraded(world)
    assert world.fence
    assert world.fence.epoch == 2
    world.set_spec(database=MORE)
    assert until(world, MaintenancePhase.RESTARTING, 200)

    # When the new pod shows earlier data, as an image does that keeps its data elsewhere
    world.fence = world.earlier_fences[-1]
    reconciled(world, 60)

    # Then the maintenance does not take them for the right ones
    maintenance = world.stored["maintenance"]
    assert (maintenance["phase"], maintenance["reason"]) == (MaintenancePhase.FAILED, Reason.DATA_MISSING)
