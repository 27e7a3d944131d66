"""Late operators: deadlines after a gap in observation, phases resumed, and late effects refused."""

from datetime import timedelta

import pytest
from cutover_walks import PHASES_TO_SWITCHING, ROLLBACK_PHASES, upgraded, walk
from cutover_world import Conflict, World
from rtx_operator.api.engine import UnknownActiveError
from rtx_operator.api.enums import CutoverPhase
from rtx_operator.api.status import MESSAGE_LIMIT
from rtx_operator.operations.effects import EffectName, MoveFence, Scale

# --- deadlines --------------------------------------------------------------------------------------------------------


GREEN = ("Deployment", "rtx-engine-green")


def test_fence_does_not_move_while_pods_of_another_revision_end(world: World) -> None:
    # Given 1.0.0 kept in blue, whose pods end slowly while those of 1.2.0 start
    upgraded(world)
    world.set_spec(version="1.2.0")
    assert world.run_until(CutoverPhase.PROVISIONING)
    for _ in range(20):
        world.run_deployments()
        world.run_pods()
        world.reconcile()

    # Then the fence does not move
    assert world.fence
    assert (world.phase, world.fence.executors) == (CutoverPhase.PROVISIONING, ("green",))
    assert "of another revision in blue has not ended" in world.stored["cutover"]["message"]

    # And when they have ended, then the cutover succeeds
    assert world.run_until(CutoverPhase.SUCCEEDED)
    assert world.fence.executors == ("blue",)


def test_passed_checks_count_before_a_passed_deadline(world: World) -> None:
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.PROVISIONING)
    # Given a new colour of full size whose last pod gets ready after the deadline, between two reconciles
    needed = world.children["Deployment", "rtx-engine-blue"]["spec"]["replicas"]
    for _ in range(20):
        if world.children.get(GREEN, {}).get("spec", {}).get("replicas", 0) == needed:
            break
        world.tick()
        world.reconcile()
    assert world.phase is CutoverPhase.PROVISIONING
    world.now += timedelta(hours=1)
    world.run_deployments()
    world.run_pods()
    world.run_deployments()
    world.last_observed = world.now

    # When the operator reconciles, then the phase is done
    assert world.reconcile()
    assert world.phase is CutoverPhase.TESTING


def test_deadline_does_not_fire_after_a_gap_in_observation(world: World) -> None:
    # Given a deadline that passed in a gap in observation
    world.faults.add("unready:1.1.0")
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.PROVISIONING)
    world.tick(3600)
    # When the operator reconciles once, then the deadline does not fire
    world.reconcile()
    assert world.phase is CutoverPhase.PROVISIONING
    # And after two minutes the cutover rolls back
    for _ in range(125):
        world.tick()
        world.reconcile()
    assert world.phase in ROLLBACK_PHASES


def test_cutover_phase_is_in_status_before_its_effects(world: World) -> None:
    world.set_spec(version="1.1.0")
    for phase in PHASES_TO_SWITCHING:
        assert world.run_until(phase)
        before = world.stored
        decision = world.intend().decision
        assert not decision.effects or decision.entered is None
        assert before["cutover"]["phase"] == phase


# --- interrupted operators and late effects ---------------------------------------------------------------------------


def test_switch_continues_after_a_gap_in_observation(world: World) -> None:
    # Given a fence that has moved, and no reconcile until long after the deadline
    world.set_spec(version="1.1.0")
    while (decision := world.reconcile()) is None or not any(isinstance(one, MoveFence) for one in decision.effects):
        world.tick()
    world.tick(seconds=120)

    # When the operator reconciles twice before the EndpointSlices follow the live Service
    following = world.reconcile()
    world.reconcile()
    phases, _ = walk(world)

    # Then it selects the new colour, and the cutover succeeds
    assert following
    assert [effect.name for effect in following.effects] == [EffectName.SELECT]
    assert phases == [CutoverPhase.MONITORING, CutoverPhase.PROMOTING, CutoverPhase.SUCCEEDED]


def test_live_service_follows_the_fence_in_the_next_reconcile(world: World) -> None:
    # Given a reconcile that moves the fence
    world.set_spec(version="1.1.0")
    while (decision := world.reconcile()) is None or not any(isinstance(one, MoveFence) for one in decision.effects):
        world.tick()

    # When the operator reconciles twice
    following = world.reconcile()
    world.reconcile()

    # Then the first selects the new colour, and status has the time of the fence move
    assert following
    assert [effect.name for effect in following.effects] == [EffectName.SELECT]
    assert world.stored["cutover"]["fencedAt"]


