"""A rollback whose old colour cannot come up: it is said, and a third version goes forward from there."""

import pytest
from cutover_walks import last_result, lose, reconciled
from cutover_world import Conflict, World
from retirement_walks import stalled
from rtx_operator.api.enums import ConditionType, CutoverPhase, Reason
from rtx_operator.operations.effects import MoveFence


def ready(world: World) -> tuple[str, str]:
    [condition] = [one for one in world.stored["conditions"] if one["type"] == ConditionType.READY]
    return condition["status"], condition["reason"]


def test_rollback_without_old_pods_is_stalled_and_the_engine_ready_while_the_new_version_serves(stuck: World) -> None:
    reconciled(stuck, 5)

    status, reason, message = stalled(stuck)
    assert (status, reason) == ("True", Reason.CANNOT_ROLL_BACK)
    assert "set spec to a third version" in message
    assert ready(stuck)[0] == "True"


def test_rollback_waits_for_the_old_colour_as_long_as_it_takes(stuck: World) -> None:
    reconciled(stuck, 200)
    assert stuck.phase is CutoverPhase.ROLLING_BACK

    stuck.faults.clear()

    assert stuck.run_until(CutoverPhase.ROLLED_BACK)
    assert stuck.active["version"] == "1.0.0"


def test_third_version_goes_forward_from_the_release_that_executes(stuck: World) -> None:
    # Given a rollback that cannot be
    reconciled(stuck, 50)
    assert stuck.fence
    epoch = stuck.fence.epoch

    # When a third version is asked for, while 1.0.0 still does not come up
    stuck.set_spec(version="1.2.0")
    assert stuck.run_until(CutoverPhase.FAILED)

    # Then 1.1.0 is the active one, by a fence of a later epoch, and the history says why
    assert (stuck.active["version"], stuck.fence.executors) == ("1.1.0", ("green",))
    assert stuck.fence.epoch > epoch
    assert last_result(stuck) == (CutoverPhase.FAILED, Reason.CANNOT_ROLL_BACK)
    assert "version 1.0.0 could not come back" in stuck.stored["history"][0]["message"]

    # And the third version becomes active
    assert stuck.run_until(CutoverPhase.SUCCEEDED, 100)
    assert (stuck.active["version"], stuck.fence.executors) == ("1.2.0", ("blue",))


def test_third_version_gives_the_old_colour_its_time_first(stuck: World) -> None:
    # Given a third version that is asked for just when the rollback began
    stuck.set_spec(version="1.2.0")
    reconciled(stuck, 20)
    assert stuck.phase is CutoverPhase.ROLLING_BACK

    # When the old colour comes up within the time that it has, then the rollback is carried out
    stuck.faults.discard("unready:1.0.0")
    assert stuck.run_until(CutoverPhase.ROLLED_BACK)


def test_old_colour_that_was_down_for_a_moment_late_in_a_rollback_is_given_its_time(world: World) -> None:
    # Given a rollback that has waited for the database for a minute, with old pods that are ready
    world.faults.add("errors:1.1.0")
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.ROLLING_BACK)
    world.faults.add("no database")
    world.set_spec(version="1.2.0")
    reconciled(world, 60)

    # When the database answers just when the old pods are not ready for two seconds
    world.faults.discard("no database")
    lose(world, "blue", "1.0.0")
    reconciled(world, 2)
    world.faults.discard("unready:1.0.0")

    # Then the rollback is carried out, and does not go forward with the version that failed
    assert world.run_until(CutoverPhase.ROLLED_BACK)
    assert world.active["version"] == "1.0.0"


def test_time_without_an_operator_does_not_count_as_time_that_the_old_colour_was_down(stuck: World) -> None:
    # Given old pods that are down, and a third version, when the operator is away for a while
    stuck.set_spec(version="1.2.0")
    reconciled(stuck, 2)
    stuck.tick(100)

    # When it is there again, then they have their time
    reconciled(stuck, 20)
    assert stuck.phase is CutoverPhase.ROLLING_BACK


def test_late_move_back_of_a_paused_leader_is_refused_after_going_forward(stuck: World) -> None:
    # Given a leader that is paused just before it moves the fence back
    stuck.faults.discard("unready:1.0.0")
    stuck.run_pods()
    late = stuck.intend()
    [move] = [effect for effect in late.decision.effects if isinstance(effect, MoveFence)]
    lose(stuck, "blue", "1.0.0")

    # When the next leader goes forward, and the first one wakes up
    reconciled(stuck, 50)
    stuck.set_spec(version="1.2.0")
    assert stuck.run_until(CutoverPhase.FAILED)
    with pytest.raises(Conflict):
        stuck.move_fence(move)

    assert stuck.fence
    assert stuck.fence.executors == ("green",)


def test_old_colour_that_dies_after_the_fence_went_back_does_not_hold_a_third_version(stuck: World) -> None:
    # Given a fence that names blue again, and pods in blue that all end just then
    stuck.faults.discard("unready:1.0.0")
    while stuck.fence and stuck.fence.executors != ("blue",):
        stuck.tick(0.2)
        stuck.reconcile()
    lose(stuck, "blue", "1.0.0")
    stuck.run_endpoints()
    reconciled(stuck, 50)
    assert stuck.phase is CutoverPhase.ROLLING_BACK
    assert stalled(stuck)[:2] == ("True", Reason.CANNOT_ROLL_BACK)
    assert ready(stuck) == ("False", Reason.CANNOT_ROLL_BACK)

    # When a third version is asked for, then it does not wait for blue
    stuck.set_spec(version="1.2.0")
    assert stuck.run_until(CutoverPhase.SUCCEEDED, 150)
    assert stuck.active["version"] == "1.2.0"


def test_new_colour_is_kept_until_an_old_pod_reports_that_it_executes(world: World) -> None:
    # Given a rollback to pods that are ready, and do not answer
    world.faults.update({"errors:1.1.0"})
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.ROLLING_BACK)
    world.faults.add("silent:1.0.0")

    # When it goes on
    reconciled(world, 60)

    # Then the new colour still has its pods, and a person is told
    assert world.phase is CutoverPhase.ROLLING_BACK
    assert len(world.colour_pods("green", ready=True)) == 2
    status, reason, message = stalled(world)
    assert (status, reason) == ("True", Reason.CANNOT_ROLL_BACK)
    assert "no response within 2 s" in message

    # And once one answers, the rollback ends
    world.faults.clear()
    assert world.run_until(CutoverPhase.ROLLED_BACK)
    assert world.colour_pods("green") == []


def test_rollback_before_the_switch_asks_the_old_pods_nothing(world: World) -> None:
    world.faults.update({"smoke:1.1.0", "silent:1.0.0"})
    world.set_spec(version="1.1.0")

    assert world.run_until(CutoverPhase.ROLLED_BACK, 60)


def test_third_version_goes_forward_although_a_failover_has_lost_the_move_back(stuck: World) -> None:
    # Given a fence that went back, until a failover lost that move, and pods in blue that all end just then
    stuck.faults.discard("unready:1.0.0")
    while stuck.fence and stuck.fence.executors != ("blue",):
        stuck.tick(0.2)
        stuck.reconcile()
    stuck.reconcile()
    stuck.lose_move()
    lose(stuck, "blue", "1.0.0")
    reconciled(stuck, 50)
    assert stalled(stuck)[:2] == ("True", Reason.CANNOT_ROLL_BACK)

    # When a third version is asked for, then it becomes active
    stuck.set_spec(version="1.2.0")
    assert stuck.run_until(CutoverPhase.SUCCEEDED, 150)
    assert stuck.active["version"] == "1.2.0"
