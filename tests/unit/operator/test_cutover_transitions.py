"""The table of a cutover's phases keeps the law that stands above it."""

import os
from pathlib import Path

import pytest
from rtx_operator.api.enums import Phase
from rtx_operator.cutover.advance import DEADLINES
from rtx_operator.cutover.checks import CHECKS
from rtx_operator.cutover.state import EXECUTING, SWITCHED
from rtx_operator.cutover.transitions import LATER, TRANSITIONS, Event, UnknownTransitionError, diagram, following

ARCHITECTURE = Path(__file__).parents[3] / "docs" / "architecture.md"
BEGIN, END = "<!-- cutover: generated -->", "<!-- /cutover -->"

PHASES = list(Phase)
TERMINAL = [phase for phase in Phase if phase.is_terminal]
BEFORE_THE_FENCE_MOVES = [Phase.PENDING, Phase.BACKING_UP, Phase.MIGRATING, Phase.PROVISIONING, Phase.TESTING]
AT_STAKE = [Phase.SWITCHING, Phase.MONITORING]  # the new colour may execute, and is not judged yet
NO_WAY_BACK = [Phase.PROMOTING, Phase.ROLLING_BACK]


def reached_from(*begin: Phase) -> set[Phase]:
    """The phases to which some chain of events leads."""
    found, open_ = set[Phase](), list(begin)
    while open_:
        phase = open_.pop()
        if phase not in found:
            found.add(phase)
            open_ += TRANSITIONS[phase].values()
    return found


def test_every_phase_has_its_row() -> None:
    assert set(TRANSITIONS) == set(Phase)


def test_every_phase_can_be_reached_or_is_a_seat_for_later() -> None:
    assert reached_from(Phase.PENDING) == set(Phase) - LATER


@pytest.mark.parametrize("phase", PHASES)
def test_from_every_phase_a_terminal_one_can_be_reached(phase: Phase) -> None:
    assert reached_from(phase) & set(TERMINAL)


@pytest.mark.parametrize("phase", TERMINAL)
def test_a_terminal_phase_has_no_way_out(phase: Phase) -> None:
    assert not TRANSITIONS[phase]


@pytest.mark.parametrize("phase", [phase for phase in Phase if not phase.is_terminal])
def test_every_other_phase_is_left_when_it_is_done(phase: Phase) -> None:
    assert Event.DONE in TRANSITIONS[phase]
    assert phase not in TRANSITIONS[phase].values()


@pytest.mark.parametrize("phase", AT_STAKE)
@pytest.mark.parametrize("event", [Event.WITHDRAWN, Event.FAILED, Event.EXPIRED])
def test_what_goes_wrong_while_the_new_colour_may_execute_leads_back(phase: Phase, event: Event) -> None:
    assert following(phase, event) is Phase.ROLLING_BACK


@pytest.mark.parametrize("phase", NO_WAY_BACK)
def test_what_is_judged_is_only_brought_to_its_end(phase: Phase) -> None:
    assert set(TRANSITIONS[phase]) == {Event.DONE}


def test_going_back_leads_nowhere_but_back() -> None:
    assert reached_from(Phase.ROLLING_BACK) == {Phase.ROLLING_BACK, Phase.ROLLED_BACK}


def test_a_cutover_succeeds_only_after_it_was_watched() -> None:
    ways = [(phase, event) for phase, row in TRANSITIONS.items() for event, to in row.items() if to is Phase.SUCCEEDED]
    assert ways == [(Phase.PROMOTING, Event.DONE)]
    assert [phase for phase, row in TRANSITIONS.items() if Phase.PROMOTING in row.values()] == [Phase.MONITORING]
    assert [phase for phase, row in TRANSITIONS.items() if Phase.MONITORING in row.values()] == [Phase.SWITCHING]


@pytest.mark.parametrize("phase", BEFORE_THE_FENCE_MOVES)
def test_before_the_fence_moves_nothing_ends_in_a_phase_in_which_the_new_colour_takes_traffic(phase: Phase) -> None:
    unwanted = {to for event, to in TRANSITIONS[phase].items() if event not in {Event.DONE, Event.KEPT}}
    assert not unwanted & EXECUTING


def test_a_kept_colour_saves_the_migration_and_no_test() -> None:
    assert following(Phase.PENDING, Event.KEPT) is Phase.PROVISIONING
    assert not [phase for phase in Phase if phase is not Phase.PENDING and Event.KEPT in TRANSITIONS[phase]]


def test_each_phase_that_expires_has_a_deadline_and_no_other() -> None:
    expiring = {phase for phase, row in TRANSITIONS.items() if Event.EXPIRED in row}
    assert set(DEADLINES) == expiring - LATER


def test_each_phase_that_waits_knows_for_what() -> None:
    waiting = {phase for phase in Phase if not phase.is_terminal} - LATER - {Phase.PENDING}
    assert set(CHECKS) == waiting
    assert all(CHECKS.values())


def test_the_new_colour_is_active_only_where_it_executes() -> None:
    assert SWITCHED < EXECUTING
    assert Phase.SWITCHING in EXECUTING - SWITCHED


def test_an_event_that_the_row_does_not_name_is_a_bug() -> None:
    with pytest.raises(UnknownTransitionError, match="Promoting knows no event failed"):
        following(Phase.PROMOTING, Event.FAILED)


def test_the_diagram_in_the_documentation_is_the_table() -> None:
    text = ARCHITECTURE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    wanted = f"{before}{BEGIN}\n```mermaid\n{diagram()}\n```\n{END}{after}"
    if os.environ.get("UPDATE_GOLDEN"):
        ARCHITECTURE.write_text(text := wanted, encoding="utf-8")
    assert text == wanted, "run the test with UPDATE_GOLDEN=1 and read the difference"
