"""The retirement of a previous release: its effects, its failures, and that it delays no later release."""

import itertools

import pytest
from cutover_walks import UPGRADE_PHASES, lose, reconciled, upgraded, walk
from cutover_world import World
from retirement_walks import hang, keep, stalled, until
from rtx_operator.api.enums import Colour, CutoverPhase, Reason, RetirementPhase
from rtx_operator.api.names import Label
from rtx_operator.operations.effects import EffectName
from rtx_operator.operations.retirement.trigger import RETRY_PAUSE
from simulated_api import label

# --- its effects -----------------------------------------------------------------------------------------------------


def test_retirement_empties_the_colour_and_then_runs_the_contract_migrations(retiring: World) -> None:
    # Given a retirement that has begun: from its next reconcile on there is no previous release
    assert retiring.stored["retirement"]["phase"] == RetirementPhase.EMPTYING
    retiring.reconcile()
    assert "previous" not in retiring.stored

    # When it continues
    assert until(retiring, RetirementPhase.SUCCEEDED)

    # Then no pod of 1.0.0 is left, and each phase has its time
    assert retiring.colour_pods("blue") == []
    assert list(retiring.stored["retirement"]["seconds"]) == [RetirementPhase.EMPTYING, RetirementPhase.CONTRACTING]
    assert stalled(retiring)[0] == "False"


def test_retirement_phase_is_in_status_before_its_effects(retiring: World) -> None:
    assert retiring.intend().decision.effects == ()  # status still names the previous release
    retiring.reconcile()

    decision = retiring.intend().decision

    assert [effect.name for effect in decision.effects] == [EffectName.EMPTY]
    assert retiring.stored["retirement"]["deadline"]


# --- the way back ----------------------------------------------------------------------------------------------------


def contract_jobs(world: World) -> list[str]:
    jobs = [(name, job) for (kind, name), job in world.children.items() if kind == "Job"]
    return [name for name, job in jobs if "contract" in job["spec"]["template"]["spec"]["containers"][0]["args"]]


def test_release_before_is_kept_while_the_active_one_is_down(world: World) -> None:
    # Given an upgraded engine of which no pod is ready any more
    reconciled(upgraded(world), 20)
    lose(world, "green", "1.1.0")

    # When the time is over for which the previous release is kept
    reconciled(world, 60)

    # Then it is still there as the way back, and status says why
    assert world.colour_pods("blue", ready=True)
    assert not contract_jobs(world)
    assert world.stored["previous"]["message"].startswith("version 1.1.0 has fewer ready pods than its minimum of 2")

    # And going back is a switch
    world.set_spec(version="1.0.0")
    assert world.run_until(CutoverPhase.SUCCEEDED, 60)
    assert CutoverPhase.MIGRATING not in world.stored["history"][0]["seconds"]


def test_release_before_is_retired_once_the_active_one_is_back(world: World) -> None:
    reconciled(upgraded(world), 20)
    lose(world, "green", "1.1.0")
    reconciled(world, 60)

    world.faults.clear()

    assert until(world, RetirementPhase.SUCCEEDED)


def test_release_before_gives_its_room_to_the_active_one(world: World) -> None:
    # Given an active release of two pods, of which one fits on no node beside those of the release before
    reconciled(upgraded(world), 20)
    away = world.colour_pods("green")[0]
    fits = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "Insufficient cpu"}
    for _ in range(80):
        world.tick()
        if world.colour_pods("blue"):
            world.pods[away] = {**world.pods[away], "status": {"phase": "Pending", "conditions": [fits]}}
        world.reconcile()

    # Then these end in their time
    assert not world.colour_pods("blue")


def test_active_release_that_goes_down_as_a_retirement_begins_has_its_way_back(retiring: World) -> None:
    # Given a retirement that has begun, and asked no pod to end yet, when the active release goes down
    lose(retiring, "green", "1.1.0")
    reconciled(retiring, 60)
    assert retiring.colour_pods("blue", ready=True)

    # When the version is set back, then it is a switch
    retiring.set_spec(version="1.0.0")
    assert retiring.run_until(CutoverPhase.SUCCEEDED, 60)
    assert CutoverPhase.MIGRATING not in retiring.stored["history"][0]["seconds"]


