"""The ways of a cutover, each walked through once in the small world of cutover_world.py, and what it does on them."""

from datetime import timedelta

import pytest
from cutover_world import Conflict, World, copied, installed
from rtx_operator.api.enums import Keeping, Phase, Reason
from rtx_operator.cutover.effects import EffectName, MoveFence, Scale, next_size

INSTALLED = installed()
UNTIL_THE_SWITCH = [Phase.PENDING, Phase.MIGRATING, Phase.PROVISIONING, Phase.TESTING, Phase.SWITCHING]
WHOLE = [*UNTIL_THE_SWITCH, Phase.MONITORING, Phase.PROMOTING, Phase.SUCCEEDED]
BACK = [Phase.ROLLING_BACK, Phase.ROLLED_BACK]


@pytest.fixture
def world() -> World:
    """An engine of version 1.0.0 in blue."""
    return copied(INSTALLED)


def walk(world: World, looks: int = 60) -> tuple[list[Phase], list[EffectName]]:
    """(the phases that a cutover comes to, what is done on the way), until one is over."""
    phases: list[Phase] = []
    done: list[EffectName] = []
    for _ in range(looks):
        world.tick()
        decision = world.look()
        world.judge()
        for effect in decision.effects if decision else ():
            if effect.name not in done[-1:]:
                done.append(effect.name)
        if decision and decision.entered:
            phases.append(decision.entered)
            if decision.entered.is_terminal:
                return phases, done
    return phases, done


def upgraded(world: World, version: str = "1.1.0") -> World:
    world.ask(version=version)
    assert world.run_until(Phase.SUCCEEDED)
    return world


def last(world: World) -> tuple[str, str]:
    """(how the last cutover ended, why)."""
    past = world.stored["history"][0]
    return past["result"], past["reason"]


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
    assert (previous["colour"], previous["version"], previous["state"]) == ("blue", "1.0.0", Keeping.KEPT)
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
    while world.stored["previous"]["state"] == Keeping.KEPT:
        world.tick()
        world.look()
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

    assert phases == [phase for phase in WHOLE if phase is not Phase.MIGRATING]
    assert EffectName.MIGRATE not in done
    assert world.colour_pods("blue") == pods
    assert world.active["colour"] == "blue"


@pytest.mark.parametrize(
    ("fault", "until", "reason"),
    [
        ("migration", Phase.MIGRATING, Reason.MIGRATION_FAILED),
        ("smoke", Phase.TESTING, Reason.SMOKE_FAILED),
        ("errors", Phase.MONITORING, Reason.TOO_MANY_ERRORS),
        ("slow", Phase.MONITORING, Reason.TOO_SLOW),
    ],
)
def test_a_bad_version_is_rolled_back_and_not_tried_again(
    world: World, fault: str, until: Phase, reason: Reason
) -> None:
    # Given a version that is bad in some way
    world.faults.add(f"{fault}:1.1.0")
    world.ask(version="1.1.0")
    # When it is asked for
    phases, _ = walk(world, looks=200)
    # Then the old one runs as before
    assert phases == [*WHOLE[: WHOLE.index(until) + 1], *BACK]
    assert last(world) == (Phase.ROLLED_BACK, reason)
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
def test_a_third_version_during_a_cutover_goes_back_first(world: World, phase: Phase) -> None:
    world.ask(version="1.1.0")
    assert world.run_until(phase)
    world.ask(version="1.2.0")

    phases, _ = walk(world)

    assert phases == BACK
    assert last(world) == (Phase.ROLLED_BACK, Reason.SUPERSEDED)
    assert "rejected" not in world.stored
    assert walk(world)[0] == WHOLE
    assert world.active["version"] == "1.2.0"


def test_a_mind_that_is_changed_at_once_costs_nothing(world: World) -> None:
    world.ask(version="1.1.0")
    assert world.run_until(Phase.PENDING)
    world.ask(version="1.0.0")

    assert walk(world) == ([Phase.ROLLED_BACK], [])


