"""Every way out of a maintenance that does not succeed: nothing stays broken, and Stalled says why."""

import pytest
from cutover_world import World
from maintenance_walks import (
    CACHE,
    DATABASE,
    MORE,
    TYPO,
    condition,
    reconciled,
    server_pods,
    taken_away,
    until,
)
from rtx_operator.api.enums import ConditionType, MaintenancePhase, Reason
from rtx_operator.observation import Fence
from rtx_operator.operations.effects import EffectName


@pytest.mark.parametrize(
    ("asked", "reason", "words"),
    [
        (TYPO, Reason.IMAGE_UNAVAILABLE, "nope"),
        ({"scheduling": {"nodeSelector": {"node": "elsewhere"}}}, Reason.UNSCHEDULABLE, "node affinity"),
    ],
)
def test_pod_is_not_taken_away_for_what_fails_the_check(
    world: World, asked: object, reason: Reason, words: str
) -> None:
    # Given an image that no node can pull, or a place where the volume cannot be
    away = taken_away(world)
    world.set_spec(database=asked)

    # When the check gives up
    assert until(world, MaintenancePhase.FAILED, reconciles=90)
    reconciled(world, 90)

    # Then nothing was taken away, the engine serves, and Stalled says why and what to do
    assert away == []
    assert condition(world, ConditionType.READY)["status"] == "True"
    stalled = condition(world, ConditionType.STALLED)
    assert (stalled["status"], stalled["reason"]) == ("True", reason)
    assert words in stalled["message"]
    assert "rtx-trading.com/retry" in stalled["message"]
    assert not [name for kind, name in world.children if kind == "Job" and "-check-" in name]

    # And the reverted spec heals it
    world.set_spec(database={})
    reconciled(world)
    assert condition(world, ConditionType.STALLED)["status"] == "False"
    assert condition(world, ConditionType.UP_TO_DATE)["status"] == "True"
    assert away == []


def test_edit_that_is_reverted_while_it_is_checked_is_withdrawn(world: World) -> None:
    away = taken_away(world)
    world.set_spec(database=TYPO)
    assert until(world, MaintenancePhase.CHECKING)

    world.set_spec(database={})
    reconciled(world)

    assert world.stored["maintenance"]["reason"] == Reason.SUPERSEDED
    assert condition(world, ConditionType.STALLED)["status"] == "False"
    assert away == []


def test_failed_maintenance_is_retried_by_the_annotation(world: World) -> None:
    world.set_spec(database=TYPO)
    assert until(world, MaintenancePhase.FAILED, reconciles=90)

    world.retry()

    assert until(world, MaintenancePhase.CHECKING)


def test_failed_maintenance_of_the_database_holds_up_none_of_the_cache(world: World) -> None:
    away = taken_away(world)
    world.set_spec(database=TYPO)
    assert until(world, MaintenancePhase.FAILED, reconciles=90)

    world.set_spec(cache=MORE)
    assert until(world, MaintenancePhase.SUCCEEDED)
    reconciled(world, 90)

    assert away == [CACHE]
    assert world.stored["maintenance"]["component"] == "cache"  # that of the database did not begin again
    assert condition(world, ConditionType.STALLED)["reason"] == Reason.IMAGE_UNAVAILABLE


def test_new_pod_that_crashes_is_replaced_by_one_as_before(world: World) -> None:
    # Given an image that can be pulled, and crashes
    before = server_pods(world)
    world.set_spec(database={"image": "example.com/postgres:crash"})
    assert until(world, MaintenancePhase.RESTARTING)

    # When its pod does not come up
    assert until(world, MaintenancePhase.FAILED, reconciles=120)

    # Then a pod as before runs, and Stalled says why
    assert world.pods[DATABASE]["spec"] == before[DATABASE]["spec"]
    assert condition(world, ConditionType.READY)["status"] == "True"
    assert condition(world, ConditionType.STALLED)["reason"] == Reason.CRASH_LOOPING


def test_spec_that_is_reverted_while_the_new_pod_crashes_goes_back_at_once(world: World) -> None:
    world.set_spec(database={"image": "example.com/postgres:crash"})
    assert until(world, MaintenancePhase.RESTARTING)
    reconciled(world, 3)

    world.set_spec(database={})
    reconciled(world, 10)

    assert condition(world, ConditionType.READY)["status"] == "True"
    assert condition(world, ConditionType.STALLED)["status"] == "False"


def test_edit_while_the_new_pod_starts_does_not_take_it_away(world: World) -> None:
    # Given a new pod of the database that replays its log
    world.set_spec(database=MORE)
    assert until(world, MaintenancePhase.RESTARTING)
    away = taken_away(world)
    world.faults.add("no database")
    reconciled(world, 3)
    assert away == [DATABASE]

    # When spec asks for yet another one
    world.set_spec(database={"resources": {"requests": {"memory": "4Gi"}}})
    reconciled(world, 20)

    # Then the pod is left to come up, and only then replaced by that
    assert away == [DATABASE]
    world.faults.discard("no database")
    world.settle()
    assert away == [DATABASE, DATABASE]
    assert world.pods[DATABASE]["spec"]["containers"][0]["resources"]["requests"]["memory"] == "4Gi"


def test_image_that_shows_an_empty_database_is_found_out_and_not_installed_into(world: World) -> None:
    # Given an image that keeps its data elsewhere: the database has no fence
    fence = world.fence
    world.set_spec(database={"image": "example.com/postgres:other"})
    assert until(world, MaintenancePhase.VERIFYING)
    world.fence = None

    # When it is verified
    decision = world.reconcile()

    # Then no fence is made, and a pod as before comes back, with its data
    assert decision
    assert EffectName.MOVE_FENCE not in [effect.name for effect in decision.effects]
    assert world.stored["maintenance"]["phase"] == MaintenancePhase.ROLLING_BACK
    world.reconcile()
    world.fence = fence
    assert until(world, MaintenancePhase.FAILED)
    assert condition(world, ConditionType.STALLED)["reason"] == Reason.DATA_MISSING
    assert world.fence == fence


def test_database_with_an_older_fence_than_status_knows_is_found_out(world: World) -> None:
    world.set_spec(database=MORE)
    assert until(world, MaintenancePhase.VERIFYING)
    assert world.fence
    world.fence = Fence(world.fence.epoch - 1, world.fence.executors, "", world.fence.owner)

    world.reconcile()

    assert world.stored["maintenance"]["reason"] == Reason.DATA_MISSING


def test_pod_as_before_that_does_not_come_up_either_lets_the_next_edit_begin(world: World) -> None:
    # Given a database whose new pod crashes, and whose pod as before does not come up
    world.set_spec(database={"image": "example.com/postgres:crash"})
    assert until(world, MaintenancePhase.RESTARTING)
    assert until(world, MaintenancePhase.ROLLING_BACK, reconciles=90)
    world.faults.add("no database")

    # When its time is over, then the maintenance is, and the next edit is tried
    assert until(world, MaintenancePhase.FAILED, reconciles=200, seconds=15)
    world.set_spec(database=MORE)
    assert until(world, MaintenancePhase.RESTARTING)
    world.faults.clear()
    assert until(world, MaintenancePhase.SUCCEEDED)
