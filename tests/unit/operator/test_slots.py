"""The fleet's slots for maintenance."""

import asyncio
from typing import Any

import pytest
from rtx_operator.api.enums import MaintenancePhase
from rtx_operator.controllers.slots import Slots, has_slot


def stored(status: dict[str, Any], **metadata: str) -> dict[str, Any]:
    """An engine as the API server stores it."""
    return {"metadata": metadata, "status": status}


def loaded(limit: int, **engines: bool) -> Slots:
    slots = Slots(limit)
    slots.load(engines)
    return slots


def test_no_slot_is_free_before_all_engines_are_known() -> None:
    slots = Slots(2)
    slots.note("a", has_slot=False)

    assert not slots.may_take("a")
    slots.load({})
    assert slots.may_take("a")


def test_new_leader_counts_what_status_says() -> None:
    slots = loaded(2, a=True, b=True, c=False)

    assert not slots.may_take("c")
    slots.note("a", has_slot=False)
    assert slots.may_take("c")


def test_engine_with_a_slot_keeps_it() -> None:
    assert loaded(1, a=True, b=True).may_take("a")


def test_what_was_noted_is_newer_than_the_list() -> None:
    # Given a list that was read before an engine's maintenance began
    slots = Slots(1)
    slots.note("a", has_slot=True)

    slots.load({"a": False, "b": False})

    assert not slots.may_take("b")


def test_deleted_engine_gives_its_slot_back() -> None:
    slots = loaded(1, a=True)

    slots.forget("a")

    assert slots.may_take("b")


def test_of_many_engines_that_ask_at_once_only_as_many_as_the_limit_get_a_slot() -> None:
    slots, got = loaded(2), []

    async def ask(engine: str) -> None:
        await asyncio.sleep(0)
        if slots.may_take(engine):
            slots.note(engine, has_slot=True)
            got.append(engine)
        await asyncio.sleep(0)

    async def ask_all() -> None:
        await asyncio.gather(*(ask(str(number)) for number in range(20)))

    asyncio.run(ask_all())

    assert len(got) == 2


@pytest.mark.parametrize(
    ("phase", "counts"),
    [
        (None, False),
        (MaintenancePhase.PENDING, False),
        (MaintenancePhase.CHECKING, True),
        (MaintenancePhase.RESTARTING, True),
        (MaintenancePhase.VERIFYING, True),
        (MaintenancePhase.ROLLING_BACK, True),
        (MaintenancePhase.SUCCEEDED, False),
        (MaintenancePhase.FAILED, False),
        ("APhaseOfALaterOperator", True),
    ],
)
def test_phases_that_count(phase: str | None, *, counts: bool) -> None:
    assert has_slot(stored({"maintenance": {"phase": phase}} if phase else {})) is counts


def test_engine_that_is_being_deleted_has_no_slot() -> None:
    assert not has_slot(stored({"maintenance": {"phase": "Restarting"}}, deletionTimestamp="2026-11-26T12:00:00Z"))
