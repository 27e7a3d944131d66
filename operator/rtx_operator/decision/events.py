"""The Kubernetes Events that a new status calls for: for each phase that is entered, and each change of Ready."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rtx_operator.api.enums import ConditionStatus, ConditionType, CutoverPhase, OperationName, RetirementPhase
from rtx_operator.observation import Object
from rtx_operator.operations.arbiter import OPERATIONS


@dataclass(frozen=True, slots=True)
class EngineEvent:
    """An Event about a TradingEngine."""

    reason: str
    message: str
    is_warning: bool


def events(before: Object, after: Object) -> Iterator[EngineEvent]:
    """The Events between two statuses, in the order in which a person would read them."""
    was, (ready, reason, message) = _ready(before), _ready(after)
    if was[:2] != (ready, reason):
        yield EngineEvent(reason, message, is_stalled(after))
    cutover = _entered(before, after, "cutover")
    if cutover:
        phase = CutoverPhase(cutover["phase"])
        yield _event(OperationName.CUTOVER, phase, cutover, cutover["from"], cutover["to"])
    retirement = _entered(before, after, "retirement")
    if retirement:
        active = after.get("active") or {}
        yield _event(
            OperationName.RETIREMENT,
            RetirementPhase(retirement["phase"]),
            retirement,
            retirement["release"],
            {"version": active.get("version", ""), "colour": retirement["release"]["colour"]},
        )


def is_stalled(status: Object) -> bool:
    """Whether a person's help is needed."""
    return any(
        condition["type"] == ConditionType.STALLED and condition["status"] == ConditionStatus.TRUE
        for condition in status.get("conditions") or []
    )


def _ready(status: Object) -> tuple[str, str, str]:
    """(status, reason, message) of Ready; empty strings before the first reconcile."""
    for condition in status.get("conditions") or []:
        if condition["type"] == ConditionType.READY:
            return condition["status"], condition["reason"], condition["message"]
    return "", "", ""


def _entered(before: Object, after: Object, field: str) -> Object | None:
    """The record that is in another phase than before, or new; None when none is."""
    was, record = before.get(field) or {}, after.get(field) or {}
    changed = (was.get("id"), was.get("phase")) != (record.get("id"), record.get("phase"))
    return record if record and changed else None


def _event(
    operation: OperationName, phase: CutoverPhase | RetirementPhase, record: Object, old: Object, new: Object
) -> EngineEvent:
    row: Any = OPERATIONS[operation].phases[phase]
    message = row.event_text.format(
        id=record["id"],
        old=old["version"],
        new=new["version"],
        colour=new["colour"],
        message=record.get("message", ""),
        reason=record.get("reason", ""),
    )
    return EngineEvent(f"{operation}{phase}", message, row.is_warning)