def test_contract_migrations_do_not_begin_while_the_active_release_is_down(retiring: World) -> None:
    # Given pods of the release before that have ended, when the active one goes down
    assert until(retiring, RetirementPhase.CONTRACTING)
    lose(retiring, "green", "1.1.0")
    reconciled(retiring, 60)
    assert not contract_jobs(retiring)

    # When it is back, then they run
    retiring.faults.clear()
    assert until(retiring, RetirementPhase.SUCCEEDED)


# --- its failures ----------------------------------------------------------------------------------------------------


def test_evicted_pod_does_not_hold_the_retirement(retiring: World) -> None:
    # Given a pod of the old colour that was evicted, whose object stays for ever
    evicted = retiring.colour_pods("blue")[0]
    retiring.evict(evicted)
    keep(retiring, evicted)

    # When the colour is emptied
    for _ in range(20):
        retiring.tick()
        retiring.reconcile()

    # Then the retirement ends, and the next upgrade is an upgrade
    assert retiring.stored["retirement"]["phase"] == RetirementPhase.SUCCEEDED
    retiring.set_spec(version="1.2.0")
    assert walk(retiring)[0] == UPGRADE_PHASES


@pytest.mark.parametrize(
    ("phase", "colour"),
    [
        (phase, colour)
        for phase, colour in itertools.product(UPGRADE_PHASES[2:-1], Colour)
        # New pods that are evicted after the gates were passed roll the version back.
        if colour is Colour.BLUE or phase not in {CutoverPhase.SWITCHING, CutoverPhase.MONITORING}
    ],
)
def test_pod_evicted_in_an_upgrade_holds_up_neither_it_nor_the_next_one(
    world: World, phase: CutoverPhase, colour: Colour
) -> None:
    # Given an upgrade in whose course a pod of one of the colours is evicted, whose object stays for ever
    world.set_spec(version="1.1.0")
    assert world.run_until(phase)
    while not world.colour_pods(colour):
        world.reconcile()
        world.tick()
    evicted = world.colour_pods(colour)[0]
    world.evict(evicted)
    keep(world, evicted)

    # Then it succeeds, and so does the next one, and what they leave is retired
    assert world.run_until(CutoverPhase.SUCCEEDED, 80)
    world.set_spec(version="1.2.0")
    assert world.run_until(CutoverPhase.SUCCEEDED, 80)
    assert until(world, RetirementPhase.SUCCEEDED, 120)


def test_failed_contract_migration_blocks_no_later_release(retiring: World) -> None:
    # Given contract migrations of 1.1.0 that fail
    retiring.faults.add("migration:1.1.0")
    assert until(retiring, RetirementPhase.FAILED)

    # Then the engine is stalled, and the message names the Job and what to do
    status, reason, message = stalled(retiring)
    assert (status, reason) == ("True", Reason.CONTRACT_FAILED)
    assert "kubectl logs job/" in message
    assert "delete the Job" in message

    # When the spec changes to a new version, then it becomes active
    retiring.set_spec(version="1.2.0")
    assert walk(retiring)[0] == UPGRADE_PHASES
    assert stalled(retiring)[0] == "False"

    # And its own retirement runs the pending contract migrations
    assert until(retiring, RetirementPhase.SUCCEEDED, reconciles=120)


def test_failed_retirement_stays_stalled_after_a_rollback_of_the_next_release(retiring: World) -> None:
    retiring.faults.update({"migration:1.1.0", "errors:1.2.0"})
    assert until(retiring, RetirementPhase.FAILED)

    retiring.set_spec(version="1.2.0")
    assert retiring.run_until(CutoverPhase.ROLLED_BACK)
    retiring.set_spec(version="1.1.0")
    retiring.reconcile()

    assert stalled(retiring)[:2] == ("True", Reason.CONTRACT_FAILED)


@pytest.mark.parametrize("way", ["the Job is deleted", "the retry annotation changes"])
def test_failed_contract_migration_is_retried_on_request(retiring: World, way: str) -> None:
    # Given contract migrations that failed, and whose cause is corrected
    retiring.faults.add("migration:1.1.0")
    assert until(retiring, RetirementPhase.FAILED)
    assert not until(retiring, RetirementPhase.EMPTYING, reconciles=30, seconds=60)  # never by itself
    retiring.faults.clear()

    # When a person requests a retry
    if way == "the Job is deleted":
        for key in [key for key in retiring.children if key[0] == "Job"]:
            del retiring.children[key]
    else:
        retiring.retry()

    # Then it succeeds
    assert until(retiring, RetirementPhase.SUCCEEDED)
    assert stalled(retiring)[0] == "False"


