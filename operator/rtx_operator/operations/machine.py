"""The machine that drives every operation: a table of phases, and one step through it. Pure.

A step moves the phase, or acts in it, never both (the law stands in the package's docstring). An operation is a value:
its table, and the few functions in which operations differ.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Generic, TypeVar

from rtx_operator.api.engine import TradingEngine
from rtx_operator.api.enums import (
    BackupPhase,
    CutoverPhase,
    MaintenancePhase,
    OperationName,
    Reason,
    RestorePhase,
    RetirementPhase,
)
from rtx_operator.api.spec import Rollout
from rtx_operator.api.status import Record
from rtx_operator.desired.state import DesiredState
from rtx_operator.observation import Observation, PodQueries
from rtx_operator.operations.effects import Effect
from rtx_operator.operations.record import begun, entered, renewed, waiting, with_grace, with_limit
from rtx_operator.operations.state import PersistedState
from rtx_operator.results import Check, Failure, Unmet, Waiting, worst_unmet

Phase = RestorePhase | CutoverPhase | MaintenancePhase | RetirementPhase
P = TypeVar("P", RestorePhase, CutoverPhase, MaintenancePhase, RetirementPhase, BackupPhase)
C = TypeVar("C")


class Event(StrEnum):
    """What moves an operation on. When several are true, the first of this order counts."""

    WITHDRAWN = "withdrawn"  # spec asks for something else now
    KEPT = "kept"  # done, and the target is still warm from before: neither migration nor new pods are needed
    SKIPPED = "skipped"  # done, and spec asks for nothing of the next phase
    DONE = "done"  # all checks of the phase are passed
    FAILED = "failed"  # a check can no longer be passed
    EXPIRED = "expired"  # neither, and the deadline has passed


class UnknownTransitionError(Exception):
    """A bug: an event that the phase's row does not name."""


class IncompleteTableError(ValueError):
    """A bug: a table of phases that lacks something; the message names each fault."""


def nothing_to_do(_: object) -> tuple[Effect, ...]:
    """The action of a phase in which all that is left is to wait."""
    return ()


def no_queries(_: Rollout, __: object) -> PodQueries:
    """The queries of a phase that asks nothing of the engine pods."""
    return PodQueries()


def never(_: object, __: datetime) -> float:
    """The pause of a phase that is over."""
    return math.inf


def every(seconds: float) -> Callable[[object, datetime], float]:
    """The same pause however the operation stands."""
    return lambda _, __: seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseRow(Generic[P, C]):
    """Everything about one phase.

    `event_text` is the message of the Kubernetes Event that is emitted when the phase is entered; it may name the
    fields that the operation's `event_fields` gives. `action` gives the effects that are needed now, in order.
    """

    ways: Mapping[Event, P]  # empty: the phase is terminal
    event_text: str
    checks: tuple[Check[C], ...] = ()  # in the order in which a person would look
    action: Callable[[C], tuple[Effect, ...]] = nothing_to_do
    queries: Callable[[Rollout, Any], PodQueries] = no_queries  # by spec.rollout and the record
    # By spec.rollout, or spec.backup; None: it waits as long as it takes.
    deadline: Callable[[Any], timedelta] | None = None
    # Seconds until the next reconcile, by the record and the time.
    requeue: Callable[[Any, datetime], float] = never
    only_waits: bool = False  # nothing has been done yet: the arbiter may let others begin, and go on, beside it
    # Whether it cannot go on by itself: a maintenance goes on then. Needed by a phase that would wait without end.
    is_stuck: Callable[[C], bool] | None = None
    goes_first: bool = False  # traffic waits for the operator: its reconciles go before those of other engines
    goes_first_after: P | None = None  # only in an operation that has been in this phase
    is_warning: bool = False  # of the Kubernetes Event
    keeps_message: bool = False  # the record's message stays the cause, not what the phase waits for

    @property
    def is_terminal(self) -> bool:
        return not self.ways


Row = TypeVar("Row", bound=PhaseRow[Any, Any])


