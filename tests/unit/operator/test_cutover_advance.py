"""The ways of a cutover, forth and back, each walked through once, and what it does on them."""

import pytest
from cutover_walks import BACK, WHOLE, last, until_retiring, upgraded, walk
from cutover_world import World, copied
from rtx_operator.api.enums import CutoverPhase, Reason
from rtx_operator.operations.effects import EffectName, next_size

# --- forth -----------------------------------------------------------------------------------------------------------


def test_a_new_version_goes_through_all_phases_and_the_old_one_stays_warm(world: World) -> None:
    # Given version 1.0.0 in blue, when 1.1.0 is asked for
    world.ask(version="1.1.0")
    phases, done = walk(world)

    # Then it takes over, one step after the other
    assert phases == WHOLE
    assert done == [
        EffectName.MIGRATE,
        EffectName.PROVISION,
        EffectName.RESIZE,
        EffectName.MOVE_FENCE,
        EffectName.SELECT,
        EffectName.DRAIN,
        EffectName.PROMOTE,
    ]
    assert (world.active["colour"], world.active["version"], world.selected) == ("green", "1.1.0", "green")
    # And the old colour is kept as large as it was, for as long as the spec says
    previous = world.stored["previous"]
    assert (previous["colour"], previous["version"]) == ("blue", "1.0.0")
    assert len(world.colour_pods("blue", ready=True)) == 2
    # And the history tells how long each phase took
    past = world.stored["history"][0]
    assert list(past["seconds"]) == [phase.value for phase in WHOLE[:-1]]
    assert past["fencedAt"] <= past["switchedAt"] <= past["endedAt"]
    assert "message" not in past or not past["message"]


def test_what_does_not_shape_a_pod_is_no_cutover(world: World) -> None:
    world.ask(scaling={"minReplicas": 3, "maxReplicas": 5})

    phases, done = walk(world, looks=10)

    assert phases == []
    assert done == [EffectName.RESIZE]
    assert len(world.colour_pods("blue", ready=True)) == 3


def test_the_old_colour_is_taken_away_when_its_time_is_over_and_then_the_contract_migrations_run(world: World) -> None:
    upgraded(world)

    _, done = walk(world, looks=80)

    assert done[-2:] == [EffectName.EMPTY, EffectName.CONTRACT]
    assert "previous" not in world.stored
    assert world.colour_pods("blue") == []


def test_a_version_asked_for_while_the_old_colour_is_taken_away_waits_for_that(world: World) -> None:
    upgraded(world)
    until_retiring(world)
    world.ask(version="1.2.0")

    phases, done = walk(world)

    assert phases == WHOLE
    assert done.index(EffectName.CONTRACT) < done.index(EffectName.MIGRATE)


# --- back ------------------------------------------------------------------------------------------------------------


def test_going_back_to_a_kept_version_is_a_switch(world: World) -> None:
    upgraded(world)
    pods = world.colour_pods("blue")
    world.ask(version="1.0.0")

    phases, done = walk(world)

    assert phases == [phase for phase in WHOLE if phase is not CutoverPhase.MIGRATING]
    assert EffectName.MIGRATE not in done
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
def test_a_bad_version_is_rolled_back_and_not_tried_again(
    world: World, fault: str, until: CutoverPhase, reason: Reason
) -> None:
    # Given a version that is bad in some way
    world.faults.add(f"{fault}:1.1.0")
    world.ask(version="1.1.0")
    # When it is asked for
    phases, _ = walk(world, looks=200)
    # Then the old one runs as before
    assert phases == [*WHOLE[: WHOLE.index(until) + 1], *BACK]
    assert last(world) == (CutoverPhase.ROLLED_BACK, reason)
    assert (world.selected, world.active["version"]) == ("blue", "1.0.0")
    assert world.colour_pods("green") == []
    # And nothing more is tried, until somebody says so
    assert walk(world, looks=30)[0] == []
    world.faults.clear()
    world.ask_again()
    assert walk(world)[0] == WHOLE


def test_what_has_not_executed_is_reversed_and_what_has_is_not(world: World) -> None:
    failed, executed = world, copied(world)

    failed.faults.add("reach")
    failed.ask(version="1.1.0")
    assert EffectName.REVERSE in walk(failed, looks=200)[1]

    executed.faults.add("errors:1.1.0")
    executed.ask(version="1.1.0")
    assert EffectName.REVERSE not in walk(executed)[1]


@pytest.mark.parametrize("phase", WHOLE[1:6])
def test_a_third_version_during_a_cutover_goes_back_first(world: World, phase: CutoverPhase) -> None:
    world.ask(version="1.1.0")
    assert world.run_until(phase)
    world.ask(version="1.2.0")

    phases, _ = walk(world)

    assert phases == BACK
    assert last(world) == (CutoverPhase.ROLLED_BACK, Reason.SUPERSEDED)
    assert "rejected" not in world.stored
    assert walk(world)[0] == WHOLE
    assert world.active["version"] == "1.2.0"


def test_a_mind_that_is_changed_at_once_costs_nothing(world: World) -> None:
    world.ask(version="1.1.0")
    assert world.run_until(CutoverPhase.PENDING)
    world.ask(version="1.0.0")

    assert walk(world) == ([CutoverPhase.ROLLED_BACK], [])


def test_what_is_judged_is_not_withdrawn(world: World) -> None:
    world.ask(version="1.1.0")
    assert world.run_until(CutoverPhase.PROMOTING)
    world.ask(version="1.0.0")

    assert walk(world)[0] == [CutoverPhase.SUCCEEDED]
    assert walk(world)[0][-1] is CutoverPhase.SUCCEEDED
    assert world.active["version"] == "1.0.0"


def test_a_kept_colour_that_was_lent_comes_back_as_it_was(world: World) -> None:
    # Given 1.1.0, with 1.0.0 kept
    upgraded(world)
    kept = world.stored["previous"]
    # When 1.2.0 fails in its colour
    world.faults.add("errors:1.2.0")
    world.ask(version="1.2.0")
    assert walk(world)[0][-2:] == BACK
    # Then 1.0.0 is warm again, and for no longer than it was to be
    walk(world, looks=6)
    assert world.stored["previous"] == kept
    assert {
        world.pods[name]["metadata"]["labels"]["app.kubernetes.io/version"] for name in world.colour_pods("blue")
    } == {"1.0.0"}
    assert len(world.colour_pods("blue", ready=True)) == 2


# --- the size --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ready", "needed", "asked"), [(0, 3, 1), (1, 3, 2), (2, 3, 3), (4, 20, 8), (16, 20, 20)])
def test_a_colour_comes_up_with_one_pod_and_then_with_twice_those_that_are_ready(
    ready: int, needed: int, asked: int
) -> None:
    assert next_size(ready, needed) == asked