def test_retry_of_a_rejected_version_does_not_retry_failed_contract_migrations_later(retiring: World) -> None:
    # Given contract migrations that failed, and a version that was rolled back
    retiring.faults.update({"migration:1.1.0", "smoke:1.2.0"})
    assert until(retiring, RetirementPhase.FAILED)
    retiring.set_spec(version="1.2.0")
    assert retiring.run_until(CutoverPhase.ROLLED_BACK)

    # When the version is tried again by the annotation, in vain, and then spec goes back
    retiring.retry()
    assert retiring.run_until(CutoverPhase.ROLLED_BACK)
    retiring.set_spec(version="1.1.0")

    # Then the contract migrations wait for a request of their own
    assert not until(retiring, RetirementPhase.EMPTYING, reconciles=20)
    retiring.retry()
    assert until(retiring, RetirementPhase.EMPTYING, reconciles=5)


def test_engine_stays_stalled_while_a_failed_retirement_is_tried_again(retiring: World) -> None:
    # Given a retirement that failed for a pod that hangs
    name = hang(retiring, "blue")
    assert until(retiring, RetirementPhase.FAILED, reconciles=60, seconds=15)

    # When it is tried again, in vain
    assert until(retiring, RetirementPhase.EMPTYING, reconciles=60, seconds=15)
    retiring.reconcile()
    status, reason, message = stalled(retiring)
    assert (status, reason) == ("True", Reason.PODS_REMAIN)
    assert "tried again now" in message
    assert until(retiring, RetirementPhase.FAILED, reconciles=60, seconds=15)
    retiring.reconcile()
    assert stalled(retiring)[0] == "True"

    # Then the engine is no longer stalled once it has passed
    del retiring.pods[name]
    assert until(retiring, RetirementPhase.CONTRACTING, reconciles=60, seconds=15)
    assert stalled(retiring)[0] == "True"
    assert until(retiring, RetirementPhase.SUCCEEDED)
    assert stalled(retiring)[0] == "False"


def test_hanging_pod_fails_the_retirement_with_its_name_and_a_remedy(retiring: World) -> None:
    # Given a pod of the old colour that never ends
    name = hang(retiring, "blue")

    # When the deadline of Emptying has passed
    assert not until(retiring, RetirementPhase.CONTRACTING, reconciles=20)
    assert until(retiring, RetirementPhase.FAILED, reconciles=40, seconds=15)

    # Then the engine is stalled, the message has the command that helps, and no contract migration has run
    status, reason, message = stalled(retiring)
    assert (status, reason) == ("True", Reason.PODS_REMAIN)
    assert f"kubectl delete pod {name} --force" in message
    assert not [key for key in retiring.children if key[0] == "Job" and "contract" in str(retiring.children[key])]

    # And when a new version uses its colour, then it becomes active, and the pod does not execute
    retiring.set_spec(version="1.2.0")
    assert walk(retiring)[0] == UPGRADE_PHASES
    assert retiring.fence
    assert (retiring.fence.executors, retiring.fence.revisions) == (("blue",), (retiring.active["revision"],))
    assert label(retiring.pods[name], Label.REVISION) != retiring.active["revision"]


def test_retirement_succeeds_by_itself_once_a_hanging_pod_is_gone(retiring: World) -> None:
    name = hang(retiring, "blue")
    assert until(retiring, RetirementPhase.FAILED, reconciles=60, seconds=15)

    del retiring.pods[name]
    assert until(retiring, RetirementPhase.SUCCEEDED, reconciles=int(RETRY_PAUSE.total_seconds() / 15) + 10, seconds=15)


def test_contract_job_that_never_ran_is_deleted_after_its_deadline(retiring: World) -> None:
    # Given a contract Job whose pods never run
    retiring.faults.add("jobs hang")
    assert until(retiring, RetirementPhase.CONTRACTING)
    contract = retiring.intend().desired.active.contract["metadata"]["name"]
    retiring.reconcile()
    assert ("Job", contract) in retiring.children

    # When its deadline has passed
    assert until(retiring, RetirementPhase.FAILED, reconciles=300, seconds=15)
    retiring.reconcile()

    # Then it is deleted
    assert ("Job", contract) not in retiring.children
