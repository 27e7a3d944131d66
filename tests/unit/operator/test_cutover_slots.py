"""At most MAX_CUTOVERS engines are upgraded at a time; the rest wait in Pending, and none waits that goes back."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cutover_contexts import passing
from cutover_walks import reconciled, upgraded
from cutover_world import World
from rtx_operator.api.enums import CutoverPhase, Reason
from rtx_operator.api.status import Previous
from rtx_operator.controllers.slots import Slots, has_cutover_slot
from rtx_operator.operations.cutover.checks import upgrade
from rtx_operator.operations.cutover.context import CutoverContext
from rtx_operator.results import Waiting


def waiting() -> CutoverContext:
    """A cutover in Pending, while twenty others run and no slot is free."""
    given = passing(CutoverPhase.PENDING)
    return replace(given, seen=replace(given.seen, cutover_slot=False, cutovers_elsewhere=20))


def in_phase(phase: str, **metadata: str) -> dict[str, Any]:
    """An engine as the API server stores it, with a cutover in this phase."""
    return {"metadata": metadata, "status": {"cutover": {"phase": phase}}}


def test_cutover_without_a_slot_waits_and_says_for_how_many() -> None:
    unmet = upgrade.slot_is_free(waiting())

    assert isinstance(unmet, Waiting)
    assert unmet.reason is Reason.FLEET_BUSY
    assert "20 other engines are being upgraded" in unmet.message
    assert "MAX_CUTOVERS" in unmet.message


def test_number_that_is_not_known_yet_is_not_told() -> None:
    given = waiting()

    unmet = upgrade.slot_is_free(replace(given, seen=replace(given.seen, cutovers_elsewhere=None)))

    assert isinstance(unmet, Waiting)
    assert unmet.reason is Reason.FLEET_BUSY
    assert unmet.message == "waiting until the operator, which has just started, knows all engines"


def test_engines_that_wait_are_woken_once_all_are_known() -> None:
    woken: list[str] = []
    slots: Slots[str] = Slots(1, woken.append)
    for engine in ("a", "b"):
        slots.wait(engine)

    slots.load({})

    assert woken == ["a", "b"]


def test_cutover_with_a_slot_waits_for_none() -> None:
    assert upgrade.slot_is_free(passing(CutoverPhase.PENDING)) is None


def test_return_to_the_kept_release_waits_for_no_slot() -> None:
    given = waiting()
    new = given.new
    kept = Previous(
        colour=new.colour, version=new.version, revision=new.revision, retire_after=given.now + timedelta(hours=1)
    )
    status = given.engine.status.model_copy(update={"previous": kept})

    assert upgrade.slot_is_free(replace(given, engine=replace(given.engine, status=status))) is None


def test_cutover_has_a_slot_from_the_end_of_pending_until_it_ends_or_goes_back() -> None:
    without = {phase for phase in CutoverPhase if phase.is_terminal} | {CutoverPhase.PENDING, CutoverPhase.ROLLING_BACK}

    assert {phase for phase in CutoverPhase if not has_cutover_slot(in_phase(phase))} == without
    assert not has_cutover_slot({"metadata": {}})


def test_phase_of_a_later_operator_has_a_slot() -> None:
    assert has_cutover_slot(in_phase("Canarying"))


def test_no_slot_is_given_before_all_engines_are_known() -> None:
    slots: Slots[str] = Slots(2)
    assert not slots.may_take("a")

    slots.load({"b": True})

    assert slots.may_take("a")


def test_engine_that_was_noted_meanwhile_is_not_taken_back_to_what_was_listed() -> None:
    slots: Slots[str] = Slots(1)
    slots.note("a", has_slot=False)

    slots.load({"a": True})

    assert slots.may_take("b")


def test_slot_of_one_is_refused_to_the_next() -> None:
    slots: Slots[str] = Slots(1)
    slots.load({})
    slots.note("a", has_slot=True)

    assert (slots.may_take("a"), slots.may_take("b")) == (True, False)


def test_freed_slot_wakes_the_engine_that_has_waited_longest() -> None:
    # Given one slot, for which two engines wait
    woken: list[str] = []
    slots: Slots[str] = Slots(1, woken.append)
    slots.load({"a": True})
    for engine in ("b", "c", "b"):
        slots.wait(engine)

    # When it is free, then it is taken by the first
    slots.note("a", has_slot=False)
    assert woken == ["b"]
    assert slots.may_take("b")
    slots.note("b", has_slot=True)

    # And the other one is next, also when the first is deleted
    slots.forget("b")
    assert woken == ["b", "c"]


def test_engine_that_is_being_deleted_has_no_slot() -> None:
    assert not has_cutover_slot(in_phase("Switching", deletionTimestamp="2026-11-26T12:00:00Z"))


def test_kept_release_is_repaired_while_the_next_upgrade_waits_for_a_slot(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a kept release, and a next version that waits: the fleet is busy
    upgraded(world)
    observe = World.observe
    monkeypatch.setattr(World, "observe", lambda *given: replace(observe(*given), cutover_slot=False))
    world.set_spec(version="1.2.0")
    reconciled(world, 5)
    assert world.phase is CutoverPhase.PENDING

    # When somebody deletes what protects the kept pods, and scales them down
    del world.children["PodDisruptionBudget", "rtx-engine-blue"]
    live = world.children["Deployment", "rtx-engine-blue"]
    world.children["Deployment", "rtx-engine-blue"] = {**live, "spec": {**live["spec"], "replicas": 0}}
    reconciled(world, 10)

    # Then both are repaired: going back is still a switch
    assert ("PodDisruptionBudget", "rtx-engine-blue") in world.children
    assert world.colour_pods("blue", ready=True)
