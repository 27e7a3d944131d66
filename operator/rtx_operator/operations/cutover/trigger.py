"""When a cutover begins: the spec asks for another revision than the active one, and it was not rolled back before."""

from dataclasses import replace

from rtx_operator.api.enums import CutoverPhase as Phase
from rtx_operator.api.status import Active, Cutover, Release
from rtx_operator.operations.machine import OperationInput
from rtx_operator.operations.state import PersistedState


def trigger(state: PersistedState, given: OperationInput) -> PersistedState | None:
    """The state with a new cutover in Pending; with a rejection that no longer holds taken out; None when neither."""
    wanted, retry, active = given.desired.wanted.hash, given.engine.retry, state.active
    if state.rejected and (state.rejected.revision, state.rejected.retry) != (wanted, retry):
        return replace(state, rejected=None)
    if active is None or not state.asks_for_cutover(wanted, retry):
        return None
    return replace(state, cutover=_begun(active, given), rejected=None)


def _begun(active: Active, given: OperationInput) -> Cutover:
    wanted = given.desired.wanted
    return Cutover(
        id=given.operation_id,
        phase=Phase.PENDING,
        started_at=given.now,
        since=given.now,
        from_=Release(colour=active.colour, version=active.version, revision=active.revision),  # type: ignore[call-arg]  # pydantic takes a field by its name too, which mypy does not see
        to=Release(colour=active.colour.other, version=wanted.version, revision=wanted.hash),
    )
