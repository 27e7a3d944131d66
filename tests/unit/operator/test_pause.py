"""A pause: the time counts on from where it was, status says what stands still, and data is kept all the same."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from cutover_walks import upgraded
from cutover_world import World
from maintenance_walks import MORE, reconciled, until
from rtx_operator.api.engine import InvalidSpecError, OperatorTooOldError, UnknownActiveError
from rtx_operator.api.enums import ConditionType, CutoverPhase, MaintenancePhase, RetirementPhase
from rtx_operator.decision.conditions import after_hands_off
from rtx_operator.observation import Object

LONG = 100  # reconciles of a pause, each PAUSE_STEP seconds apart
PAUSE_STEP = 15.0  # below the gap after which no deadline fires


def pause(world: World, seconds: float = LONG * PAUSE_STEP) -> None:
    """Pause the engine, reconcile all the while, and let it go on."""
    world.set_spec(paused=True)
    world.reconcile()
    for _ in range(int(seconds / PAUSE_STEP)):
        world.tick(PAUSE_STEP)
        world.reconcile()
    world.set_spec(paused=False)


def condition(world: World, kind: ConditionType) -> Object:
    [found] = [one for one in world.stored["conditions"] if one["type"] == kind]
    return dict(found)


WITH_DEADLINE = (
    CutoverPhase.MIGRATING,
    CutoverPhase.PROVISIONING,
    CutoverPhase.TESTING,
    CutoverPhase.SWITCHING,
    CutoverPhase.MONITORING,
)


@pytest.mark.parametrize("phase", WITH_DEADLINE)
def test_cutover_goes_on_after_a_pause_longer_than_its_deadline(world: World, phase: CutoverPhase) -> None:
    # Given a cutover in the phase, whose pods and Jobs make no progress for now
    world.set_spec(version="1.1.0")
    assert world.run_until(phase)
    stuck = {"jobs hang", "unready:1.1.0", "reach", "silent"}
    world.faults.update(stuck)
    left = world.stored["cutover"]["deadline"]

    # When it is paused for far longer than the phase may last, and still makes no progress at first
    pause(world, seconds=7200)
    world.tick()
    world.reconcile()
    assert world.stored["cutover"]["deadline"] > left
    world.faults.clear()

    # Then the version becomes active
    assert world.run_until(CutoverPhase.SUCCEEDED)


def test_deadline_fires_when_the_time_that_was_left_has_passed(world: World) -> None:
    # Given a new colour that does not get ready, paused after two of its ten minutes
    world.faults.add("unready:1.1.0")
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.PROVISIONING)
    for _ in range(12):
        world.tick(10)
        world.reconcile()

    # When it goes on after a pause of an hour
    pause(world, seconds=3600)
    resumed = world.now
    assert world.run_until(CutoverPhase.ROLLING_BACK, reconciles=800)

    # Then it has the eight minutes that were left
    assert timedelta(minutes=7.8) < world.now - resumed < timedelta(minutes=8.2)


def test_monitoring_lasts_as_long_as_without_a_pause(world: World) -> None:
    # Given a release that is monitored for ten seconds
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.MONITORING)

    # When it is paused for an hour, then it is monitored for these ten seconds all the same
    pause(world, seconds=3600)
    resumed = world.now
    assert world.run_until(CutoverPhase.PROMOTING)
    assert world.now - resumed >= timedelta(seconds=9)


def test_pods_get_their_time_to_drain_after_a_pause(world: World) -> None:
    # Given a release that is rolled back, whose pods do not say whether they have drained
    world.faults.add("errors:1.1.0")
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.ROLLING_BACK)
    world.faults.add("silent:1.1.0")
    while "restoredAt" not in world.stored["cutover"]:
        world.tick(0.2)
        world.reconcile()

    # When it goes on after an hour, then they do not end at once
    pause(world, seconds=3600)
    world.reconcile()
    assert world.children["Deployment", "rtx-engine-green"]["spec"]["replicas"] > 0

    # And they end after the time to drain
    assert world.run_until(CutoverPhase.ROLLED_BACK)


def test_previous_release_is_kept_as_long_as_without_a_pause(world: World) -> None:
    upgraded(world)
    kept_until = world.stored["previous"]["retireAfter"]

    pause(world, seconds=3600)
    world.tick()
    world.reconcile()

    assert world.stored["previous"]["retireAfter"] > kept_until
    assert "retirement" not in world.stored


def test_retirement_goes_on_after_a_long_pause(retiring: World) -> None:
    retiring.faults.add("no database")  # nobody may be scaled down
    pause(retiring, seconds=3600)
    retiring.faults.clear()

    for _ in range(20):
        retiring.tick()
        retiring.reconcile()
    assert retiring.stored["retirement"]["phase"] == RetirementPhase.SUCCEEDED


def test_maintenance_goes_on_after_a_long_pause(world: World) -> None:
    # Given a database whose new pod takes its time, paused for longer than that may take
    world.set_spec(database=MORE)
    assert until(world, MaintenancePhase.RESTARTING)
    world.faults.add("no database")
    reconciled(world, 3)
    pause(world, seconds=3 * 3600)

    # When it goes on
    world.faults.clear()
    world.reconcile()

    # Then it is not rolled back
    assert until(world, MaintenancePhase.SUCCEEDED)


def test_pause_is_ended_once_although_the_operator_is_killed(world: World) -> None:
    # Given a paused cutover whose operator is killed before it writes that the pause is over
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.PROVISIONING)
    pause(world, seconds=600)
    world.reconcile(killed_at=0)
    assert "pausedSince" in world.stored

    # When the next one reconciles, again and again
    world.reconcile()
    first = world.stored["cutover"]
    world.reconcile()

    # Then the deadline was moved by the length of the pause, once
    assert "pausedSince" not in world.stored
    assert world.stored["cutover"]["deadline"] == first["deadline"]
    assert first["pausedSeconds"] == pytest.approx(600, abs=1)


def test_paused_engine_says_since_when_and_where_its_cutover_stands(world: World) -> None:
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.PROVISIONING)

    world.set_spec(paused=True)
    world.reconcile()

    message = condition(world, ConditionType.RECONCILING)["message"]
    assert f"since {world.now:%Y-%m-%d %H:%M:%S} UTC" in message
    assert "cutover 1.0.0 → 1.1.0 stands in Provisioning" in message
    assert "half done" not in message


def test_pause_between_fence_and_service_says_that_the_switch_is_half_done(world: World) -> None:
    # Given a fence that has moved, and a live Service that has not
    world.set_spec(version="1.1.0")
    while not world.fence or world.fence.executors != ("green",):
        world.tick()
        world.reconcile()
    assert world.selected == "blue"

    # When the engine is paused
    world.set_spec(paused=True)
    world.reconcile()

    # Then its condition says who executes and where the traffic goes
    message = condition(world, ConditionType.RECONCILING)["message"]
    assert "the switch is half done" in message
    assert "orders are executed by green, the live Service selects blue" in message


def expendable(world: World) -> list[str]:
    """The Secrets and StatefulSets that would be deleted with the engine, or their volumes."""
    return [
        name
        for (kind, name), child in world.children.items()
        if (kind == "Secret" and child["metadata"].get("ownerReferences"))
        or (
            kind == "StatefulSet"
            and child["spec"].get("persistentVolumeClaimRetentionPolicy", {}).get("whenDeleted") == "Delete"
        )
    ]


def test_retain_takes_effect_while_the_engine_is_paused_and_changes_nothing_else(world: World) -> None:
    # Given an engine whose data would go with it, paused, with a database at which a person is at work
    world.set_spec(deletionPolicy="Delete")
    world.reconcile()
    assert expendable(world)
    world.set_spec(paused=True)
    world.reconcile()
    key = ("StatefulSet", "rtx-postgres")
    world._store(key, {**world.children[key], "spec": {**world.children[key]["spec"], "replicas": 0}})

    # When its data is to be kept
    world.set_spec(deletionPolicy="Retain")
    world.reconcile()

    # Then it is, and what the person changed stays
    assert expendable(world) == []
    assert world.children[key]["spec"]["replicas"] == 0


def test_delete_takes_no_effect_while_the_engine_is_paused(world: World) -> None:
    world.set_spec(paused=True)
    world.set_spec(deletionPolicy="Delete")
    world.reconcile()

    assert expendable(world) == []


def leave_alone(world: World, error: Any, seconds: float) -> None:
    """The operator cannot read the engine for so long, and then it can again."""
    world.status = json.dumps(after_hands_off(world.stored, world.generation, error, world.now))
    world.now += timedelta(seconds=seconds)
    world.last_observed = None


def test_deadline_has_the_time_that_was_left_after_the_engine_could_not_be_read(world: World) -> None:
    # Given a new colour that has ten minutes to get ready
    world.faults.add("unready:1.1.0")
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.PROVISIONING)

    # When the operator leaves the engine alone for an hour
    leave_alone(world, InvalidSpecError("spec"), seconds=3600)
    resumed = world.now
    assert world.run_until(CutoverPhase.ROLLING_BACK, reconciles=800)

    # Then it has these ten minutes
    assert timedelta(minutes=9.5) < world.now - resumed < timedelta(minutes=10.5)


@pytest.mark.parametrize("error", [InvalidSpecError("spec"), OperatorTooOldError("spec"), UnknownActiveError("record")])
def test_previous_release_is_kept_longer_by_the_time_in_which_the_engine_could_not_be_read(
    world: World, error: Any
) -> None:
    upgraded(world)
    kept_until = datetime.fromisoformat(world.stored["previous"]["retireAfter"])

    leave_alone(world, error, seconds=7 * 24 * 3600)
    world.reconcile()

    assert datetime.fromisoformat(world.stored["previous"]["retireAfter"]) == kept_until + timedelta(days=7)
    assert "retirement" not in world.stored
