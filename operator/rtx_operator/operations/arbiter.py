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
from rtx_operator.observation import PodQueries
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
