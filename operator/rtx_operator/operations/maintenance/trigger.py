"""When a maintenance begins: the user asks for another database or cache than the one that was made.

Today's templates and defaults alone begin none: they differ from what was made after each release of the operator.
"""

from rtx_operator.api.enums import MaintenancePhase as Phase
from rtx_operator.api.status import Asked, Maintenance, Server
from rtx_operator.desired.state import DesiredServer
from rtx_operator.operations.machine import OperationInput
from rtx_operator.operations.record import noted
from rtx_operator.operations.state import PersistedState


def trigger(state: PersistedState, given: OperationInput) -> PersistedState | None:
    """The state with a new maintenance in Pending; with what it learns of a server without one; None when neither."""
    due: list[tuple[Server, DesiredServer]] = []
    for component, wanted in given.desired.servers.items():
        made = state.servers.get(component)
        known = _known(made, wanted, given.engine.retry)
        if known != made:
            return state.with_server(component, known)
        if wanted.is_due(known):
            due.append((known, wanted))
    # One that waits for a person holds up no other.
    first = min(due, key=lambda one: bool(one[1].password_conflict), default=None)
    return state.with_record(_begun(*first, given)) if first else None


def _known(made: Server | None, wanted: DesiredServer, retry: str) -> Server:
    """What status is to say of a server without a maintenance."""
    if made is None:
        asked = Asked(spec=wanted.first_asked or wanted.asked.spec, refresh=wanted.asked.refresh)
        standbys = list(wanted.standbys)
        return Server(
            revision=wanted.revision, image=wanted.image, asked=asked, started=wanted.started, standbys=standbys
        )
    if wanted.asked.differs_from(made.asked) and wanted.wanted == made.revision:
        return noted(made, asked=wanted.asked, failed=None)  # it has that shape already
    failed = made.failed
    if failed and (failed.asked, failed.retry) != (wanted.asked, retry):
        return noted(made, failed=None)
    return made


def _begun(made: Server, wanted: DesiredServer, given: OperationInput) -> Maintenance:
    return Maintenance(
        id=given.operation_id,
        phase=Phase.PENDING,
        started_at=given.now,
        since=given.now,
        component=wanted.component,
        from_=made.revision,  # type: ignore[call-arg]  # pydantic takes a field by its name too, which mypy does not see
        to=wanted.renewed_revision,
        asked=wanted.asked,
        retry=given.engine.retry,
    )
