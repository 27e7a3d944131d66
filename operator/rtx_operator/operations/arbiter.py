"""The arbiter: which operation runs, and which may begin. Pure.

One operation moves at a time: a cutover and a retirement change the colours, a maintenance takes the database away. One
that only waits, in its first phase, holds up no other; of several, the first of OPERATIONS that can goes on.
So a cutover that waits for a broken database does not hold up the maintenance that mends it.

A restore waits for what moves, and stops the rest: from Validating to its end nothing else begins or moves.

| under way            | cutover                | maintenance    | retirement                              |
|----------------------|------------------------|----------------|-----------------------------------------|
| a restore, waiting   | does not begin; moves  | begins, moves  | does not begin                          |
| a restore            | waits                  | waits          | waits                                   |
| a cutover, waiting   | itself                 | begins, moves  | waits: what is kept may be its target   |
| a cutover            | itself                 | waits          | waits                                   |
| a cutover, stuck     | itself, until a pod of | begins, moves  | waits                                   |
|                      | a server is replaced   |                |                                         |
| a maint., waiting    | begins, moves          | itself         | begins, moves                           |
| a maintenance of the | waits                  | itself         | waits                                   |
|  database            |                        |                |                                         |
| one of the cache     | begins, moves          | itself         | begins, moves                           |
| a retirement         | waits; it gives way to | waits          | itself                                  |
|                      | the cutover (ADR 0029) |                |                                         |
| a retirement, stuck  | as above               | begins, moves  | itself, until a pod is replaced         |

Going back waits for nothing: it is a phase of the operation that runs. Where that is stuck, because the database does
not answer or no old pod serves, a restore or a maintenance may be what mends it. It goes on only while the other
cannot; while it replaces the database's pod or data, the other acts no more, so that the fence stays (ADR 0047).

Nothing waits for the cache: its maintenance begins when nothing else moves, and what is due meanwhile goes on beside it
(ADR 0143).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from rtx_operator.api.engine import TradingEngine
from rtx_operator.api.enums import Component, CutoverPhase, OperationName, RetirementPhase
from rtx_operator.api.status import Record
from rtx_operator.desired.state import DesiredState
from rtx_operator.observation import Freshness, Object, PodQueries
from rtx_operator.operations.cutover import CUTOVER
from rtx_operator.operations.machine import Operation, OperationInput, Step, begin, step
from rtx_operator.operations.maintenance import MAINTENANCE
from rtx_operator.operations.record import noted, waiting, with_keeping_time
from rtx_operator.operations.restore import RESTORE
from rtx_operator.operations.retirement import RETIREMENT
from rtx_operator.operations.state import PersistedState

# In the order in which they may begin.
OPERATIONS: Mapping[OperationName, Operation[Any, Any]] = {
    one.name: one for one in (RESTORE, CUTOVER, MAINTENANCE, RETIREMENT)
}
# The waiting operations beside which each may begin.
BESIDE_WAITING: Mapping[OperationName, frozenset[OperationName]] = {
    OperationName.RESTORE: frozenset({OperationName.CUTOVER, OperationName.MAINTENANCE}),
    OperationName.CUTOVER: frozenset({OperationName.MAINTENANCE}),
    OperationName.MAINTENANCE: frozenset({OperationName.CUTOVER, OperationName.RESTORE}),
    OperationName.RETIREMENT: frozenset({OperationName.MAINTENANCE}),
}


def advance(given: OperationInput) -> Step:
    """The one step of all operations: of the one that moves, else of the first that can go on or is due."""
    state = with_starts(_kept_as_asked(PersistedState.of(given.engine.status), given), given.desired)
    if not given.desired.has_served:
        return Step(state)  # nothing is installed yet
    moves = moving(state)
    if moves is None:
        return _first_to_go_on(state, given, OPERATIONS)
    if moves is OperationName.MAINTENANCE and state.maintains_cache:
        return _beside_cache(_first_to_go_on(state, given, _waited_for(state, OPERATIONS)), given)
    taken = _without_failed_retirement(step(OPERATIONS[moves], _observed(state, moves, given), given))
    if _is_stuck(moves, taken, given) and (beside := _mended(taken, given)):
        return beside
    taken = replace(taken, state=_told_to_wait(taken.state, moves))
    return _beside_cache(taken, given) if _moves_cache(taken.state) else taken


def with_starts(state: PersistedState, desired: DesiredState) -> PersistedState:
    """The state with the last start of each server, which says what passwords it has."""
    for component, server in desired.servers.items():
        if made := state.servers.get(component):
            state = state.with_server(component, noted(made, started=server.started, standbys=list(server.standbys)))
    return state


def _kept_as_asked(state: PersistedState, given: OperationInput) -> PersistedState:
    """The state whose previous release is kept for as long as spec asks now."""
    previous, limit = state.previous, given.engine.spec.rollout.keep_previous_for
    return replace(state, previous=with_keeping_time(previous, limit)) if previous else state


def moving(state: PersistedState) -> OperationName | None:
    """The operation that has effects now; None when none is under way, or those that are do nothing yet.

    Of one that is stuck and the maintenance beside it, the maintenance once it replaces the database's pod. That of the
    cache only when it is alone.
    """
    if state.replaces_database:
        return OperationName.MAINTENANCE
    names = _past_waiting(state)
    return next(iter(_waited_for(state, names) or names), None)


def running(state: PersistedState) -> Record | None:
    """The record of the operation that moves, else of the first that waits; None when none is under way."""
    under_way = [record for name in OPERATIONS if (record := state.under_way(name))]
    moves = moving(state)
    return state.under_way(moves) if moves else next(iter(under_way), None)


def may_rest(engine: TradingEngine) -> bool:
    """Whether no operation moves, so that it may be observed by what the watches delivered."""
    return moving(PersistedState.of(engine.status)) is None


def operates(status: Mapping[str, Any]) -> bool:
    """Whether an operation is under way by a status as it is stored, which another release may have written."""
    return any(_is_under_way(name, (status.get(name.lower()) or {}).get("phase")) for name in OPERATIONS)


def _is_under_way(name: OperationName, phase: object) -> bool:
    return bool(phase) and not any(
        phase == known and row.is_terminal for known, row in OPERATIONS[name].phases.rows.items()
    )


def queries(engine: TradingEngine) -> PodQueries:
    """What the operations that move have read besides; nothing while the engine is paused."""
    asked, state = PodQueries(), PersistedState.of(engine.status)
    for name in () if engine.spec.paused else _past_waiting(state):
        if record := state.under_way(name):
            asked = asked.beside(OPERATIONS[name].phases[record.phase].queries(engine.spec.rollout, record))
    return asked


def freshness(engine: TradingEngine) -> Freshness:
    """How old the answer of the database may be: evidence and deadlines of an operation rest on new ones."""
    state = PersistedState.of(engine.status)
    is_at_rest = engine.spec.paused or not any(state.under_way(name) for name in OPERATIONS)
    return Freshness.RECENT if is_at_rest else Freshness.NEW


def traffic_waits(state: PersistedState) -> bool:
    """Whether traffic waits for the phase of the operation under way."""
    names = _waited_for(state, OPERATIONS)
    return any(_goes_first(name, record.phase, record.seconds) for name in names if (record := state.under_way(name)))


def traffic_waits_by(status: Object) -> bool:
    """The same by a status as it is stored, which another release of the operator may have written."""
    records = {name: status.get(name.lower()) or {} for name in OPERATIONS}
    if records[OperationName.MAINTENANCE].get("component") == Component.CACHE:
        del records[OperationName.MAINTENANCE]
    return any(_goes_first(name, one.get("phase"), one.get("seconds") or {}) for name, one in records.items())


def _goes_first(name: OperationName, phase: object, passed: Collection[str]) -> bool:
    """Whether traffic waits for this phase of an operation that has `passed` these."""
    row = next((row for known, row in OPERATIONS[name].phases.rows.items() if known == phase), None)
    return bool(row and row.goes_first and (row.goes_first_after is None or row.goes_first_after in passed))


def requeue_seconds(state: PersistedState, now: datetime) -> float | None:
    """Seconds until the next reconcile of the operations under way; None when none is."""
    names = _past_waiting(state) or list(OPERATIONS)
    pauses = [
        float(OPERATIONS[name].phases[record.phase].requeue(record, now))
        for name in names
        if (record := state.under_way(name))
    ]
    return min(pauses, default=None)


def _first_to_go_on(state: PersistedState, given: OperationInput, names: Iterable[OperationName]) -> Step:
    """The step of the first of these that can go on, or is due."""
    waits = None
    for name in names:
        operation = OPERATIONS[name]
        if state.under_way(name):
            taken = step(operation, state, given)
            if taken.entered:
                return taken
            state, waits = taken.state, waits or taken.waits
        elif _may_begin(name, state) and (begun := begin(operation, state, given)):
            return replace(_with_retry_taken(begun, given), waits=waits)
    return Step(state, waits=waits)


def _waited_for(state: PersistedState, names: Iterable[OperationName]) -> list[OperationName]:
    """Those of these operations for which others wait: not the cache's maintenance."""
    return [name for name in names if not (name is OperationName.MAINTENANCE and state.maintains_cache)]


