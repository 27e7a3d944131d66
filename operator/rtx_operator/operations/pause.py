"""What a pause does to the clocks of operations: the time counts on from where it was (ADR 0038). Pure.

The pause is in status from the first reconcile that finds spec.paused true, or cannot read the engine, to the first one
that finds neither. That one moves every instant that is still to come by the length of the pause, and ends the pause,
in one write of status: a write that fails leaves the pause as it was.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from rtx_operator.api.engine import TradingEngine
from rtx_operator.api.status import OperationRecord, Previous, Record
from rtx_operator.operations.record import grace, noted
from rtx_operator.operations.state import PersistedState

# Of a cutover, from which durations are counted on.
_INSTANTS = (
    "drain_until",
    "resumed_at",
    "smoke_failing_since",
    "pods_missing_since",
    "old_down_since",
    "fence_stuck_since",
)


def paused(state: PersistedState, now: datetime) -> PersistedState:
    """The state of an engine that is paused, since `now` unless it was paused already."""
    return state if state.paused_since else replace(state, paused_since=now)


def resumed(engine: TradingEngine, now: datetime) -> TradingEngine:
    """The engine with the clocks in its status moved by the pause that is over; the engine itself without one."""
    status = engine.status
    if status.paused_since is None:
        return engine
    pause = max(now - status.paused_since, timedelta())
    changes: dict[str, object] = {"paused_since": None}
    for name in type(status).model_fields:
        value = getattr(status, name)
        if isinstance(value, Record) and not value.phase.is_terminal:
            changes[name] = _record_after(value, pause, now)
        elif isinstance(value, Previous):
            changes[name] = value.model_copy(update={"retire_after": value.retire_after + pause})
    return replace(engine, status=status.model_copy(update=changes))


def _record_after(record: OperationRecord, pause: timedelta, now: datetime) -> OperationRecord:
    """The record after a pause. Nothing was observed meanwhile, so its deadline does not fire at once (ADR 0010)."""
    changes: dict[str, object] = {"paused_seconds": round(record.paused_seconds + pause.total_seconds(), 3)}
    if record.deadline:
        limit = None if record.limit_seconds is None else timedelta(seconds=record.limit_seconds)
        changes["deadline"] = max(record.deadline + pause, now + grace(limit))
    for name in _INSTANTS:
        if instant := getattr(record, name, None):
            changes[name] = instant + pause
    return noted(record, **changes)
