"""The tables of phases: each is complete, and the cutover's table keeps its law."""

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from rtx_operator.api.enums import CutoverPhase, OperationName
from rtx_operator.operations.arbiter import OPERATIONS
from rtx_operator.operations.cutover.phases import PHASES, Side
from rtx_operator.operations.machine import (
    Event,
    IncompleteTableError,
    PhaseRow,
    PhaseTable,
    UnknownTransitionError,
    every,
    never,
    nothing_to_do,
)

ARCHITECTURE = Path(__file__).parents[3] / "docs" / "architecture.md"

BEFORE_THE_FENCE_MOVES = [
    CutoverPhase.PENDING,
    CutoverPhase.BACKING_UP,
    CutoverPhase.MIGRATING,
    CutoverPhase.PROVISIONING,
    CutoverPhase.TESTING,
]
AT_STAKE = [CutoverPhase.SWITCHING, CutoverPhase.MONITORING]  # the new colour may execute, and is not judged yet

# --- every table -----------------------------------------------------------------------------------------------------


def test_every_operation_has_a_table() -> None:
    assert set(OPERATIONS) == set(OperationName)


def under_way(table: PhaseTable[Any, Any]) -> Any:
    """A phase that expires, so that it has everything that a row may have."""
    return next(phase for phase, row in table.rows.items() if Event.EXPIRED in row.ways)


def ended(table: PhaseTable[Any, Any]) -> Any:
    return next(phase for phase, row in table.rows.items() if row.is_terminal)