def test_paused_engine_in_switching_has_no_effects(world: World) -> None:
    # Given a cutover in Switching
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.SWITCHING)
    # When the engine is paused
    world.set_spec(paused=True)
    before = (world.fence, world.selected, world.children)

    # Then nothing changes
    assert walk(world, reconciles=10) == ([], [])
    assert (world.fence, world.selected) == before[:2]


def late_effects(world: World, *kinds: type) -> list[str]:
    """Messages of the Conflicts of a paused leader, which performs its effects after another one rolled back."""
    late = world.intend()
    effects = [effect for effect in late.decision.effects if isinstance(effect, kinds)]
    assert effects
    world.set_spec(version="1.0.0")
    assert world.run_until(CutoverPhase.ROLLED_BACK)
    refused = []
    for effect in effects:
        with pytest.raises(Conflict) as conflict:
            world.perform(effect, late)
        refused.append(str(conflict.value))
    return refused


def test_late_fence_move_is_refused(world: World) -> None:
    # Given a leader that is paused just before the first move of the fence
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.SWITCHING)

    # When it moves the fence after the rollback of another leader, then the database refuses
    assert late_effects(world, MoveFence) == ["the fence has changed"]
    assert world.fence
    assert world.fence.executors == ("blue",)


def test_late_scale_is_refused(world: World) -> None:
    # Given a leader that is paused just before it scales the new colour
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.PROVISIONING)
    for _ in range(20):
        world.tick()
        if any(isinstance(effect, Scale) for effect in world.intend().decision.effects):
            break
        world.reconcile()

    # When it does so after the rollback of another leader, then the API server refuses
    assert late_effects(world, Scale) == ["Deployment rtx-engine-green has changed"]


# --- records that are lost, and texts of others ----------------------------------------------------------------------


def test_lost_record_of_the_active_release_is_made_again_from_what_runs(world: World) -> None:
    # Given a rejected version that spec still asks for, and a ControllerRevision of the active one that is deleted
    key = rejected_without_record(world)
    pods = dict(world.pods)

    # When the engine is reconciled
    world.reconcile()

    # Then the record is there again, and makes the pods that run
    assert key in world.children
    world.settle()
    assert {name: pod["spec"] for name, pod in world.pods.items()} == {name: pod["spec"] for name, pod in pods.items()}

    # And the engine can be upgraded from there
    world.faults.clear()
    world.set_spec(version="1.2.0")
    world.settle()
    assert world.active["version"] == "1.2.0"


def test_lost_record_and_deployment_of_the_active_release_change_nothing(world: World) -> None:
    # Given a rejected version that spec still asks for, and an active one of which nothing is left
    key = rejected_without_record(world)
    del world.children["Deployment", "rtx-engine-blue"]

    # When the engine is reconciled, then what spec asks for does not stand in for what runs
    with pytest.raises(UnknownActiveError, match=r"records version 1\.0\.0"):
        world.intend()

    # And when spec asks for what runs, then the record is made again
    world.set_spec(version="1.0.0")
    world.reconcile()
    assert key in world.children


def rejected_without_record(world: World) -> tuple[str, str]:
    """Version 1.1.0 was rolled back, and the record of 1.0.0 is deleted; its key."""
    world.faults.add("smoke:1.1.0")
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.ROLLED_BACK)
    key = ("ControllerRevision", f"rtx-engine-blue-{world.active['revision']}")
    del world.children[key]
    return key


def test_message_of_a_job_is_cut_to_what_status_may_hold(world: World) -> None:
    # Given a migration that leaves as much as a termination message may have
    world.faults.add("migration:1.1.0")
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.MIGRATING)
    world.tick()
    world.reconcile()
    for job in [name for kind, name in world.children if kind == "Job"]:
        ended = {"name": "migrate", "state": {"terminated": {"exitCode": 1, "message": "x" * MESSAGE_LIMIT}}}
        labels = {"batch.kubernetes.io/job-name": job}
        world.pods[job] = {"metadata": {"name": job, "labels": labels}, "status": {"containerStatuses": [ended]}}

    # When the cutover goes back
    world.tick()
    world.reconcile()

    # Then the API server accepts the status
    assert world.phase is CutoverPhase.ROLLING_BACK
    assert len(world.stored["cutover"]["message"]) == MESSAGE_LIMIT
