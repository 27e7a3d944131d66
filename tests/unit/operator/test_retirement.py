"""The retirement of a previous release: what it removes, what may hold it, and that it holds up nobody."""

import pytest
from cutover_cluster import label
from cutover_walks import WHOLE, until_retiring, upgraded, walk
from cutover_world import World
from rtx_operator.api.enums import ConditionType, CutoverPhase, Reason, RetirementPhase
from rtx_operator.api.names import Label
from rtx_operator.operations.effects import EffectName
from rtx_operator.operations.retirement.trigger import RETRY_PAUSE


def stalled(world: World) -> tuple[str, str, str]:
    """(status, reason, message) of the condition Stalled."""
    [condition] = [one for one in world.stored["conditions"] if one["type"] == ConditionType.STALLED]
    return condition["status"], condition["reason"], condition["message"]


def until(world: World, phase: RetirementPhase, reconciles: int = 40, seconds: float = 1) -> bool:
    for _ in range(reconciles):
        world.tick(seconds)
        world.look()
        world.judge()
        if world.stored.get("retirement", {}).get("phase") == phase:
            return True
    return False


@pytest.fixture
def retiring(world: World) -> World:
    """1.1.0 in green; the time of 1.0.0 in blue is over, and its pods are to end."""
    until_retiring(upgraded(world))
    return world


# --- what it removes -------------------------------------------------------------------------------------------------


def test_a_retirement_empties_the_colour_and_then_runs_the_contract_migrations(retiring: World) -> None:
    # Given a retirement that has begun: there is nothing to go back to any more
    assert retiring.stored["retirement"]["phase"] == RetirementPhase.EMPTYING
    assert "previous" not in retiring.stored

    # When nobody is late
    assert until(retiring, RetirementPhase.SUCCEEDED)

    # Then no pod of 1.0.0 is left, and each phase has its time
    assert retiring.colour_pods("blue") == []
    assert list(retiring.stored["retirement"]["seconds"]) == [RetirementPhase.EMPTYING, RetirementPhase.CONTRACTING]
    assert stalled(retiring)[0] == "False"


def test_a_phase_of_a_retirement_is_in_status_before_anything_of_it_is_done(retiring: World) -> None:
    decision = retiring.intend().decision

    assert [effect.name for effect in decision.effects] == [EffectName.EMPTY]
    assert retiring.stored["retirement"]["deadline"]


# --- what may hold it ------------------------------------------------------------------------------------------------


def test_an_evicted_pod_counts_as_gone(retiring: World) -> None:
    # Given a pod of the old colour that was evicted, whose object stays for ever
    evicted = retiring.colour_pods("blue")[0]
    retiring.evict(evicted)
    object_of_it = retiring.pods[evicted]

    # When the colour is emptied
    for _ in range(20):
        retiring.tick()
        retiring.pods[evicted] = object_of_it
        retiring.look()

    # Then the retirement ends, and the next upgrade is an upgrade
    assert retiring.stored["retirement"]["phase"] == RetirementPhase.SUCCEEDED
    retiring.ask(version="1.2.0")
    assert walk(retiring)[0] == WHOLE


def test_a_failed_contract_migration_bars_no_later_release(retiring: World) -> None:
    # Given contract migrations of 1.1.0 that fail
    retiring.faults.add("migration:1.1.0")
    assert until(retiring, RetirementPhase.FAILED)

    # Then the engine is stalled, and the message names the Job and what to do
    status, reason, message = stalled(retiring)
    assert (status, reason) == ("True", Reason.CONTRACT_FAILED)
    assert "kubectl logs job/" in message
    assert "delete the Job" in message

    # When a new version is asked for, then it takes over
    retiring.ask(version="1.2.0")
    assert walk(retiring)[0] == WHOLE
    assert stalled(retiring)[0] == "False"

    # And its own retirement runs what is still pending
    assert until(retiring, RetirementPhase.SUCCEEDED, reconciles=120)


def test_a_failed_retirement_stays_reported_when_the_next_release_goes_back(retiring: World) -> None:
    retiring.faults.update({"migration:1.1.0", "errors:1.2.0"})
    assert until(retiring, RetirementPhase.FAILED)

    retiring.ask(version="1.2.0")
    assert retiring.run_until(CutoverPhase.ROLLED_BACK)
    retiring.ask(version="1.1.0")
    retiring.look()

    assert stalled(retiring)[:2] == ("True", Reason.CONTRACT_FAILED)


@pytest.mark.parametrize("way", ["the Job is deleted", "the retry annotation changes"])
def test_a_failed_contract_migration_is_retried_when_a_person_asks(retiring: World, way: str) -> None:
    # Given contract migrations that failed, and whose cause is corrected
    retiring.faults.add("migration:1.1.0")
    assert until(retiring, RetirementPhase.FAILED)
    assert not until(retiring, RetirementPhase.EMPTYING, reconciles=30, seconds=60)  # never by itself
    retiring.faults.clear()

    # When a person asks for another try
    if way == "the Job is deleted":
        for key in [key for key in retiring.children if key[0] == "Job"]:
            del retiring.children[key]
    else:
        retiring.ask_again()

    # Then it succeeds
    assert until(retiring, RetirementPhase.SUCCEEDED)
    assert stalled(retiring)[0] == "False"


def hang(world: World, colour: str) -> str:
    """A pod of a lost node: it is to end, and nobody can say whether it has."""
    name = world.colour_pods(colour)[0]
    ended = world.end_pods

    def all_but_one() -> None:
        kept = world.pods.get(name)
        ended()
        if kept:
            world.pods[name] = kept

    world.end_pods = all_but_one  # type: ignore[method-assign]
    return name


def test_a_pod_that_hangs_ends_the_retirement_with_its_name_and_what_to_do(retiring: World) -> None:
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

    # And when a new version is asked for in its colour, then it takes over, and the pod does not execute
    retiring.ask(version="1.2.0")
    assert walk(retiring)[0] == WHOLE
    assert retiring.fence
    assert (retiring.fence.executors, retiring.fence.revisions) == (("blue",), (retiring.active["revision"],))
    assert label(retiring.pods[name], Label.REVISION) != retiring.active["revision"]


def test_a_pod_that_hung_and_is_gone_lets_the_retirement_end_by_itself(retiring: World) -> None:
    name = hang(retiring, "blue")
    assert until(retiring, RetirementPhase.FAILED, reconciles=60, seconds=15)

    del retiring.pods[name]
    assert until(retiring, RetirementPhase.SUCCEEDED, reconciles=int(RETRY_PAUSE.total_seconds() / 15) + 10, seconds=15)


def test_a_contract_job_that_never_ran_does_not_run_beside_the_next_release(retiring: World) -> None:
    # Given a contract Job whose pods never run
    retiring.faults.add("jobs hang")
    assert until(retiring, RetirementPhase.CONTRACTING)
    contract = retiring.intend().desired.active.contract["metadata"]["name"]
    retiring.look()
    assert ("Job", contract) in retiring.children

    # When its deadline has passed
    assert until(retiring, RetirementPhase.FAILED, reconciles=300, seconds=15)
    retiring.look()

    # Then it is deleted
    assert ("Job", contract) not in retiring.children
