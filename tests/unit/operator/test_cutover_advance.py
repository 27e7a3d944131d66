"""Whole cutovers, forward and back: their phases and effects."""

import pytest
from cutover_walks import ROLLBACK_PHASES, UPGRADE_PHASES, last_result, until_retiring, upgraded, walk
from cutover_world import World, copied
from rtx_operator.api.enums import Component, CutoverPhase, Reason, RetirementPhase
from rtx_operator.api.names import Label
from rtx_operator.operations.effects import EffectName, next_size
from simulated_api import label

# --- forward ---------------------------------------------------------------------------------------------------------


def test_upgrade_passes_all_phases_and_keeps_the_old_colour(world: World) -> None:
    # Given version 1.0.0 in blue, when the spec changes to 1.1.0
    world.set_spec(version="1.1.0")
    phases, performed = walk(world)

    # Then it becomes active, phase by phase
    assert phases == UPGRADE_PHASES
    assert performed == [
        EffectName.BACK_UP,
        EffectName.MIGRATE,
        EffectName.PROVISION,
        EffectName.RESIZE,
        EffectName.MOVE_FENCE,
        EffectName.SELECT,
        EffectName.DRAIN,
    ]
    assert (world.active["colour"], world.active["version"], world.selected) == ("green", "1.1.0", "green")
    # And the old colour keeps its size, for keepPreviousFor
    previous = world.stored["previous"]
    assert (previous["colour"], previous["version"]) == ("blue", "1.0.0")
    assert len(world.colour_pods("blue", ready=True)) == 2
    # And the history has the seconds of each phase
    past = world.stored["history"][0]
    assert list(past["seconds"]) == [phase.value for phase in UPGRADE_PHASES[:-1]]
    assert past["fencedAt"] <= past["switchedAt"] <= past["endedAt"]
    assert "message" not in past or not past["message"]


def test_lost_cache_holds_up_no_upgrade(world: World) -> None:
    world.faults.add("no cache")
    world.tick()
    world.set_spec(version="1.1.0")

    assert walk(world)[0] == UPGRADE_PHASES


def test_spec_change_that_keeps_the_revision_starts_no_cutover(world: World) -> None:
    world.set_spec(scaling={"minReplicas": 3, "maxReplicas": 5})

    phases, performed = walk(world, reconciles=10)

    assert phases == []
    assert performed == [EffectName.RESIZE]
    assert len(world.colour_pods("blue", ready=True)) == 3


def test_kept_colour_is_emptied_after_its_time_and_contract_migrations_follow(world: World) -> None:
    upgraded(world)

    _, performed = walk(world, reconciles=80)

    assert performed[-2:] == [EffectName.EMPTY, EffectName.CONTRACT]
    assert "previous" not in world.stored
    assert world.colour_pods("blue") == []


def test_retirement_gives_way_to_a_new_version(world: World) -> None:
    # Given a retirement that has begun, and no contract migration that runs
    upgraded(world)
    until_retiring(world)
    # When the spec changes to 1.2.0
    world.set_spec(version="1.2.0")

    phases, performed = walk(world)

    # Then the cutover begins at once, and nothing is stalled
    assert phases == UPGRADE_PHASES
    assert EffectName.CONTRACT not in performed
    assert "retirement" not in world.stored


# --- back ------------------------------------------------------------------------------------------------------------


def test_return_to_a_kept_version_runs_no_migration_and_keeps_its_pods(world: World) -> None:
    # Given 1.1.0 in green, with 1.0.0 kept in blue
    upgraded(world)
    pods = world.colour_pods("blue")

    # When the spec returns to 1.0.0
    world.set_spec(version="1.0.0")
    phases, performed = walk(world)

    # Then blue becomes active with the same pods
    of_migrations = {CutoverPhase.BACKING_UP, CutoverPhase.MIGRATING}
    assert phases == [phase for phase in UPGRADE_PHASES if phase not in of_migrations]
    assert not {EffectName.BACK_UP, EffectName.MIGRATE} & set(performed)
    assert world.colour_pods("blue") == pods
    assert world.active["colour"] == "blue"


@pytest.mark.parametrize(
    ("fault", "until", "reason"),
    [
        ("migration", CutoverPhase.MIGRATING, Reason.MIGRATION_FAILED),
        ("smoke", CutoverPhase.TESTING, Reason.SMOKE_FAILED),
        ("errors", CutoverPhase.MONITORING, Reason.TOO_MANY_ERRORS),
        ("slow", CutoverPhase.MONITORING, Reason.TOO_SLOW),
    ],
)
def test_bad_version_is_rolled_back_and_retried_only_on_request(
    world: World, fault: str, until: CutoverPhase, reason: Reason
) -> None:
    # Given a version with a fault
    world.faults.add(f"{fault}:1.1.0")
    world.set_spec(version="1.1.0")
    # When the spec changes to it
    phases, _ = walk(world, reconciles=200)
    # Then the old version stays active
    assert phases == [*UPGRADE_PHASES[: UPGRADE_PHASES.index(until) + 1], *ROLLBACK_PHASES]
    assert last_result(world) == (CutoverPhase.ROLLED_BACK, reason)
    assert (world.selected, world.active["version"]) == ("blue", "1.0.0")
    assert world.colour_pods("green") == []
    # And the operator does nothing more until the retry annotation changes
    assert walk(world, reconciles=30)[0] == []
    world.faults.clear()
    world.retry()
    assert walk(world)[0] == UPGRADE_PHASES