def _moves_cache(state: PersistedState) -> bool:
    """Whether a maintenance of the cache does more than wait."""
    record = state.maintenance_under_way
    return record is not None and state.maintains_cache and not _only_waits(OperationName.MAINTENANCE, record)


def _beside_cache(taken: Step, given: OperationInput) -> Step:
    """The step of another operation, and after it that of the cache's maintenance."""
    if taken.entered:
        return taken  # status has it before anything else is done
    beside = step(MAINTENANCE, taken.state, given)
    effects = () if beside.entered else (*taken.effects, *beside.effects)
    return Step(beside.state, effects, beside.entered, taken.waits)


def _past_waiting(state: PersistedState) -> list[OperationName]:
    """The operations that do more than wait: one, or one that is stuck and the maintenance beside it."""
    return [name for name in OPERATIONS if (record := state.under_way(name)) and not _only_waits(name, record)]


def _is_stuck(moves: OperationName, taken: Step, given: OperationInput) -> bool:
    """Whether the operation, after its step, cannot go on by itself."""
    operation, record = OPERATIONS[moves], taken.state.under_way(moves)
    if record is None or taken.entered:
        return False
    is_stuck = operation.phases[record.phase].is_stuck
    return is_stuck is not None and bool(is_stuck(operation.context(taken.state, given)))


