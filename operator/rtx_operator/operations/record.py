"""How the record of an operation in status changes: when a phase is entered, and when more is known of it. Pure."""

from datetime import datetime, timedelta
from typing import Any, TypeVar

from rtx_operator.api.foreign_text import cut
from rtx_operator.api.schema import ApiModel
from rtx_operator.api.status import MESSAGE_LIMIT, OperationRecord, Previous, Record

M = TypeVar("M", bound=ApiModel)
R = TypeVar("R", bound=OperationRecord)

# What a phase has left at least (its whole limit, where that is less) after a gap in observation, an edit of its limit,
# or a wait that had no end: a pod that is replaced just then has as long to start.
DEADLINE_GRACE = timedelta(minutes=2)
ROUNDING = timedelta(seconds=1)  # of the times in a record, at most


def noted(record: M, **fields: object) -> M:
    """The record with these fields; the same object when it has them already."""
    if all(getattr(record, name) == value for name, value in fields.items()):
        return record
    return record.model_copy(update=fields)


def time_in_phase(record: OperationRecord, now: datetime) -> timedelta:
    """Time since the phase began, without pauses."""
    return now - record.since - timedelta(seconds=record.paused_seconds)


def waiting(record: R, message: str) -> R:
    """The record with what it waits for."""
    return noted(record, message=cut(message, MESSAGE_LIMIT))


def begun(record: R, now: datetime, limit: timedelta | None) -> R:
    """The record in its first phase, which `limit` bounds."""
    return noted(record, **_timed(now, limit))


def _timed(now: datetime, limit: timedelta | None) -> dict[str, Any]:
    if limit is None:
        return {"deadline": None, "limit_seconds": None}
    return {"deadline": now + limit, "limit_seconds": limit.total_seconds()}


def entered(record: Record, phase: object, now: datetime, limit: timedelta | None, reason: str, message: str) -> Record:
    """The record in its next phase. `limit` bounds that phase; an empty `reason` leaves the one that is there."""
    seconds: dict[Any, float] = {**record.seconds, record.phase: round((now - record.since).total_seconds(), 3)}
    return record.model_copy(
        update={
            "phase": phase,
            "since": now,
            **_timed(now, limit),
            "paused_seconds": 0.0,
            "seconds": seconds,
            "reason": reason or record.reason,
            "message": cut(message, MESSAGE_LIMIT),
        }
    )


def with_limit(record: R, limit: timedelta | None, now: datetime) -> R:
    """The record whose deadline follows `limit`, which spec may change while the phase runs.

    The deadline moves by the difference: pauses and grace stay in it. A shorter limit leaves the grace at least.
    """
    if limit is None or record.deadline is None or record.limit_seconds is None:
        return record
    known = timedelta(seconds=record.limit_seconds)
    # An earlier release of the operator sets deadlines, and leaves the limit of another phase beside them. Pauses and
    # grace only put a deadline off, so one that is sooner than the limit is not made of it.
    allowed = record.deadline - record.since - timedelta(seconds=record.paused_seconds)
    if allowed + ROUNDING < known:
        known = allowed
    if known == limit:
        return record
    moved = record.deadline + limit - known
    soonest = min(record.deadline, now + grace(limit))
    return noted(record, deadline=max(moved, soonest), limit_seconds=limit.total_seconds())


def with_keeping_time(previous: Previous, limit: timedelta) -> Previous:
    """The kept release whose retirement follows `limit`, in the same way."""
    known = previous.kept_for_seconds
    if known in {None, limit.total_seconds()}:
        return previous
    moved = previous.retire_after + limit - timedelta(seconds=known or 0)
    return noted(previous, retire_after=moved, kept_for_seconds=limit.total_seconds())


def renewed(record: R, now: datetime, limit: timedelta) -> R:
    """The record with its deadline put off by another `limit`, if it would pass soon."""
    if record.deadline is None or record.deadline >= now + grace(limit):
        return record
    return noted(record, deadline=now + limit)


def grace(limit: timedelta | None) -> timedelta:
    """What a phase with this limit has left at least; None: its limit is not known."""
    return min(limit, DEADLINE_GRACE) if limit else DEADLINE_GRACE


def with_grace(record: R, limit: timedelta | None, now: datetime, *, observed_recently: bool) -> R:
    """The record with its deadline put off, if nobody has observed the engine for a while before `now`."""
    soonest = now + grace(limit)
    if observed_recently or record.deadline is None or record.deadline >= soonest:
        return record
    return noted(record, deadline=soonest)