# Mistakes in a row: (row, function that makes the mistake, text of the error).
MISTAKES: dict[str, tuple[Callable[[Any], Any], Callable[[PhaseRow[Any, Any]], Any], str]] = {
    "no row": (under_way, lambda _: None, "no row for"),
    "no Event text": (under_way, lambda row: replace(row, event_text=""), "has no Event text"),
    "a field that no record has": (under_way, lambda row: replace(row, event_text="{colr} runs"), "names 'colr'"),
    "no checks": (under_way, lambda row: replace(row, checks=()), "waits for nothing"),
    "no requeue": (under_way, lambda row: replace(row, requeue=never), "when it is reconciled again"),
    "a deadline that leads nowhere": (
        under_way,
        lambda row: replace(row, ways={event: to for event, to in row.ways.items() if event is not Event.EXPIRED}),
        "has a deadline or a way out when it has passed, not both",
    ),
    "no deadline": (under_way, lambda row: replace(row, deadline=None), "not both"),
    "a wait without end": (
        under_way,
        lambda row: replace(row, deadline=None, is_stuck=None),
        "may wait without end, and lets through nothing that would mend its cause",
    ),
    "a phase that is never done": (
        under_way,
        lambda row: replace(row, ways={event: to for event, to in row.ways.items() if event is not Event.DONE}),
        "is never done",
    ),
    "an end that acts": (ended, lambda row: replace(row, action=lambda _: ()), "still checks or does something"),
    "an end with a time": (ended, lambda row: replace(row, requeue=every(1.0)), "still has a time"),
    "an end with a deadline": (ended, lambda row: replace(row, deadline=lambda _: timedelta(1)), "still has a time"),
    "no end": (under_way, lambda row: replace(row, ways={}), "terminal by its enum, and otherwise by its ways"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("name", OPERATIONS)
def test_table_with_a_mistake_is_refused(name: OperationName, mistake: str) -> None:
    # Given the table of an operation, and a mistake in one of its rows
    table = OPERATIONS[name].phases
    which, made, error = MISTAKES[mistake]
    phase = which(table)
    row = made(table.rows[phase])
    rows = {one: there for one, there in table.rows.items() if one is not phase} | ({phase: row} if row else {})

    # When the table is made, then it is refused, and the operator does not start
    with pytest.raises(IncompleteTableError, match=error):
        replace(table, rows=MappingProxyType(rows))


@pytest.mark.parametrize("name", OPERATIONS)
def test_table_with_an_unreachable_phase_is_refused(name: OperationName) -> None:
    table = OPERATIONS[name].phases
    end = ended(table)
    rows = {
        phase: replace(row, ways={event: to for event, to in row.ways.items() if to is not end})
        for phase, row in table.rows.items()
    }

    with pytest.raises(IncompleteTableError, match=f"nothing leads to {end}"):
        replace(table, rows=MappingProxyType(rows))


@pytest.mark.parametrize("name", OPERATIONS)
def test_phase_with_an_action_has_checks(name: OperationName) -> None:
    acting = [row for row in OPERATIONS[name].phases.rows.values() if row.action is not nothing_to_do]

    assert acting
    assert all(row.checks for row in acting)


@pytest.mark.parametrize("name", OPERATIONS)
def test_documented_diagram_equals_the_table(name: OperationName) -> None:
    begin, end = f"<!-- {name.lower()}: generated -->", f"<!-- /{name.lower()} -->"
    text = ARCHITECTURE.read_text(encoding="utf-8")
    before, rest = text.split(begin)
    _, after = rest.split(end)
    wanted = f"{before}{begin}\n```mermaid\n{OPERATIONS[name].phases.diagram()}\n```\n{end}{after}"
    if os.environ.get("UPDATE_GOLDEN"):
        ARCHITECTURE.write_text(text := wanted, encoding="utf-8")
    assert text == wanted, "run the test with UPDATE_GOLDEN=1 and read the difference"


def test_unknown_event_of_a_phase_raises_an_error() -> None:
    with pytest.raises(UnknownTransitionError, match="Promoting knows no event withdrawn"):
        PHASES.following(CutoverPhase.PROMOTING, Event.WITHDRAWN)


# --- the law of the cutover ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", AT_STAKE)
@pytest.mark.parametrize("event", [Event.WITHDRAWN, Event.FAILED, Event.EXPIRED])
def test_switching_and_monitoring_roll_back_on_every_failure(phase: CutoverPhase, event: Event) -> None:
    assert PHASES.following(phase, event) is CutoverPhase.ROLLING_BACK


def test_promoting_leads_only_to_succeeded() -> None:
    assert set(PHASES[CutoverPhase.PROMOTING].ways.values()) == {CutoverPhase.SUCCEEDED}


def test_rolling_back_ends_and_never_at_its_deadline() -> None:
    assert PHASES[CutoverPhase.ROLLING_BACK].ways == {
        Event.DONE: CutoverPhase.ROLLED_BACK,
        Event.WITHDRAWN: CutoverPhase.FAILED,
    }


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_phase_has_a_way_out_besides_done(name: OperationName) -> None:
    """What waits for something else than time can be left without it: by failure, lateness, or another wish."""
    table = OPERATIONS[name].phases

    assert [phase for phase, row in table.rows.items() if set(row.ways) == {Event.DONE}] == []


def leading_to(target: CutoverPhase) -> list[tuple[CutoverPhase, Event]]:
    return [(phase, event) for phase, row in PHASES.rows.items() for event, to in row.ways.items() if to is target]


def test_cutover_succeeds_only_after_monitoring() -> None:
    assert {phase for phase, _ in leading_to(CutoverPhase.SUCCEEDED)} == {CutoverPhase.PROMOTING}
    assert leading_to(CutoverPhase.PROMOTING) == [(CutoverPhase.MONITORING, Event.DONE)]
    assert leading_to(CutoverPhase.MONITORING) == [(CutoverPhase.SWITCHING, Event.DONE)]


@pytest.mark.parametrize("phase", BEFORE_THE_FENCE_MOVES)
def test_failure_before_the_fence_move_never_activates_the_new_colour(
    phase: CutoverPhase,
) -> None:
    unwanted = {to for event, to in PHASES[phase].ways.items() if event not in {Event.DONE, Event.KEPT, Event.SKIPPED}}
    assert not [to for to in unwanted if PHASES[to].active is Side.NEW or PHASES[to].moves_fence_to is Side.NEW]


def test_kept_colour_skips_only_backup_and_migration() -> None:
    assert PHASES.following(CutoverPhase.PENDING, Event.KEPT) is CutoverPhase.PROVISIONING
    assert [phase for phase in CutoverPhase if Event.KEPT in PHASES[phase].ways] == [CutoverPhase.PENDING]


def test_new_colour_is_active_only_after_the_fence_has_moved_to_it() -> None:
    moving = [phase for phase in CutoverPhase if PHASES[phase].moves_fence_to is Side.NEW]
    active = {phase for phase in CutoverPhase if PHASES[phase].active is Side.NEW}

    assert moving == [CutoverPhase.SWITCHING]
    after_fence = PHASES.reached_from(CutoverPhase.MONITORING)
    assert active == after_fence - {CutoverPhase.ROLLING_BACK, CutoverPhase.ROLLED_BACK}


@pytest.mark.parametrize("phase", CutoverPhase)
def test_both_colours_are_repaired_while_either_may_take_traffic(phase: CutoverPhase) -> None:
    at_stake = {CutoverPhase.TESTING, CutoverPhase.SWITCHING, CutoverPhase.MONITORING, CutoverPhase.PROMOTING}
    assert PHASES[phase].repairs_both == (phase in at_stake)
