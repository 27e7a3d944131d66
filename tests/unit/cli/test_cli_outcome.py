"""How an operation that a command follows ended, and with which exit code."""

from typing import Any

import pytest
from cli_objects import AT_REST, NEW, NEW_REVISION, OLD, condition, cutover, engine, release
from rtx_cli.decide import outcome, retrying
from rtx_cli.decide.engine import Engine
from rtx_cli.decide.outcome import Change, of_abort, of_change, of_goal, of_retry, passed_cutover
from rtx_cli.exits import CliError, ExitCode, Goal
from rtx_operator.api.enums import Colour, ConditionType, CutoverPhase, OperationName, Reason, RetirementPhase

UPGRADE = Change(NEW, generation=4, passed="")
NOT_UP_TO_DATE = condition(ConditionType.UP_TO_DATE, False, Reason.REJECTED, "version 1.1.0 was rolled back", 4)


def asked(*conditions: dict[str, Any], seen: int = 4, **status: Any) -> Engine:
    """The engine with version 1.1.0 in spec, of the generation 4."""
    return Engine.of(engine(*conditions, spec={"version": NEW}, generation=4, seen=seen, **status))


def code(ended: outcome.Ended | None) -> ExitCode | None:
    return ended.code if ended else None


def test_nothing_is_over_before_the_operator_has_read_the_change() -> None:
    # given a status of the spec before, when version 1.0.0 is up to date in it, then that says nothing of 1.1.0
    assert of_change(UPGRADE)(asked(*AT_REST, seen=3)) is None


@pytest.mark.parametrize(
    ("phase", "expected"),
    [
        (CutoverPhase.PENDING, None),
        (CutoverPhase.MONITORING, None),
        (CutoverPhase.ROLLING_BACK, None),
        (CutoverPhase.SUCCEEDED, ExitCode.OK),
        (CutoverPhase.ROLLED_BACK, ExitCode.ROLLED_BACK),
        (CutoverPhase.FAILED, ExitCode.FAILED),
    ],
)
def test_upgrade_ends_with_its_cutover(phase: CutoverPhase, expected: ExitCode | None) -> None:
    # given the cutover in a phase, then the upgrade is over when that is terminal, with a code for how
    seen = asked(cutover=cutover(phase, reason="TooManyErrors", message="12 % failed"))
    assert code(of_change(UPGRADE)(seen)) is expected


def test_each_phase_of_a_cutover_has_an_outcome() -> None:
    # given all phases, then exactly the terminal ones end an upgrade
    for phase in CutoverPhase:
        ended = of_change(UPGRADE)(asked(cutover=cutover(phase)))
        assert (ended is not None) == phase.is_terminal, phase


def test_cutover_that_was_over_before_does_not_count() -> None:
    # given the last cutover, to the same version, rolled back before this upgrade began
    before = Engine.of(engine(cutover=cutover(CutoverPhase.ROLLED_BACK)))
    judge = of_change(Change(NEW, 4, passed_cutover(before)))

    # then it says nothing, and the next one does
    assert judge(asked(cutover=cutover(CutoverPhase.ROLLED_BACK))) is None
    assert code(judge(asked(cutover=cutover(CutoverPhase.SUCCEEDED, "cutover-2")))) is ExitCode.OK


def test_cutover_of_another_version_is_waited_for() -> None:
    # given the rollback of a cutover to a third version, which comes first
    other = {**cutover(CutoverPhase.ROLLED_BACK), "to": release(Colour.GREEN, "1.3.0", "cccc")}
    assert of_change(UPGRADE)(asked(cutover=other)) is None


def test_version_that_runs_already_is_no_failure() -> None:
    # given the spec of the version that runs
    up_to_date = condition(ConditionType.UP_TO_DATE, True, Reason.AS_SPECIFIED, "version 1.1.0 runs", 4)
    ready = condition(ConditionType.READY, True, Reason.SERVING, "2 of 2", 4)
    assert code(of_change(UPGRADE)(asked(up_to_date, ready))) is ExitCode.OK


def test_rejected_version_ends_at_once_and_names_retry() -> None:
    # given a version that was rolled back before
    ended = of_change(UPGRADE)(asked(NOT_UP_TO_DATE))

    # then the upgrade is over, and says what to do
    assert code(ended) is ExitCode.ROLLED_BACK
    assert ended
    assert "retry rtx" in ended.message


def test_upgrade_that_somebody_replaced_has_failed() -> None:
    # given another version in spec by now
    ended = of_change(UPGRADE)(Engine.of(engine(spec={"version": "1.2.0"}, generation=5)))
    assert code(ended) is ExitCode.FAILED
    assert ended
    assert "1.2.0" in ended.message


@pytest.mark.parametrize("reason", [Reason.INVALID_SPEC, Reason.OPERATOR_TOO_OLD, Reason.UNKNOWN_ACTIVE])
def test_operator_that_leaves_the_engine_alone_ends_it_as_stalled(reason: Reason) -> None:
    stalled = condition(ConditionType.STALLED, True, reason, "nothing is changed", 4)
    assert code(of_change(UPGRADE)(asked(stalled))) is ExitCode.STALLED


def test_stalled_amid_a_cutover_does_not_end_it() -> None:
    # given an image that cannot be pulled: the operator gives the upgrade up by itself
    stalled = condition(ConditionType.STALLED, True, Reason.IMAGE_UNAVAILABLE, "no such image", 4)
    assert of_change(UPGRADE)(asked(stalled, cutover=cutover(CutoverPhase.MIGRATING))) is None