@dataclass(frozen=True, slots=True)
class PhaseTable(Generic[P, Row]):
    """The phases of an operation and the only ways between them. Raises IncompleteTableError when it is made."""

    first: P
    rows: Mapping[P, Row]
    event_fields: frozenset[str]  # that an event_text may name

    def __post_init__(self) -> None:
        if faults := list(self._faults()):
            raise IncompleteTableError("; ".join(faults))

    def __getitem__(self, phase: P) -> Row:
        return self.rows[phase]

    def following(self, phase: P, event: Event) -> P:
        """The phase after `event`. Raises UnknownTransitionError."""
        try:
            return self.rows[phase].ways[event]  # type: ignore[no-any-return]  # a Row of P
        except KeyError:
            raise UnknownTransitionError(f"{phase} knows no event {event}") from None

    def reached_from(self, *begin: P) -> set[P]:
        """These phases and all to which some chain of events leads from them."""
        found, open_ = set[P](), list(begin)
        while open_:
            phase = open_.pop()
            if phase not in found:
                found.add(phase)
                open_ += self.rows[phase].ways.values()
        return found

    def diagram(self) -> str:
        """The table as a Mermaid state diagram. docs/architecture.md holds it; a test compares."""
        return "\n".join(["stateDiagram-v2", f"    [*] --> {self.first}", *self._arrows()])

    def _arrows(self) -> Iterator[str]:
        for phase, row in self.rows.items():
            for target in dict.fromkeys(row.ways.values()):
                events = ", ".join(event for event, to in row.ways.items() if to is target)
                yield f"    {phase} --> {target}: {events}"
            if row.is_terminal:
                yield f"    {phase} --> [*]"

    def _faults(self) -> Iterator[str]:
        missing = [phase for phase in type(self.first) if phase not in self.rows]
        if missing:
            yield f"no row for {', '.join(missing)}"
            return
        reached = self.reached_from(self.first)
        for phase, row in self.rows.items():
            if phase not in reached:
                yield f"nothing leads to {phase}"
            if phase.is_terminal != row.is_terminal:
                yield f"{phase} is {'' if phase.is_terminal else 'not '}terminal by its enum, and otherwise by its ways"
            elif row.is_terminal:
                yield from _terminal_faults(phase, row)
            else:
                yield from _faults_under_way(phase, row)
            if not any(self.rows[found].is_terminal for found in self.reached_from(phase)):
                yield f"{phase} leads to no end"
            yield from self._text_faults(phase, row)

    def _text_faults(self, phase: P, row: Row) -> Iterator[str]:
        if not row.event_text:
            yield f"{phase} has no Event text"
        try:
            row.event_text.format_map(dict.fromkeys(self.event_fields, ""))
        except (KeyError, ValueError, IndexError) as error:
            yield f"the Event text of {phase} names {error}, which no record has"


def _terminal_faults(phase: Phase | BackupPhase, row: PhaseRow[Any, Any]) -> Iterator[str]:
    if row.checks or row.action is not nothing_to_do or row.queries is not no_queries:
        yield f"{phase} is terminal and still checks or does something"
    if row.deadline or row.requeue is not never or row.goes_first:
        yield f"{phase} is terminal and still has a time"
    if row.only_waits:
        yield f"{phase} is terminal and still waits"


def _faults_under_way(phase: Phase | BackupPhase, row: PhaseRow[Any, Any]) -> Iterator[str]:
    if Event.DONE not in row.ways:
        yield f"{phase} is never done"
    if phase in row.ways.values():
        yield f"{phase} leads to itself"
    if not row.checks:
        yield f"{phase} waits for nothing"
    if row.requeue is never:
        yield f"{phase} does not say when it is reconciled again"
    if not (row.deadline or row.only_waits or row.is_stuck):
        yield f"{phase} may wait without end, and lets through nothing that would mend its cause"
    if (Event.EXPIRED in row.ways) != (row.deadline is not None):
        yield f"{phase} has a deadline or a way out when it has passed, not both"


@dataclass(frozen=True, slots=True)
class OperationInput:
    """One observation of an engine, as operations get it. `now` is the one instant of this reconcile."""

    engine: TradingEngine
    desired: DesiredState
    seen: Observation
    now: datetime
    operation_id: str  # names an operation that begins now
    held: str  # why nothing may begin, or go on from its first phase; empty when nothing holds


@dataclass(frozen=True, slots=True)
class Step:
    """What comes of one reconcile of the operations.

    `entered` is the phase that an operation entered with this step; `waits` is what it waits for.
    """

    state: PersistedState
    effects: tuple[Effect, ...] = ()
    entered: Phase | None = None
    waits: Unmet | None = None