def _mended(stuck: Step, given: OperationInput) -> Step | None:
    """The step of what may mend an operation that is stuck; None when there is none to take."""
    if restored := _beside(RESTORE, stuck, given):
        if restored.entered:
            return restored
        stuck = replace(stuck, state=restored.state)
        return _beside(MAINTENANCE, stuck, given) or restored
    return _beside(MAINTENANCE, stuck, given)


def _beside(operation: Operation[Any, Any], stuck: Step, given: OperationInput) -> Step | None:
    """The step of an operation beside one that is stuck; None when it is not due."""
    state = stuck.state
    is_under_way = state.under_way(operation.name) is not None
    taken = step(operation, state, given) if is_under_way else begin(operation, state, given)
    if taken is None:
        return None
    # First the maintenance's: what the other one cannot carry out would end the reconcile before them.
    effects = () if taken.entered else (*taken.effects, *stuck.effects)
    return Step(taken.state, effects, taken.entered, stuck.waits)


def _observed(state: PersistedState, moves: OperationName, given: OperationInput) -> PersistedState:
    """The state with what the operations note that stand still while another moves: their instants and deadlines."""
    for name in _past_waiting(state):
        if name is not moves:
            operation = OPERATIONS[name]
            state = operation.note(state, operation.context(state, given))
    return state


def _may_begin(name: OperationName, state: PersistedState) -> bool:
    waiting_ones = {other for other in OPERATIONS if state.under_way(other)}
    return waiting_ones <= BESIDE_WAITING[name]


def _only_waits(name: OperationName, record: Record) -> bool:
    return bool(OPERATIONS[name].phases[record.phase].only_waits)


def _told_to_wait(state: PersistedState, moves: OperationName) -> PersistedState:
    """The state in which each waiting operation says for which one it waits."""
    mover = state.under_way(moves)
    for name in OPERATIONS:
        record = state.under_way(name)
        if mover is None or record is None or name is moves:
            continue
        is_beside = name is OperationName.MAINTENANCE and _moves_cache(state)
        if not is_beside and not OPERATIONS[name].phases[record.phase].keeps_message:
            state = state.with_record(waiting(record, f"waiting for the {moves.lower()}, which is {mover.phase}"))
    return state


def _with_retry_taken(taken: Step, given: OperationInput) -> Step:
    """The retry annotation with which a cutover begins was meant for it: it does not retry a retirement as well."""
    failed = taken.state.retirement
    if taken.entered is not CutoverPhase.PENDING or failed is None or failed.phase is not RetirementPhase.FAILED:
        return taken
    return replace(taken, state=taken.state.with_record(noted(failed, retry=given.engine.retry)))


def _without_failed_retirement(taken: Step) -> Step:
    """After a cutover that succeeded, a failed retirement is history: the next one runs what is still pending."""
    failed = taken.state.retirement
    if taken.entered is not CutoverPhase.SUCCEEDED or failed is None or failed.phase is not RetirementPhase.FAILED:
        return taken
    return replace(taken, state=replace(taken.state, retirement=None))
