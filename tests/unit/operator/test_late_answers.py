"""Answers of databases and pods that come later than a reconcile waits for them: unknown proves and ends nothing."""

from datetime import timedelta

import pytest
from cutover_walks import UPGRADE_PHASES
from cutover_world import World, copied, installed
from rtx_operator.api.enums import ConditionType, CutoverPhase
from rtx_operator.decision.outcome import Outcome
from rtx_operator.decision.requeue import UNREACHABLE_SECONDS, requeue_after
from rtx_operator.observation import Freshness
from rtx_operator.operations.arbiter import freshness, traffic_waits
from rtx_operator.operations.effects import EffectName
from rtx_operator.operations.state import PersistedState

LATE = "late answers"


@pytest.fixture
def world() -> World:
    return copied(installed())


def reconcile_for(world: World, seconds: int) -> None:
    for _ in range(seconds):
        world.tick()
        world.reconcile()


def test_deadline_does_not_fire_while_an_answer_is_missing(world: World):
    # Given a switch whose EndpointSlices follow only shortly before the deadline
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.SWITCHING)
    for _ in range(28):
        world.now += timedelta(seconds=1)
        world.reconcile()
    assert world.phase is CutoverPhase.SWITCHING

    # When the answers that would show it are late while the deadline passes
    world.faults.add(LATE)
    reconcile_for(world, 6)

    # Then the cutover waits for them, and they decide
    assert world.phase is CutoverPhase.SWITCHING
    world.faults.remove(LATE)
    assert world.run_until(CutoverPhase.MONITORING, reconciles=3)


def test_tests_that_have_no_result_yet_have_not_failed(world: World):
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.TESTING)

    world.faults.add(LATE)
    reconcile_for(world, 60)

    assert world.phase is CutoverPhase.TESTING
    world.faults.remove(LATE)
    assert world.run_until(CutoverPhase.SUCCEEDED)


@pytest.mark.parametrize(
    "phase", [CutoverPhase.PENDING, CutoverPhase.TESTING, CutoverPhase.SWITCHING, CutoverPhase.MONITORING]
)
def test_phase_that_rests_on_answers_is_not_left_while_they_are_missing(world: World, phase: CutoverPhase):
    world.set_spec(version="1.1.0")
    assert world.run_until(phase)

    world.faults.add(LATE)
    reconcile_for(world, 15)

    assert world.phase is phase


def test_missing_answers_change_no_condition(world: World):
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.MONITORING)
    before = world.stored["conditions"]

    world.faults.add(LATE)
    world.reconcile()

    assert world.stored["conditions"] == before
    assert {one["status"] for one in before if one["type"] == ConditionType.READY} == {"True"}


def test_operation_needs_new_answers_and_an_engine_at_rest_recent_ones(world: World):
    assert freshness(world.intend().engine) is Freshness.RECENT

    world.set_spec(version="1.1.0")
    for phase in UPGRADE_PHASES[:-1]:
        assert world.phase is phase or world.run_until(phase)
        assert freshness(world.intend().engine) is Freshness.NEW


def test_engines_whose_traffic_waits_go_first(world: World):
    first = set()
    world.faults.add("errors:1.1.0")
    world.set_spec(version="1.1.0")
    for _ in range(60):
        world.tick()
        world.reconcile()
        if world.phase and traffic_waits(PersistedState.of(world.intend().engine.status)):
            first.add(world.phase)

    assert first == {CutoverPhase.SWITCHING, CutoverPhase.MONITORING, CutoverPhase.ROLLING_BACK}


def test_operation_without_a_database_is_reconciled_less_often(world: World):
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.SWITCHING)
    world.faults.add("no database")
    intent = world.intend()

    due = requeue_after(intent.decision, Outcome(), now=world.now, resync=300.0)

    assert due == UNREACHABLE_SECONDS


def test_answers_are_void_after_acts_and_not_after_applies_that_a_phase_repeats(world: World):
    void: set[EffectName] = set()
    kept: set[EffectName] = set()
    world.set_spec(version="1.1.0")
    for _ in range(60):
        world.tick()
        if decision := world.reconcile():
            (void if decision.outdates_answers else kept).update(effect.name for effect in decision.effects)

    # Otherwise a phase that repeats an apply could never take an answer that is slower than the reconcile's budget.
    assert kept == {EffectName.BACK_UP, EffectName.MIGRATE, EffectName.PROVISION}
    assert void >= {EffectName.RESIZE, EffectName.MOVE_FENCE, EffectName.SELECT, EffectName.DRAIN}