@dataclass(frozen=True, slots=True)
class OwnEvent:
    """An event that only this kind of operation knows; `cause` when it leads back."""

    event: Event
    cause: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(Generic[P, C]):
    """One kind of operation: its table, and what only it knows."""

    name: OperationName
    phases: PhaseTable[P, Any]
    trigger: Callable[[PersistedState, OperationInput], PersistedState | None]  # the state in which it has begun
    context: Callable[[PersistedState, OperationInput], C]
    note: Callable[[PersistedState, C], PersistedState]  # instants, when they are first observed
    own_event: Callable[[C, Unmet | None], OwnEvent | None]
    settle: Callable[[PersistedState, C], PersistedState]  # what entering its phase changes in the rest of the state


def begin(operation: Operation[Any, Any], state: PersistedState, given: OperationInput) -> Step | None:
    """The operation in its first phase, if it is due; or what its trigger changes in the state without beginning it."""
    changed = operation.trigger(state, given)
    record = changed.under_way(operation.name) if changed else None
    if changed is None or record is None:
        return Step(changed) if changed else None
    limit = _limit(operation.phases[record.phase], given)
    return Step(changed.with_record(begun(record, given.now, limit)), entered=record.phase)


def step(operation: Operation[Any, C], state: PersistedState, given: OperationInput) -> Step:
    """One step of an operation that is under way."""
    state = _timed(operation, operation.note(state, operation.context(state, given)), given)
    record, context = _record(operation, state), operation.context(state, given)
    row: PhaseRow[Any, C] = operation.phases[record.phase]
    waits = worst_unmet(context, row.checks)
    if isinstance(waits, Waiting) and waits.is_endless and (limit := _limit(row, given)):
        record = renewed(record, given.now, limit)
        state = state.with_record(record)
    happened = operation.own_event(context, waits) or _event(row, record, waits, given)
    if happened is not None:
        return _moved(operation, state, given, happened)
    if not row.keeps_message:
        state = state.with_record(waiting(record, waits.message if waits else ""))
        context = operation.context(state, given)
    return Step(state, row.action(context), waits=waits)


def _record(operation: Operation[Any, Any], state: PersistedState) -> Record:
    record = state.under_way(operation.name)
    if record is None:
        raise ValueError(f"no {operation.name} is under way")
    return record


def _limit(row: PhaseRow[Any, Any], given: OperationInput) -> timedelta | None:
    """How long the phase may take, by spec as it is now; None: as long as it takes."""
    return row.deadline(given.engine.spec.rollout) if row.deadline else None


def _timed(operation: Operation[Any, Any], state: PersistedState, given: OperationInput) -> PersistedState:
    """The state in which the record's deadline is the one that counts now."""
    record, now = _record(operation, state), given.now
    limit = _limit(operation.phases[record.phase], given)
    timed = with_grace(with_limit(record, limit, now), limit, now, observed_recently=given.seen.observed_recently)
    return state.with_record(timed)


def _event(row: PhaseRow[Any, Any], record: Record, waits: Unmet | None, given: OperationInput) -> OwnEvent | None:
    if waits is None:
        return OwnEvent(Event.DONE)
    if isinstance(waits, Failure) and Event.FAILED in row.ways:
        return OwnEvent(Event.FAILED, waits)
    # An answer that is still to come may say that the phase is done.
    if record.deadline and given.now > record.deadline and given.seen.is_whole and Event.EXPIRED in row.ways:
        late = f"{record.phase} did not end before its deadline: {waits.message}"
        return OwnEvent(Event.EXPIRED, Failure(late, Reason.DEADLINE_EXCEEDED))
    return None


def _moved(operation: Operation[Any, C], state: PersistedState, given: OperationInput, happened: OwnEvent) -> Step:
    record = _record(operation, state)
    row = operation.phases[record.phase]
    phase = operation.phases.following(record.phase, happened.event)
    limit, cause = _limit(operation.phases[phase], given), happened.cause
    message = cause.message if cause else record.message if row.keeps_message else ""
    moved = entered(record, phase, given.now, limit, cause.reason if cause else "", message)
    context = operation.context(state.with_record(moved), given)
    return Step(operation.settle(state.with_record(moved), context), entered=phase)
