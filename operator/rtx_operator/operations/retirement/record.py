"""What status remembers of a retirement besides its phase: the cause of a failure in its own words."""

from rtx_operator.api.enums import Reason
from rtx_operator.api.enums import RetirementPhase as Phase
from rtx_operator.operations.machine import Event, OwnEvent
from rtx_operator.operations.retirement.context import RetirementContext
from rtx_operator.operations.state import PersistedState
from rtx_operator.results import Failure, Unmet


def note(state: PersistedState, _: RetirementContext) -> PersistedState:
    """A retirement notes no instants."""
    return state


def own_event(context: RetirementContext, waits: Unmet | None) -> OwnEvent | None:
    """EXPIRED in Emptying says what holds: pods that remain."""
    deadline = context.retirement.deadline
    late = deadline is not None and context.now > deadline
    if context.retirement.phase is Phase.EMPTYING and waits and late and context.pods_left:
        return OwnEvent(Event.EXPIRED, Failure(waits.message, Reason.PODS_REMAIN))
    return None


def settle(state: PersistedState, _: RetirementContext) -> PersistedState:
    """A retirement changes nothing else of what status remembers."""
    return state
