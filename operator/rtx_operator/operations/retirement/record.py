"""What status remembers of a retirement besides its phase, and the events that only it knows."""

from dataclasses import replace

from rtx_operator.api.enums import Reason
from rtx_operator.api.enums import RetirementPhase as Phase
from rtx_operator.operations.machine import Event, OwnEvent
from rtx_operator.operations.record import noted
from rtx_operator.operations.retirement.context import EMPTYING_TIMEOUT, RetirementContext
from rtx_operator.operations.state import PersistedState
from rtx_operator.results import Failure, Unmet, Waiting

# Time to end that is left at least: status is not written with each reconcile in which nobody may be asked to.
SLACK = EMPTYING_TIMEOUT / 2


def note(state: PersistedState, context: RetirementContext) -> PersistedState:
    """The release is no longer one to go back to, once its pods may be asked to end; their time counts from then."""
    record, until = context.retirement, context.now + EMPTYING_TIMEOUT
    if state.previous and state.previous.revision == record.release.revision and not context.active_is_down:
        state = replace(state, previous=None)
    if (
        record.phase is Phase.EMPTYING
        and context.is_barred
        and (not record.deadline or record.deadline < until - SLACK)
    ):
        return state.with_record(noted(record, deadline=until))
    return state


def own_event(context: RetirementContext, waits: Unmet | None) -> OwnEvent | None:
    """FAILED when a cutover is due, and neither pods are to end nor a migration runs; EXPIRED names the pods left."""
    record = context.retirement
    if context.is_active:
        return OwnEvent(Event.FAILED, Failure(f"{context.release.colour} is the active colour", Reason.SUPERSEDED))
    has_begun = context.size > 0 and not context.active_is_down
    gives_way = context.cutover_is_due and not has_begun and not context.contract_pods
    if isinstance(waits, Waiting) and gives_way:
        wanted = context.desired.wanted.version
        yields = f"spec asks for version {wanted}; the retirement after that cutover does what this one left"
        return OwnEvent(Event.FAILED, Failure(yields, Reason.SUPERSEDED))
    late = record.deadline is not None and context.now > record.deadline
    if record.phase is Phase.EMPTYING and waits and late and context.pods_left:
        return OwnEvent(Event.EXPIRED, Failure(waits.message, Reason.PODS_REMAIN))
    return None


def settle(state: PersistedState, _: RetirementContext) -> PersistedState:
    """A retirement changes nothing else of what status remembers."""
    return state