def test_migrations_are_reversed_only_if_the_new_colour_never_executed(world: World) -> None:
    # Given two cutovers: one fails before the fence has moved, one after
    failed, executed = world, copied(world)
    failed.faults.add("reach")
    executed.faults.add("errors:1.1.0")

    # When both roll back
    failed.set_spec(version="1.1.0")
    executed.set_spec(version="1.1.0")

    # Then only the first one reverses its migrations
    assert EffectName.REVERSE in walk(failed, reconciles=200)[1]
    assert EffectName.REVERSE not in walk(executed)[1]


@pytest.mark.parametrize("phase", UPGRADE_PHASES[1:6])
def test_third_version_during_a_cutover_rolls_back_first(world: World, phase: CutoverPhase) -> None:
    # Given a cutover to 1.1.0 in this phase
    world.set_spec(version="1.1.0")
    assert world.run_until(phase)

    # When the spec changes to 1.2.0
    world.set_spec(version="1.2.0")
    phases, _ = walk(world)

    # Then the cutover rolls back without a rejection, what was made of it first, and 1.2.0 follows
    assert phases == (ROLLBACK_PHASES[1:] if phase is CutoverPhase.BACKING_UP else ROLLBACK_PHASES)
    assert last_result(world) == (CutoverPhase.ROLLED_BACK, Reason.SUPERSEDED)
    assert "rejected" not in world.stored
    assert walk(world)[0] == UPGRADE_PHASES
    assert world.active["version"] == "1.2.0"


@pytest.mark.parametrize("pace", [4, 12, 25])
def test_two_writers_of_one_version_end_on_the_last_one_and_leave_nothing_behind(world: World, pace: int) -> None:
    # Given two who write the version in turns, ten times, so many seconds apart
    for turn in range(10):
        world.set_spec(version=("1.1.0", "1.2.0")[turn % 2])
        for _ in range(pace):
            world.tick()
            world.reconcile()
            world.judge()

    # When they have stopped, and what was kept is retired
    world.settle()
    for _ in range(120):
        world.tick()
        world.reconcile()
        world.judge()

    # Then the last one's version runs, and no Job, ConfigMap or record of another is left
    assert world.active["version"] == "1.2.0"
    assert world.stored["retirement"]["phase"] == RetirementPhase.SUCCEEDED
    left: dict[str, list[str]] = {kind: [] for kind in ("Job", "ConfigMap", "ControllerRevision")}
    for (kind, name), child in world.children.items():
        if kind in left and label(child, Label.COMPONENT) in {Component.ENGINE, Component.MIGRATION}:
            left[kind].append(label(child, Label.APP_VERSION) or name)
    assert set(left["Job"]) <= {"1.2.0"}
    assert (left["ControllerRevision"], left["ConfigMap"]) == (["1.2.0"], [f"rtx-engine-{world.active['configHash']}"])


def test_cutover_withdrawn_in_pending_has_no_effects(world: World) -> None:
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.PENDING)
    world.set_spec(version="1.0.0")

    assert walk(world) == ([CutoverPhase.ROLLED_BACK], [])


def test_promoting_cutover_is_not_withdrawn(world: World) -> None:
    # Given a cutover to 1.1.0 in Promoting
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.PROMOTING)
    # When the spec returns to 1.0.0
    world.set_spec(version="1.0.0")

    # Then the cutover succeeds, and another one returns to 1.0.0
    assert walk(world)[0] == [CutoverPhase.SUCCEEDED]
    assert walk(world)[0][-1] is CutoverPhase.SUCCEEDED
    assert world.active["version"] == "1.0.0"


def test_borrowed_colour_is_restored_after_a_rollback(world: World) -> None:
    # Given 1.1.0 in green, with 1.0.0 kept in blue
    upgraded(world)
    kept = world.stored["previous"]
    # When 1.2.0 fails in blue
    world.faults.add("errors:1.2.0")
    world.set_spec(version="1.2.0")
    assert walk(world)[0][-2:] == ROLLBACK_PHASES
    # Then 1.0.0 is warm again, with the same time to its retirement
    walk(world, reconciles=6)
    assert world.stored["previous"] == kept
    assert {
        world.pods[name]["metadata"]["labels"]["app.kubernetes.io/version"] for name in world.colour_pods("blue")
    } == {"1.0.0"}
    assert len(world.colour_pods("blue", ready=True)) == 2


# --- the size --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ready", "needed", "size"), [(0, 3, 1), (1, 3, 2), (2, 3, 3), (4, 20, 8), (16, 20, 20)])
def test_next_size_starts_at_one_and_at_most_doubles_the_ready_pods(ready: int, needed: int, size: int) -> None:
    assert next_size(ready, needed) == size


def test_retry_that_is_asked_for_amid_the_rollback_is_made_after_it(world: World) -> None:
    # Given a version that is being rolled back
    world.faults.add("smoke:1.1.0")
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.ROLLING_BACK)

    # When the cause is mended meanwhile, and a retry asked for
    world.faults.clear()
    world.retry()

    assert world.run_until(CutoverPhase.SUCCEEDED, 60)
    assert world.active["version"] == "1.1.0"
