"""A cutover whose operator was away, is late, or acts too late: deadlines, looks that were missed, writes refused."""

from datetime import timedelta

import pytest
from cutover_walks import BACK, UNTIL_THE_SWITCH, upgraded, walk
from cutover_world import Conflict, World
from rtx_operator.api.enums import CutoverPhase
from rtx_operator.operations.effects import EffectName, MoveFence, Scale

# --- time ------------------------------------------------------------------------------------------------------------


GREEN = ("Deployment", "rtx-engine-green")


def test_no_colour_executes_while_a_pod_of_what_it_was_before_still_ends(world: World) -> None:
    # Given 1.0.0 kept in blue, whose pods give way to those of 1.2.0 and take their time to end
    upgraded(world)
    world.ask(version="1.2.0")
    assert world.run_until(CutoverPhase.PROVISIONING)
    for _ in range(20):
        world.run_deployments()
        world.run_pods()
        world.look()

    # Then the fence stays where it is
    assert world.fence
    assert (world.phase, world.fence.executors) == (CutoverPhase.PROVISIONING, ("green",))
    assert "of another revision in blue has not ended" in world.stored["cutover"]["message"]

    # And when they have ended, then it goes on
    assert world.run_until(CutoverPhase.SUCCEEDED)
    assert world.fence.executors == ("blue",)


def test_success_is_asked_before_the_deadline(world: World) -> None:
    world.ask(version="1.1.0")
    assert world.run_until(CutoverPhase.PROVISIONING)
    # Given that the last of the new pods is asked for, and gets ready long after the deadline, between two looks
    needed = world.children["Deployment", "rtx-engine-blue"]["spec"]["replicas"]
    for _ in range(20):
        if world.children.get(GREEN, {}).get("spec", {}).get("replicas", 0) == needed:
            break
        world.tick()
        world.look()
    assert world.phase is CutoverPhase.PROVISIONING
    world.now += timedelta(hours=1)
    world.run_deployments()
    world.run_pods()
    world.run_deployments()
    world.last_look = world.now

    assert world.look()
    assert world.phase is CutoverPhase.TESTING


def test_a_deadline_fires_only_after_a_second_look(world: World) -> None:
    # Given an operator that was away while a deadline passed
    world.faults.add("unready:1.1.0")
    world.ask(version="1.1.0")
    assert world.run_until(CutoverPhase.PROVISIONING)
    world.tick(3600)
    # When it looks again, then it first gives what it sees a chance
    world.look()
    assert world.phase is CutoverPhase.PROVISIONING
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
    assert phases == [CutoverPhase.MONITORING, CutoverPhase.PROMOTING, CutoverPhase.SUCCEEDED]


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
    assert world.run_until(CutoverPhase.SWITCHING)
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
    assert world.run_until(CutoverPhase.ROLLED_BACK)
    refused = []
    for effect in effects:
        with pytest.raises(Conflict) as conflict:
            world.effect(effect, late)
        refused.append(str(conflict.value))
    return refused


def test_a_move_of_the_fence_that_comes_too_late_is_refused(world: World) -> None:
    # Given a leader that is paused just before it moves the fence; nobody else has moved it
    world.ask(version="1.1.0")
    assert world.run_until(CutoverPhase.SWITCHING)

    assert late_effects(world, MoveFence) == ["the fence has changed"]
    assert world.fence
    assert world.fence.executors == ("blue",)


def test_a_size_that_comes_too_late_is_refused(world: World) -> None:
    world.ask(version="1.1.0")
    assert world.run_until(CutoverPhase.PROVISIONING)
    for _ in range(20):
        world.tick()
        if any(isinstance(effect, Scale) for effect in world.intend().decision.effects):
            break
        world.look()

    assert late_effects(world, Scale) == ["Deployment rtx-engine-green has changed"]
