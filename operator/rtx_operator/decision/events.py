"""The Kubernetes Events that a new status calls for: for each phase that is entered, and each change of Ready."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rtx_operator.api.enums import (
    ConditionStatus,
    ConditionType,
    CutoverPhase,
    MaintenancePhase,
    OperationName,
    RestorePhase,
    RetirementPhase,
)
from rtx_operator.observation import Object
from rtx_operator.operations.arbiter import OPERATIONS
from rtx_operator.operations.cutover.evidence import in_words
from rtx_operator.operations.machine import Phase


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
    yield from _of_cache(before, after)
    disputed = _true(after, ConditionType.DISPUTED)
    if disputed and not _true(before, ConditionType.DISPUTED):
        yield EngineEvent(disputed["reason"], disputed["message"], is_warning=True)
    restore = _entered(before, after, "restore")
    if restore:
        of = {"name": restore["name"], "label": restore.get("label", "")}
        yield _event(OperationName.RESTORE, RestorePhase(restore["phase"]), restore, of)
    cutover = _entered(before, after, "cutover")
    if cutover:
        phase = CutoverPhase(cutover["phase"])
        evidence = in_words(cutover.get("judged", ""), cutover.get("requests", 0))
        of = {**_of_versions(cutover["from"], cutover["to"]), "evidence": evidence}
        yield _event(OperationName.CUTOVER, phase, cutover, of)
    maintenance = _entered(before, after, "maintenance")
    if maintenance:
        of = {"server": maintenance["component"]}
        yield _event(OperationName.MAINTENANCE, MaintenancePhase(maintenance["phase"]), maintenance, of)
    retirement = _entered(before, after, "retirement")
    if retirement:
        old, active = retirement["release"], after.get("active") or {}
        of = _of_versions(old, {"version": active.get("version", ""), "colour": old["colour"]})
        yield _event(OperationName.RETIREMENT, RetirementPhase(retirement["phase"]), retirement, of)


def _of_cache(before: Object, after: Object) -> Iterator[EngineEvent]:
    """The cache of an engine that serves goes, or comes back; of its start Ready tells."""
    was, now = (_condition(status, ConditionType.CACHE_AVAILABLE) for status in (before, after))
    if was and now and was["status"] != now["status"] and after.get("active"):
        is_away = now["status"] != ConditionStatus.TRUE
        yield EngineEvent(now["reason"], now["message"], is_warning=is_away)


def is_stalled(status: Object) -> bool:
    """Whether a person's help is needed."""
    return _true(status, ConditionType.STALLED) is not None


def _condition(status: Object, kind: ConditionType) -> Object | None:
    return next((one for one in status.get("conditions") or [] if one["type"] == kind), None)


def _true(status: Object, kind: ConditionType) -> Object | None:
    """The condition if it is true."""
    found = _condition(status, kind)
    return found if found and found["status"] == ConditionStatus.TRUE else None


def _ready(status: Object) -> tuple[str, str, str]:
    """(status, reason, message) of Ready; empty strings before the first reconcile."""
    found = _condition(status, ConditionType.READY)
    return (found["status"], found["reason"], found["message"]) if found else ("", "", "")


def _entered(before: Object, after: Object, field: str) -> Object | None:
    """The record that is in another phase than before, or new; None when none is."""
    was, record = before.get(field) or {}, after.get(field) or {}
    changed = (was.get("id"), was.get("phase")) != (record.get("id"), record.get("phase"))
    return record if record and changed else None


def _of_versions(old: Object, new: Object) -> Object:
    return {"old": old["version"], "new": new["version"], "colour": new["colour"]}


def _event(operation: OperationName, phase: Phase, record: Object, of: Object) -> EngineEvent:
    """`of` are the fields that only records of this operation have."""
    row: Any = OPERATIONS[operation].phases[phase]
    fields = {"id": record["id"], "message": record.get("message", ""), "reason": record.get("reason", "")}
    message = row.event_text.format(**fields, **of)
    return EngineEvent(f"{operation}{phase}", message, row.is_warning)