def test_paused_engine_ends_it_as_stalled() -> None:
    paused = Engine.of(engine(spec={"version": NEW, "paused": True}, generation=4))
    assert code(of_change(UPGRADE)(paused)) is ExitCode.STALLED


def test_deleted_engine_ends_it_as_failed() -> None:
    manifest = engine(spec={"version": NEW}, generation=4)
    manifest["metadata"]["deletionTimestamp"] = "2026-11-27T12:00:00Z"
    assert code(of_change(UPGRADE)(Engine.of(manifest))) is ExitCode.FAILED


def test_first_installation_ends_when_it_serves() -> None:
    # given an engine that was never installed
    none_yet = Engine.of(
        engine(condition(ConditionType.READY, False, Reason.DATABASE_STARTING, "starting"), active=None)
    )
    change = Change(OLD, 3, "")

    # then it is over once it is ready
    assert of_change(change)(none_yet) is None
    assert code(of_change(change)(Engine.of(engine()))) is ExitCode.OK


def test_rollback_ends_with_the_cutover_to_its_revision() -> None:
    # given a rollback to a revision of the same version
    judge = of_change(Change(OLD, 4, "", revision=NEW_REVISION))
    target = {**cutover(CutoverPhase.SUCCEEDED), "to": release(Colour.GREEN, OLD, NEW_REVISION)}
    assert code(judge(Engine.of(engine(generation=4, cutover=target)))) is ExitCode.OK


@pytest.mark.parametrize(
    ("phase", "expected"),
    [
        (CutoverPhase.ROLLING_BACK, None),
        (CutoverPhase.ROLLED_BACK, ExitCode.OK),
        (CutoverPhase.SUCCEEDED, ExitCode.FAILED),
        (CutoverPhase.FAILED, ExitCode.FAILED),
    ],
)
def test_abort_succeeds_when_the_cutover_is_rolled_back(phase: CutoverPhase, expected: ExitCode | None) -> None:
    moving = Engine.of(engine(cutover=cutover(CutoverPhase.TESTING))).cutover
    assert moving
    now = Engine.of(engine(cutover=cutover(phase, reason="Superseded", message="the spec has changed")))
    assert code(of_abort(moving)(now)) is expected


def test_retry_of_a_version_ends_with_the_next_cutover() -> None:
    # given a rejected version
    rejected = {"revision": NEW_REVISION, "version": NEW, "reason": "TooSlow", "message": "p99 was 900 ms"}
    before = asked(NOT_UP_TO_DATE, cutover=cutover(CutoverPhase.ROLLED_BACK), rejected=rejected)
    failed = retrying.failed(before)
    judge = of_retry(before, failed.kind)

    # then the cutover that was rolled back does not end it, and the next one does
    assert failed.kind is OperationName.CUTOVER
    assert judge(before) is None
    assert code(judge(asked(cutover=cutover(CutoverPhase.SUCCEEDED, "cutover-2")))) is ExitCode.OK


def test_retry_of_a_retirement_ends_with_the_next_one() -> None:
    def retirement(phase: RetirementPhase, identity: str) -> dict[str, Any]:
        return {
            "id": identity,
            "phase": phase.value,
            "startedAt": "2026-11-27T11:00:00Z",
            "since": "2026-11-27T11:00:00Z",
            "release": release(),
            "reason": "PodsRemain",
            "message": "a pod remains",
        }

    # given a retirement that failed
    before = Engine.of(engine(retirement=retirement(RetirementPhase.FAILED, "r-1")))
    judge = of_retry(before, retrying.failed(before).kind)

    # then the next one ends it
    assert judge(before) is None
    assert judge(Engine.of(engine(retirement=retirement(RetirementPhase.EMPTYING, "r-2")))) is None
    after = Engine.of(engine(retirement=retirement(RetirementPhase.SUCCEEDED, "r-2")))
    assert code(judge(after)) is ExitCode.OK


def test_nothing_to_retry_is_said() -> None:
    with pytest.raises(CliError, match="nothing to retry"):
        retrying.failed(Engine.of(engine()))


def test_wait_ends_when_the_goal_is_reached() -> None:
    # given an engine at rest, and one amid a cutover
    at_rest = Engine.of(engine())
    moving = asked(*AT_REST, cutover=cutover(CutoverPhase.MONITORING))

    for goal in Goal:
        assert code(of_goal(goal, through_stalled=False)(at_rest)) is ExitCode.OK
    assert of_goal(Goal.AT_REST, through_stalled=False)(moving) is None


def test_wait_ends_for_a_person_unless_told_otherwise() -> None:
    # given an engine that a person must help
    stalled = Engine.of(engine(condition(ConditionType.STALLED, True, Reason.CREDENTIALS_LOST, "a Secret is gone")))

    # then waiting ends, unless it is told to go on, or an operation may heal it
    assert code(of_goal(Goal.READY, through_stalled=False)(stalled)) is ExitCode.STALLED
    assert of_goal(Goal.READY, through_stalled=True)(stalled) is None
    moving = Engine.of(
        engine(
            condition(ConditionType.STALLED, True, Reason.IMAGE_UNAVAILABLE, "no such image"),
            cutover=cutover(CutoverPhase.ROLLING_BACK),
        )
    )
    assert of_goal(Goal.READY, through_stalled=False)(moving) is None
