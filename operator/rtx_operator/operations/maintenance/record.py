"""What status remembers of a maintenance besides its phase, and the events that only it knows."""

from rtx_operator.api.enums import MaintenancePhase as Phase
from rtx_operator.api.enums import Reason
from rtx_operator.api.status import FailedMaintenance, Server
from rtx_operator.operations.machine import Event, OwnEvent
from rtx_operator.operations.maintenance.context import MaintenanceContext
from rtx_operator.operations.maintenance.phases import PHASES
from rtx_operator.operations.record import noted
from rtx_operator.operations.state import PersistedState
from rtx_operator.results import Failure, Unmet


def note(state: PersistedState, context: MaintenanceContext) -> PersistedState:
    """The fence's epoch, until the pod is replaced: data of an earlier state may be what it is to mend."""
    maintenance, fence = context.maintenance, context.fence
    if maintenance.phase.replaces_pod or fence is None or not context.owner.owns(fence):
        return state
    return state.with_record(noted(maintenance, epoch=fence.epoch))


def own_event(context: MaintenanceContext, waits: Unmet | None) -> OwnEvent | None:
    """WITHDRAWN when something else is asked for, or when it waits for a person and another one need not.

    Once the pod is being replaced, only when spec asks again for what ran before: a pod that recovers is not taken away
    for another one, which would begin that anew. A later maintenance makes what else is asked for.
    """
    phase = context.maintenance.phase
    stays = phase is Phase.RESTARTING and (waits is None or not context.asks_for_what_ran)
    if context.is_withdrawn and Event.WITHDRAWN in PHASES[phase].ways and not stays:
        changed = f"spec asks for another {context.component} by now"
        return OwnEvent(Event.WITHDRAWN, Failure(changed, Reason.SUPERSEDED))
    if phase is Phase.PENDING and context.gives_way:
        return OwnEvent(Event.WITHDRAWN, Failure("it waits, and that of another server goes first", Reason.SUPERSEDED))
    return None


def settle(state: PersistedState, context: MaintenanceContext) -> PersistedState:
    """A maintenance that is over leaves what runs from now on, or what failed."""
    maintenance, server = context.maintenance, state.servers.get(context.component)
    if maintenance.phase is Phase.SUCCEEDED:
        made = Server(
            revision=maintenance.to,
            image=context.server.renewed_image,
            asked=maintenance.asked,
            started=context.server.started,
            standbys=list(context.server.standbys),
        )
        return state.with_server(context.component, made)
    if maintenance.phase is Phase.FAILED and server and maintenance.reason != Reason.SUPERSEDED:
        failed = FailedMaintenance(
            asked=maintenance.asked, retry=maintenance.retry, reason=maintenance.reason, message=maintenance.message
        )
        return state.with_server(context.component, server.model_copy(update={"failed": failed}))
    return state