def test_what_is_judged_is_not_withdrawn(world: World) -> None:
    world.ask(version="1.1.0")
    assert world.run_until(Phase.PROMOTING)
    world.ask(version="1.0.0")

    assert walk(world)[0] == [Phase.SUCCEEDED]
    assert walk(world)[0][-1] is Phase.SUCCEEDED
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


# --- time ------------------------------------------------------------------------------------------------------------


GREEN = ("Deployment", "rtx-engine-green")


def test_no_colour_executes_while_a_pod_of_what_it_was_before_still_ends(world: World) -> None:
    # Given 1.0.0 kept in blue, whose pods give way to those of 1.2.0 and take their time to end
    upgraded(world)
    world.ask(version="1.2.0")
    assert world.run_until(Phase.PROVISIONING)
    for _ in range(20):
        world.run_deployments()
        world.run_pods()
        world.look()

    # Then the fence stays where it is
    assert world.fence
    assert (world.phase, world.fence.executors) == (Phase.PROVISIONING, ("green",))
    assert "what blue was before still ends" in world.stored["cutover"]["message"]

    # And when they have ended, then it goes on
    assert world.run_until(Phase.SUCCEEDED)
    assert world.fence.executors == ("blue",)


def test_success_is_asked_before_the_deadline(world: World) -> None:
    world.ask(version="1.1.0")
    assert world.run_until(Phase.PROVISIONING)
    # Given that the last of the new pods is asked for, and gets ready long after the deadline, between two looks
    needed = world.children["Deployment", "rtx-engine-blue"]["spec"]["replicas"]
    for _ in range(20):
        if world.children.get(GREEN, {}).get("spec", {}).get("replicas", 0) == needed:
            break
        world.tick()
        world.look()
    assert world.phase is Phase.PROVISIONING
    world.now += timedelta(hours=1)
    world.run_deployments()
    world.run_pods()
    world.run_deployments()
    world.last_look = world.now

    assert world.look()
    assert world.phase is Phase.TESTING


def test_a_deadline_fires_only_after_a_second_look(world: World) -> None:
    # Given an operator that was away while a deadline passed
    world.faults.add("unready:1.1.0")
    world.ask(version="1.1.0")
    assert world.run_until(Phase.PROVISIONING)
    world.tick(3600)
    # When it looks again, then it first gives what it sees a chance
    world.look()
    assert world.phase is Phase.PROVISIONING
    # And then goes back
    for _ in range(20):
        world.tick()
        world.look()
    assert world.phase in BACK


def test_a_phase_is_written_down_before_anything_of_it_is_done(world: World) -> None:
    world.ask(version="1.1.0")
    for phase in UNTIL_THE_SWITCH:
        assert world.run_until(phase)
        before = world.stored
        decision = world.intend().decision
        assert not decision.effects or decision.entered is None
        assert before["cutover"]["phase"] == phase


# --- who was away, and who comes too late ----------------------------------------------------------------------------


def test_a_switch_in_which_nobody_could_look_for_long_goes_on(world: World) -> None:
    # Given a fence that has moved, and nobody who looked until long after the deadline
    world.ask(version="1.1.0")
    while (decision := world.look()) is None or not any(isinstance(one, MoveFence) for one in decision.effects):
        world.tick()
    world.tick(seconds=120)

    # When the operator looks again, and at once again, before EndpointSlices follow the live Service
    following = world.look()
    world.look()
    phases, _ = walk(world)

    # Then traffic follows, and the cutover succeeds
    assert following
    assert [effect.name for effect in following.effects] == [EffectName.SELECT]
    assert phases == [Phase.MONITORING, Phase.PROMOTING, Phase.SUCCEEDED]


