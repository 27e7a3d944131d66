"""Sizes and protection in a cutover: the autoscaler follows the traffic, and the way back loses no capacity."""

from cutover_cluster import LIVE_SERVICE
from cutover_walks import UPGRADE_PHASES, last_result, upgraded, walk
from cutover_world import World
from rtx_operator.api.enums import Colour, CutoverPhase, Reason
from rtx_operator.operations.effects import EffectName

HPA = ("HorizontalPodAutoscaler", LIVE_SERVICE)


def size(world: World, colour: str) -> int:
    return int(world.children["Deployment", f"rtx-engine-{colour}"]["spec"]["replicas"])


def scaled_deployment(world: World) -> str:
    return str(world.children[HPA]["spec"]["scaleTargetRef"]["name"])


def monitored(world: World) -> None:
    """1.1.0 is monitored, since one reconcile."""
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.MONITORING)
    world.reconcile()


def monitored_at_full_size(world: World) -> None:
    """1.0.0 ran with four pods, and 1.1.0 is monitored."""
    world.autoscale(4)
    for _ in range(4):
        world.tick()
        world.reconcile()
    monitored(world)


def test_old_colour_keeps_its_size_while_the_new_one_is_monitored(world: World) -> None:
    # Given a version that is monitored, with the load at the lowest
    monitored_at_full_size(world)

    # When the autoscaler acts
    world.autoscale(2)

    # Then it shrinks the colour that has the traffic, and the way back is as large as it was
    assert (size(world, "blue"), size(world, "green")) == (4, 2)


def test_new_colour_grows_while_it_is_monitored_and_the_old_one_with_it(world: World) -> None:
    monitored(world)

    # When the load needs more pods
    world.autoscale(4)
    for _ in range(6):
        world.tick()
        world.reconcile()

    # Then the new colour has them, and going back would lose none
    assert world.phase is CutoverPhase.MONITORING
    assert (size(world, "blue"), size(world, "green")) == (4, 4)


def test_rollback_meets_the_old_colour_at_full_size_and_gives_it_the_autoscaler(world: World) -> None:
    # Given a bad version that is monitored while the autoscaler sees little load
    monitored_at_full_size(world)
    world.faults.add("errors:1.1.0")
    world.autoscale(2)

    # When it is rolled back
    assert world.run_until(CutoverPhase.ROLLED_BACK)

    # Then all pods of the old version take the traffic, and the autoscaler scales them
    assert last_result(world) == (CutoverPhase.ROLLED_BACK, Reason.TOO_MANY_ERRORS)
    assert (size(world, "blue"), len(world.colour_pods("blue", ready=True))) == (4, 4)
    assert scaled_deployment(world) == "rtx-engine-blue"


def test_autoscaler_that_cannot_be_moved_does_not_hold_up_a_rollback(world: World) -> None:
    # Given a rollback, and an API server that refuses to change the autoscaler
    world.faults.add("errors:1.1.0")
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.ROLLING_BACK)
    world.faults.add("refused:HorizontalPodAutoscaler")

    # When the operator goes on, then it ends
    assert world.run_until(CutoverPhase.ROLLED_BACK)


def test_each_colour_has_a_disruption_budget_as_long_as_it_has_pods(world: World) -> None:
    def budgets() -> set[str]:
        return {name for kind, name in world.children if kind == "PodDisruptionBudget"}

    # Given one colour, then two
    assert budgets() == {"rtx-engine-blue"}
    upgraded(world)
    assert budgets() == {f"rtx-engine-{colour}" for colour in Colour}

    # When the old one is retired, then its budget is deleted
    walk(world, reconciles=80)
    assert "previous" not in world.stored
    assert budgets() == {"rtx-engine-green"}


def test_engine_of_fixed_size_has_no_autoscaler_to_move(world: World) -> None:
    world.set_spec(scaling={"minReplicas": 2, "maxReplicas": 2})
    world.tick()
    world.reconcile()

    world.set_spec(version="1.1.0")
    phases, performed = walk(world)

    assert phases == UPGRADE_PHASES
    assert EffectName.AUTOSCALE not in performed
    assert HPA not in world.children
