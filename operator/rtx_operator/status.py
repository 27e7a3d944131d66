"""What a TradingEngine's status says: conditions as kstatus has them, and what the operator must remember. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rtx_operator.api.engine import TradingEngine
from rtx_operator.api.enums import ConditionType, Reason
from rtx_operator.decide import Decision, Verdict
from rtx_operator.observation import Object
from rtx_operator.plan import Plan


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition as the operator now sees it."""

    type: ConditionType
    status: bool
    reason: Reason
    message: str


def after_decision(
    previous: Object, engine: TradingEngine, plan: Plan, decision: Decision, refusal: Verdict | None, now: datetime
) -> Object:
    """The status that follows from a decision; `refusal` is what the API server would not let be carried out."""
    desired, ready = decision.ready
    status: Object = {**previous, "replicas": {"desired": desired, "ready": ready}, "pods": f"{ready}/{desired}"}
    if decision.active:
        status["active"] = decision.active.model_dump(mode="json", by_alias=True, exclude_none=True)
    conditions = [*_progress(engine, decision, refusal), _up_to_date(plan, decision)]
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


def is_stalled(status: Object) -> bool:
    """Whether somebody's help is needed."""
    conditions = status.get("conditions") or []
    return any(condition["type"] == ConditionType.STALLED and condition["status"] == "True" for condition in conditions)


def _progress(engine: TradingEngine, decision: Decision, refusal: Verdict | None) -> Iterable[Condition]:
    desired, ready = decision.ready
    said = f"{ready} of {desired} engine pods ready"
    scaling = Verdict(Reason.SCALING, said) if ready != desired else None
    unready = decision.verdict and (refusal or decision.verdict)
    if unready is None:
        yield Condition(ConditionType.READY, True, Reason.SCALING if scaling else Reason.SERVING, said)
    else:
        yield Condition(ConditionType.READY, False, unready.reason, unready.message)
    pending = unready or refusal or scaling
    if engine.spec.paused:
        pending = Verdict(Reason.PAUSED, "spec.paused is true: nothing is changed until it is false", stalled=True)
    done = Verdict(Reason.DONE, "nothing is left to do")
    moving = pending or done
    stuck = pending if pending and pending.stalled and not engine.spec.paused else done
    yield Condition(
        ConditionType.RECONCILING, pending is not None and not pending.stalled, moving.reason, moving.message
    )
    yield Condition(ConditionType.STALLED, stuck.stalled, stuck.reason, stuck.message)


def _up_to_date(plan: Plan, decision: Decision) -> Condition:
    if decision.active is None:
        return Condition(ConditionType.UP_TO_DATE, False, Reason.ENGINE_STARTING, "the first installation is under way")
    if decision.active.pod_hash == plan.wanted_hash:
        return Condition(ConditionType.UP_TO_DATE, True, Reason.AS_SPECIFIED, f"version {decision.active.version} runs")
    return Condition(
        ConditionType.UP_TO_DATE,
        False,
        Reason.CUTOVER_NOT_AVAILABLE,
        f"spec asks for other pods than those of version {decision.active.version} that run; upgrades by cutover are "
        "not in this release, so the running colour stays as it was installed",
    )


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
