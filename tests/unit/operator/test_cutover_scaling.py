"""Sizes and protection in a cutover: the autoscaler follows the traffic, and the way back loses no capacity."""

from cutover_walks import UPGRADE_PHASES, last_result, upgraded, walk
from cutover_world import World
from rtx_operator.api.enums import Colour, CutoverPhase, Reason
from rtx_operator.operations.effects import EffectName
from simulated_api import LIVE_SERVICE

NOT_READY = {"conditions": [{"type": "Ready", "status": "False"}]}
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


def test_old_colour_takes_no_room_for_which_the_new_one_waits(world: World) -> None:
    # Given a version that is monitored, and more load, for which no node has room
    monitored(world)
    first = set(world.colour_pods("green"))
    world.autoscale(4)
    fits = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "Insufficient cpu"}
    for _ in range(5):
        world.tick()
        for name in set(world.colour_pods("green")) - first:
            world.pods[name] = {**world.pods[name], "status": {"phase": "Pending", "conditions": [fits]}}
        world.run_endpoints()
        world.reconcile()

    # Then the colour without traffic does not compete for it
    assert world.phase is CutoverPhase.MONITORING
    assert (size(world, "blue"), size(world, "green")) == (2, 4)


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


def with_most_old_pods_away(world: World) -> list[str]:
    """1.1.0 is monitored with four pods, and a node took three of four old ones; returns their names."""
    world.set_spec(scaling={"minReplicas": 4, "maxReplicas": 6})
    for _ in range(5):
        world.tick()
        world.reconcile()
    world.set_spec(version="1.1.0", rollout={**world.spec["rollout"], "monitor": {"duration": "60s"}})
    assert world.run_until(CutoverPhase.MONITORING)
    return world.colour_pods("blue", ready=True)[:3]


def rolled_back(world: World, away: list[str], seconds: int) -> tuple[int, int]:
    """Reconcile while these pods are away for so long; (fewest pods with traffic, seconds until the fence went back).

    An engine that has not gone back after three minutes counts as never.
    """
    fewest, went_back = 9, 999
    for second in range(180):
        world.tick()
        for name in away if second < seconds else ():
            if name in world.pods:
                world.pods[name] = {**world.pods[name], "status": NOT_READY}
        world.run_endpoints()
        world.reconcile()
        fewest = min(fewest, len(world.slices[LIVE_SERVICE]))
        if world.fence and "blue" in world.fence.executors:
            went_back = min(went_back, second)
        if world.phase is CutoverPhase.ROLLED_BACK:
            break
    return fewest, went_back


def test_version_that_is_taken_back_serves_until_the_old_colour_has_its_pods(world: World) -> None:
    # Given a version without any fault, and old pods of which three are away for half a minute
    away = with_most_old_pods_away(world)

    # When the user takes it back
    world.set_spec(version="1.0.0")

    # Then the traffic of four pods is never on one
    assert rolled_back(world, away, 30)[0] >= 4
    assert last_result(world) == (CutoverPhase.ROLLED_BACK, Reason.SUPERSEDED)


def test_version_that_is_taken_back_does_not_wait_for_old_pods_without_end(world: World) -> None:
    away = with_most_old_pods_away(world)
    world.set_spec(version="1.0.0")

    assert 55 < rolled_back(world, away, 999)[1] < 70


def test_bad_version_goes_back_at_once_and_its_pods_stay_until_the_old_ones_are_back(world: World) -> None:
    # Given a bad version, and old pods of which three are away
    away = with_most_old_pods_away(world)
    world.faults.add("errors:1.1.0")

    # Then the one that is left executes at once, and as long as it is alone the new ones stay
    assert rolled_back(world, away, 40)[1] < 5
    assert last_result(world) == (CutoverPhase.ROLLED_BACK, Reason.TOO_MANY_ERRORS)
    assert world.stored["history"][0]["seconds"]["RollingBack"] > 35


def test_version_that_turns_bad_while_it_is_to_go_back_goes_at_once(world: World) -> None:
    away = with_most_old_pods_away(world)
    world.set_spec(version="1.0.0")
    world.faults.add("errors:1.1.0")

    assert rolled_back(world, away, 60)[1] < 10


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
