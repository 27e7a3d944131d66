"""What status remembers of a restore besides its phase, and the event that only it knows."""

from rtx_operator.api.enums import Reason
from rtx_operator.operations.machine import Event, OwnEvent
from rtx_operator.operations.record import noted
from rtx_operator.operations.restore.context import RestoreContext
from rtx_operator.operations.restore.phases import PHASES
from rtx_operator.operations.restore.report import label_of, last_commit_of, restored_by, said_by
from rtx_operator.operations.state import PersistedState
from rtx_operator.results import Failure, Unmet


def note(state: PersistedState, context: RestoreContext) -> PersistedState:
    """What the Jobs said, once they did: their pods may go."""
    restore, jobs = context.restore, context.desired.restore
    if jobs is None:
        return state
    checked, made = said_by(context.seen, jobs.check), restored_by(said_by(context.seen, jobs.restore))
    label, commit = label_of(checked) or restore.label, last_commit_of(checked) or restore.last_commit
    return state.with_record(noted(restore, label=label, last_commit=commit, restored=made or restore.restored))


def own_event(context: RestoreContext, _: Unmet | None) -> OwnEvent | None:
    """WITHDRAWN when its TradingEngineRestore is deleted before the data were swapped: they are as before then."""
    if not context.is_withdrawn or Event.WITHDRAWN not in PHASES[context.restore.phase].ways:
        return None
    gone = f"TradingEngineRestore {context.restore.name} was deleted"
    return OwnEvent(Event.WITHDRAWN, Failure(gone, Reason.RESTORE_WITHDRAWN))


def settle(state: PersistedState, _: RestoreContext) -> PersistedState:
    """Nothing else in the state is about a restore."""
    return state
