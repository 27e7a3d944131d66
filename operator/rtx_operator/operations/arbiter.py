"""The arbiter: which operation runs, and which may begin. Pure.

One operation runs at a time, since all that there are change the colours. A cutover begins before a retirement does,
and a retirement that runs gives way to one that is due, unless a contract migration runs at that moment (ADR 0029).
Going back waits for nothing: it is a phase of the cutover that runs.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rtx_operator.api.engine import TradingEngine
from rtx_operator.api.enums import CutoverPhase, OperationName, RetirementPhase
from rtx_operator.observation import Freshness, Object, PodQueries
from rtx_operator.operations.cutover import CUTOVER
from rtx_operator.operations.machine import Operation, OperationInput, Step, begin, step
from rtx_operator.operations.retirement import RETIREMENT
from rtx_operator.operations.state import PersistedState

# In the order in which they may begin.
OPERATIONS: Mapping[OperationName, Operation[Any, Any]] = {one.name: one for one in (CUTOVER, RETIREMENT)}


def advance(given: OperationInput) -> Step:
    """The one step of all operations: of the one that runs, else of the first that is due."""
    state = PersistedState.of(given.engine.status)
    if state.active is None:
        return Step(state)  # nothing is installed yet
    for name, operation in OPERATIONS.items():
        if state.under_way(name):
            return _without_failed_retirement(step(operation, state, given))
    begun = (begin(operation, state, given) for operation in OPERATIONS.values())
    return next((first for first in begun if first), Step(state))


def may_rest(engine: TradingEngine) -> bool:
    """Whether no operation under way has to act: it may be observed by what the watches delivered.

    A cutover that waits in Pending has made nothing yet.
    """
    state = PersistedState.of(engine.status)
    cutover = state.cutover_under_way
    return not state.retirement_under_way and (cutover is None or cutover.phase is CutoverPhase.PENDING)


def queries(engine: TradingEngine) -> PodQueries:
    """What the operation under way queries of the engine pods; nothing while the engine is paused."""
    state = PersistedState.of(engine.status)
    for name, operation in OPERATIONS.items():
        record = state.under_way(name)
        if record and not engine.spec.paused:
            asked: PodQueries = operation.phases[record.phase].queries(engine.spec.rollout, record)
            return asked
    return PodQueries()


def freshness(engine: TradingEngine) -> Freshness:
    """How old the answer of the database may be: evidence and deadlines of an operation rest on new ones."""
    state = PersistedState.of(engine.status)
    is_at_rest = engine.spec.paused or not any(state.under_way(name) for name in OPERATIONS)
    return Freshness.RECENT if is_at_rest else Freshness.NEW


def traffic_waits(state: PersistedState) -> bool:
    """Whether traffic waits for the phase of the operation under way."""
    return any(_goes_first(name, record.phase) for name in OPERATIONS if (record := state.under_way(name)))


def traffic_waits_by(status: Object) -> bool:
    """The same by a status as it is stored, which another release of the operator may have written."""
    return any(_goes_first(name, (status.get(name.lower()) or {}).get("phase")) for name in OPERATIONS)


def _goes_first(name: OperationName, phase: object) -> bool:
    return any(phase == known and row.goes_first for known, row in OPERATIONS[name].phases.rows.items())


def requeue_seconds(state: PersistedState) -> float | None:
    """Seconds until the next reconcile of the operation under way; None when none is."""
    for name, operation in OPERATIONS.items():
        if record := state.under_way(name):
            seconds: float = operation.phases[record.phase].requeue(record)
            return seconds
    return None


def _without_failed_retirement(taken: Step) -> Step:
    """After a cutover that succeeded, a failed retirement is history: the next one runs what is still pending."""
    failed = taken.state.retirement
    if taken.entered is not CutoverPhase.SUCCEEDED or failed is None or failed.phase is not RetirementPhase.FAILED:
        return taken
    return replace(taken, state=replace(taken.state, retirement=None))
