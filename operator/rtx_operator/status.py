"""What a TradingEngine's status says: conditions as kstatus has them, and what the operator must remember. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rtx_operator.api.engine import TradingEngine
from rtx_operator.api.enums import ConditionType, Phase, PreviousState, Reason
from rtx_operator.api.names import RETRY
from rtx_operator.api.schema import ApiModel
from rtx_operator.api.status import Cutover
from rtx_operator.cutover.state import PersistedState
from rtx_operator.decide import Decision, Verdict
from rtx_operator.desired.state import DesiredState
from rtx_operator.observation import Object


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition as the operator now sees it."""

    type: ConditionType
    status: bool
    reason: Reason
    message: str


def after_decision(
    previous: Object,
    engine: TradingEngine,
    desired: DesiredState,
    decision: Decision,
    refusal: Verdict | None,
    now: datetime,
) -> Object:
    """The status that follows from a decision; `refusal` is what the API server would not let be carried out."""
    size, ready = decision.ready
    others = {field: value for field, value in previous.items() if field not in _MEMORY}
    replicas = {"replicas": {"desired": size, "ready": ready}, "pods": f"{ready}/{size}"}
    status: Object = {**others, **_remembered(decision.state), **replicas}
    conditions = [*_progress(engine, decision, refusal), _up_to_date(desired, decision)]
    return _with(status, engine.generation, conditions, now)


def after_verdict(previous: Object, generation: int, verdict: Verdict, now: datetime) -> Object:
    """The status when there was no decision to carry out, or not all of it could be."""
    conditions = [
        Condition(ConditionType.READY, False, verdict.reason, verdict.message),
        Condition(ConditionType.RECONCILING, not verdict.stalled, verdict.reason, verdict.message),
        Condition(ConditionType.STALLED, verdict.stalled, verdict.reason, verdict.message),
    ]
    return _with(dict(previous), generation, conditions, now)


def after_failure(previous: Object, generation: int, message: str, now: datetime) -> Object:
    """The status after an error of the operator's own: whether the engine is ready is not known to have changed."""
    conditions = [
        Condition(ConditionType.RECONCILING, True, Reason.RECONCILE_FAILED, message),
    ]
    return _with(dict(previous), generation, conditions, now)


def ready_condition(status: Object) -> tuple[str, str, str]:
    """(status, reason, message) of Ready; empty strings before the first reconcile."""
    for condition in status.get("conditions") or []:
        if condition["type"] == ConditionType.READY:
            return condition["status"], condition["reason"], condition["message"]
    return "", "", ""


@dataclass(frozen=True, slots=True)
class CutoverEvent:
    """A phase that a cutover came to, for an Event."""

    reason: str
    message: str
    warning: bool


EVENT_TEXTS = {
    Phase.PENDING: "cutover {id} from version {old} to {new} begins",
    Phase.MIGRATING: "the expand migrations of version {new} run",
    Phase.PROVISIONING: "version {new} comes up in {colour}",
    Phase.TESTING: "version {new} is tested before it gets traffic",
    Phase.SWITCHING: "all gates are passed: {colour} is to execute orders and take the traffic",
    Phase.MONITORING: "{colour} executes and takes the traffic; version {old} drains, version {new} is watched",
    Phase.PROMOTING: "version {new} kept its limits: the autoscaler follows",
    Phase.SUCCEEDED: "version {new} runs; version {old} is kept for a while",
    Phase.ROLLING_BACK: "going back to version {old}: {message} ({reason})",
    Phase.ROLLED_BACK: "version {old} runs again: {message} ({reason})",
}
_BAD = frozenset({Phase.ROLLING_BACK, Phase.ROLLED_BACK, Phase.FAILED})


def cutover_event(before: Object, after: Object) -> CutoverEvent | None:
    """What to tell when the cutover came to another phase; None when it did not."""
    was, cutover = before.get("cutover") or {}, after.get("cutover") or {}
    if not cutover or (was.get("id"), was.get("phase")) == (cutover["id"], cutover["phase"]):
        return None
    phase = Phase(cutover["phase"])
    message = EVENT_TEXTS.get(phase, "").format(
        id=cutover["id"],
        old=cutover["from"]["version"],
        new=cutover["to"]["version"],
        colour=cutover["to"]["colour"],
        message=cutover.get("message", ""),
        reason=cutover.get("reason", ""),
    )
    return CutoverEvent(f"Cutover{phase}", message, warning=phase in _BAD)


def is_stalled(status: Object) -> bool:
    """Whether somebody's help is needed."""
    conditions = status.get("conditions") or []
    return any(condition["type"] == ConditionType.STALLED and condition["status"] == "True" for condition in conditions)