def test_traffic_follows_the_fence_in_the_next_look(world: World) -> None:
    # Given a look that moves the fence
    world.ask(version="1.1.0")
    while (decision := world.look()) is None or not any(isinstance(one, MoveFence) for one in decision.effects):
        world.tick()

    # When the operator looks again, and again
    following = world.look()
    world.look()

    # Then the live Service follows at once, and the status remembers when the fence had moved
    assert following
    assert [effect.name for effect in following.effects] == [EffectName.SELECT]
    assert world.stored["cutover"]["fencedAt"]


def test_a_paused_engine_is_left_alone_in_any_phase(world: World) -> None:
    world.ask(version="1.1.0")
    assert world.run_until(Phase.SWITCHING)
    world.ask(paused=True)
    before = (world.fence, world.selected, world.children)

    assert walk(world, looks=10) == ([], [])
    assert (world.fence, world.selected) == before[:2]


def late_effects(world: World, *kinds: type) -> list[str]:
    """A leader is paused before it carries out what it decided, and the cutover is taken back meanwhile."""
    late = world.intend()
    effects = [effect for effect in late.decision.effects if isinstance(effect, kinds)]
    assert effects
    world.ask(version="1.0.0")
    assert world.run_until(Phase.ROLLED_BACK)
    refused = []
    for effect in effects:
        with pytest.raises(Conflict) as conflict:
            world.effect(effect, late)
        refused.append(str(conflict.value))
    return refused


def test_a_move_of_the_fence_that_comes_too_late_is_refused(world: World) -> None:
    # Given a leader that is paused just before it moves the fence; nobody else has moved it
    world.ask(version="1.1.0")
    assert world.run_until(Phase.SWITCHING)

    assert late_effects(world, MoveFence) == ["the fence has changed"]
    assert world.fence
    assert world.fence.executors == ("blue",)


def test_a_size_that_comes_too_late_is_refused(world: World) -> None:
    world.ask(version="1.1.0")
    assert world.run_until(Phase.PROVISIONING)
    for _ in range(20):
        world.tick()
        if any(isinstance(effect, Scale) for effect in world.intend().decision.effects):
            break
        world.look()

    assert late_effects(world, Scale) == ["Deployment rtx-engine-green has changed"]


# --- a failover of the database loses the last move of the fence -----------------------------------------------------


@pytest.mark.parametrize("phase", WHOLE[1:5])
def test_a_lost_move_is_mended_in_every_phase_of_the_next_cutover(world: World, phase: Phase) -> None:
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
    assert world.fence.executors == (("blue",) if phase is Phase.SWITCHING else ("green",))
    assert world.fence.epoch == 3


def test_a_colour_that_a_failover_made_execute_again_is_not_taken_away(world: World) -> None:
    upgraded(world)
    while world.stored["previous"]["state"] == Keeping.KEPT:
        world.tick()
        world.look()
    world.lose_move()

    decision = world.look()

    assert decision
    assert [effect.name for effect in decision.effects] == [EffectName.MOVE_FENCE]
    assert len(world.colour_pods("blue", ready=True)) == 2
    world.settle()


def test_nothing_is_taken_away_while_the_database_does_not_answer(world: World) -> None:
    upgraded(world)
    while world.stored["previous"]["state"] == Keeping.KEPT:
        world.tick()
        world.look()
    world.faults.add("no database")

    assert walk(world, looks=5) == ([], [])


def test_a_move_lost_while_the_version_is_watched_is_made_again(world: World) -> None:
    world.ask(version="1.1.0")
    assert world.run_until(Phase.MONITORING)
    world.lose_move()

    phases, done = walk(world)

    assert phases == [Phase.PROMOTING, Phase.SUCCEEDED]
    assert done[0] is EffectName.MOVE_FENCE


@pytest.mark.parametrize(("ready", "needed", "asked"), [(0, 3, 1), (1, 3, 2), (2, 3, 3), (4, 20, 8), (16, 20, 20)])
def test_a_colour_comes_up_with_one_pod_and_then_with_twice_those_that_are_ready(
    ready: int, needed: int, asked: int
) -> None:
    assert next_size(ready, needed) == asked
