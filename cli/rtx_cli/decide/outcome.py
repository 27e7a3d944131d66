"""Whether what a command began is over, and how it ended, by the engine as it is now."""

from collections.abc import Callable
from dataclasses import dataclass

from rtx_operator.api.enums import ConditionType, CutoverPhase, MaintenancePhase, OperationName, Reason, RetirementPhase

from rtx_cli.decide.engine import Engine, Operation
from rtx_cli.exits import ExitCode, Goal

# The operator changes nothing of the engine until a person has acted.
_HANDS_OFF = frozenset({Reason.INVALID_SPEC, Reason.OPERATOR_TOO_OLD, Reason.UNKNOWN_ACTIVE})


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended, with a sentence about it."""

    code: ExitCode
    message: str


Judge = Callable[[Engine], Ended | None]
"""None: it is not over."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of spec that asks for a release. `passed` is the cutover that was over before it; empty: none."""

    version: str
    generation: int  # of the spec with the change
    passed: str
    revision: str = ""  # that it goes to; empty: any of that version

    def is_goal_of(self, cutover: Operation) -> bool:
        if cutover.id == self.passed:
            return False
        return cutover.target == self.version or (bool(self.revision) and cutover.target_revision == self.revision)


def passed_cutover(engine: Engine) -> str:
    """The id of the last cutover, if it is over."""
    return engine.cutover.id if engine.cutover and engine.cutover.is_over else ""


def of_change(change: Change) -> Judge:
    """The judge of an upgrade or a rollback."""

    def judge(engine: Engine) -> Ended | None:
        if gone := _gone(engine):
            return gone
        if engine.version != change.version:
            return Ended(ExitCode.FAILED, f"superseded: spec.version is {engine.version or 'unset'} by now")
        if engine.observed_generation < change.generation:
            return None
        cutover = engine.cutover
        if cutover and change.is_goal_of(cutover):
            return _of_cutover(cutover) if cutover.is_over else _held(engine)
        return _without_cutover(engine, change)

    return judge


def of_abort(cutover: Operation) -> Judge:
    """The judge of an abort: the cutover is to go back."""

    def judge(engine: Engine) -> Ended | None:
        if gone := _gone(engine):
            return gone
        now = engine.cutover
        if now is None or now.id != cutover.id:
            return Ended(ExitCode.OK, f"the cutover to {cutover.target} is over, and another has begun")
        match now.phase:
            case CutoverPhase.ROLLED_BACK:
                return Ended(ExitCode.OK, f"aborted: version {cutover.source} runs")
            case CutoverPhase.SUCCEEDED:
                return Ended(
                    ExitCode.FAILED, f"too late: version {cutover.target} was promoted; what spec asks for now follows"
                )
            case CutoverPhase.FAILED:
                return Ended(ExitCode.FAILED, f"not aborted: {now.message} ({now.reason})")
        return _held(engine)

    return judge


def of_retry(before: Engine, kind: OperationName) -> Judge:
    """The judge of a retry of what last failed of that kind."""
    record = next((one for one in before.operations if one.kind is kind), None)
    old = (record.id, record.started) if record else ("", None)

    def judge(engine: Engine) -> Ended | None:
        if gone := _gone(engine):
            return gone
        now = next((one for one in engine.operations if one.kind is kind), None)
        if now is None or (now.id, now.started) == old:
            return _held(engine)
        if not now.is_over:
            return _held(engine)
        return _of_cutover(now) if kind is OperationName.CUTOVER else _of_other(now)

    return judge


def of_goal(goal: Goal, *, through_stalled: bool) -> Judge:
    """The judge of `wait`. Stalled ends it only when no operation is under way: that may heal it by itself."""

    def judge(engine: Engine) -> Ended | None:
        if gone := _gone(engine):
            return gone
        is_seen = engine.observed_generation >= engine.generation
        is_ready, is_up_to_date = (engine.holds(kind) for kind in (ConditionType.READY, ConditionType.UP_TO_DATE))
        reached = {
            Goal.READY: is_ready,
            Goal.UP_TO_DATE: is_up_to_date,
            Goal.AT_REST: is_ready and is_up_to_date and not engine.under_way,
        }[goal]
        if is_seen and reached:
            return Ended(ExitCode.OK, f"{engine.name} is {goal.replace('-', ' ')}")
        stalled = engine.current(ConditionType.STALLED)
        if stalled and stalled.holds and not engine.under_way and not through_stalled:
            return Ended(ExitCode.STALLED, f"a person must act first: {stalled.message} ({stalled.reason})")
        return None

    return judge


def _gone(engine: Engine) -> Ended | None:
    return Ended(ExitCode.FAILED, f"{engine.name} is being deleted") if engine.is_deleted else None


def _held(engine: Engine) -> Ended | None:
    """What keeps an operation from going on until a person acts."""
    if engine.paused:
        return Ended(
            ExitCode.STALLED, f"{engine.name} is paused; `kubectl tradingengine resume {engine.name}` ends that"
        )
    stalled = engine.current(ConditionType.STALLED)
    if stalled and stalled.holds and stalled.reason in _HANDS_OFF:
        return Ended(ExitCode.STALLED, f"{stalled.message} ({stalled.reason})")
    return None


def _of_cutover(cutover: Operation) -> Ended:
    took, why = sum(cutover.seconds.values()), f"{cutover.message} ({cutover.reason})"
    match cutover.phase:
        case CutoverPhase.SUCCEEDED:
            judged = f", judged by {cutover.judged.lower()}" if cutover.judged else ""
            return Ended(ExitCode.OK, f"version {cutover.target} runs after {took:.1f} s{judged}")
        case CutoverPhase.ROLLED_BACK:
            return Ended(
                ExitCode.ROLLED_BACK,
                f"version {cutover.target} was rolled back, {cutover.source} runs: {why}",
            )
        case _:
            return Ended(ExitCode.FAILED, f"the cutover to {cutover.target} failed: {why}")


def _of_other(operation: Operation) -> Ended:
    what = f"the {operation.kind.lower()} of {operation.target}"
    if operation.phase in {MaintenancePhase.SUCCEEDED, RetirementPhase.SUCCEEDED}:
        return Ended(ExitCode.OK, f"{what} succeeded")
    return Ended(ExitCode.FAILED, f"{what} failed: {operation.message} ({operation.reason})")


def _without_cutover(engine: Engine, change: Change) -> Ended | None:
    """No cutover to the release is recorded: it runs already, or is installed, or something keeps it from beginning."""
    up_to_date = engine.condition(ConditionType.UP_TO_DATE)
    if up_to_date and up_to_date.generation >= change.generation:
        if up_to_date.holds and engine.holds(ConditionType.READY):
            return Ended(ExitCode.OK, f"version {change.version} runs")
        if up_to_date.reason == Reason.REJECTED:
            return Ended(
                ExitCode.ROLLED_BACK,
                f"{up_to_date.message}; or `kubectl tradingengine retry {engine.name}`",
            )
    return _held(engine)