def _course(decision: Decision) -> Verdict | None:
    """What a cutover, or what is left of one, has to say about progress."""
    state, waits = decision.state, decision.waits
    cutover, rejected, previous = state.under_way, state.rejected, state.previous
    if cutover:
        stuck = cutover.phase is Phase.ROLLING_BACK and waits is not None and waits.reason is not None
        reason = Reason.CANNOT_ROLL_BACK if stuck else Reason.CUTOVER_IN_PROGRESS
        return Verdict(reason, _told(cutover, decision), stalled=stuck)
    if decision.contract_failure:
        return Verdict(Reason.CONTRACT_FAILED, decision.contract_failure, stalled=True)
    if previous and previous.state is PreviousState.RETIRING:
        return Verdict(Reason.RETIRING, f"version {previous.version} in {previous.colour} is taken away")
    if rejected:
        return Verdict(Reason.REJECTED, f"version {rejected.version} was rolled back: {rejected.message}", stalled=True)
    return None


_MEMORY = ("active", "cutover", "previous", "rejected", "history")


def _remembered(state: PersistedState) -> Object:
    """The fields that hold what the operator remembers; but for the history none where there is nothing any more."""

    def plain(value: ApiModel) -> Object:
        return value.model_dump(mode="json", by_alias=True, exclude_none=True)

    one_each: dict[str, ApiModel | None] = {
        "active": state.active,
        "cutover": state.cutover,
        "previous": state.previous,
        "rejected": state.rejected,
    }
    kept = {field: plain(value) for field, value in one_each.items() if value is not None}
    # Also while it is empty: the API server puts an empty list there, and what is said would differ from it each time.
    return {**kept, "history": [plain(past) for past in state.history]}


def _progress(engine: TradingEngine, decision: Decision, refusal: Verdict | None) -> Iterable[Condition]:
    desired, ready = decision.ready
    said = f"{ready} of {desired} engine pods ready"
    scaling = Verdict(Reason.SCALING, said) if ready != desired else None
    unready = decision.verdict and (refusal or decision.verdict)
    if unready is None:
        yield Condition(ConditionType.READY, True, Reason.SCALING if scaling else Reason.SERVING, said)
    else:
        yield Condition(ConditionType.READY, False, unready.reason, unready.message)
    pending = unready or refusal or _course(decision) or scaling
    if engine.spec.paused:
        pending = Verdict(Reason.PAUSED, "spec.paused is true: nothing is changed until it is false", stalled=True)
    done = Verdict(Reason.DONE, "nothing is left to do")
    moving = pending or done
    stuck = pending if pending and pending.stalled and not engine.spec.paused else done
    yield Condition(
        ConditionType.RECONCILING, pending is not None and not pending.stalled, moving.reason, moving.message
    )
    yield Condition(ConditionType.STALLED, stuck.stalled, stuck.reason, stuck.message)


def _up_to_date(desired: DesiredState, decision: Decision) -> Condition:
    condition = ConditionType.UP_TO_DATE
    state = decision.state
    active, cutover, rejected = state.active, state.under_way, state.rejected
    if active is None:
        return Condition(condition, False, Reason.ENGINE_STARTING, "the first installation is under way")
    if cutover:
        return Condition(condition, False, Reason.CUTOVER_IN_PROGRESS, _told(cutover, decision))
    if active.revision == desired.wanted.hash:
        return Condition(condition, True, Reason.AS_SPECIFIED, f"version {active.version} runs")
    if rejected and rejected.revision == desired.wanted.hash:
        return Condition(
            condition,
            False,
            Reason.REJECTED,
            f"version {rejected.version} was rolled back ({rejected.reason}: {rejected.message}); version "
            f"{active.version} runs. Change spec, or give the annotation {RETRY} a new value to try it again",
        )
    return Condition(
        condition,
        False,
        Reason.RETIRING,
        f"a cutover to version {desired.wanted.version} begins once the last one is over",
    )


def _told(cutover: Cutover, decision: Decision) -> str:
    """Where the cutover stands, and what it waits for."""
    way = f"{cutover.from_.version} → {cutover.to.version}"
    why = f" because {cutover.message} ({cutover.reason})" if cutover.reason else ""
    waits = f": {decision.waits.message}" if decision.waits else ""
    return f"{way} is {cutover.phase}{why}{waits}"


def _with(status: dict[str, Any], generation: int, conditions: Iterable[Condition], now: datetime) -> Object:
    """`status` with these conditions put in; a condition's time moves only when its status does."""
    before = {condition["type"]: condition for condition in status.get("conditions") or []}
    for condition in conditions:
        said = "True" if condition.status else "False"
        old = before.get(condition.type.value)
        since = old["lastTransitionTime"] if old and old["status"] == said else _time(now)
        before[condition.type.value] = {
            "type": condition.type.value,
            "status": said,
            "reason": condition.reason.value,
            "message": condition.message,
            "observedGeneration": generation,
            "lastTransitionTime": since,
        }
    order = [kind.value for kind in ConditionType]
    status["conditions"] = sorted(before.values(), key=lambda condition: order.index(condition["type"]))
    status["observedGeneration"] = generation
    return status


def _time(now: datetime) -> str:
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
