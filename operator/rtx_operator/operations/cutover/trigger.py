"""When a cutover begins: the spec asks for another revision than the active one, and it was not rolled back before."""

from dataclasses import replace

from rtx_operator.api.enums import CutoverPhase as Phase
from rtx_operator.api.status import Active, Cutover, Release
from rtx_operator.operations.machine import OperationInput
from rtx_operator.operations.state import PersistedState


def trigger(state: PersistedState, given: OperationInput) -> PersistedState | None:
    """The state with a new cutover in Pending; with a rejection that no longer holds taken out; None when neither."""
    wanted, active = given.desired.wanted, state.active
    if active is None:
        return None
    if state.rejected and _may_be_retried(state, given):
        return replace(state, rejected=None)
    if wanted.hash in {active.revision, state.rejected.revision if state.rejected else ""}:
        return None
    return replace(state, cutover=_begun(active, given), rejected=None)


def _may_be_retried(state: PersistedState, given: OperationInput) -> bool:
    """The spec asks for something else by now, or the retry annotation has another value."""
    rejected = state.rejected
    return rejected is not None and (
        given.desired.wanted.hash != rejected.revision or given.engine.retry != rejected.retry
    )


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
