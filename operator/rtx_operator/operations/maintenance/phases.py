"""Everything about each phase of a maintenance, in one table."""

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType

from rtx_operator.api.enums import MaintenancePhase as Phase
from rtx_operator.operations.machine import Event, PhaseRow, PhaseTable, every
from rtx_operator.operations.maintenance import actions, checks, queries
from rtx_operator.operations.maintenance.context import MaintenanceContext

# PostgreSQL may take two minutes to end, and half an hour to replay its log: its startup probe waits as long. To go
# back meanwhile would begin that anew. A known cause, such as an image that crashes, gets 45 s (GIVE_UP_AFTER).
RESTART_TIMEOUT = timedelta(minutes=40)

_TOUCHED_NOTHING: Mapping[Event, Phase] = {
    Event.WITHDRAWN: Phase.FAILED,
    Event.FAILED: Phase.FAILED,
    Event.EXPIRED: Phase.FAILED,
}

PHASES: PhaseTable[Phase, PhaseRow[Phase, MaintenanceContext]] = PhaseTable(
    first=Phase.PENDING,
    event_fields=frozenset({"id", "server", "message", "reason"}),
    rows=MappingProxyType({
        Phase.PENDING: PhaseRow(
            ways={Event.WITHDRAWN: Phase.FAILED, Event.DONE: Phase.CHECKING},
            event_text="maintenance {id} of the {server} is due",
            checks=(checks.credentials_known, checks.data_are_migrated, checks.slot_is_free),
            requeue=every(10.0),  # no event says when a slot is free
            only_waits=True,
        ),
        Phase.CHECKING: PhaseRow(
            ways={Event.DONE: Phase.RESTARTING, **_TOUCHED_NOTHING},
            event_text="a Job tries the image of the new {server} pod, on a node where its volume can be",
            checks=(checks.image_and_place_tried, checks.data_are_migrated),
            action=actions.check,
            queries=queries.volume,
            deadline=lambda _: timedelta(minutes=10),
            requeue=every(1.0),
        ),
        Phase.RESTARTING: PhaseRow(
            ways={
                Event.DONE: Phase.VERIFYING,
                Event.WITHDRAWN: Phase.ROLLING_BACK,
                Event.FAILED: Phase.ROLLING_BACK,
                Event.EXPIRED: Phase.ROLLING_BACK,
            },
            event_text="the {server} restarts with its new pod",
            checks=(checks.new_pods_ready,),
            action=actions.restart,
            deadline=lambda _: RESTART_TIMEOUT,
            requeue=every(1.0),
            goes_first=True,  # requests wait for it
        ),
        Phase.VERIFYING: PhaseRow(
            ways={Event.DONE: Phase.SUCCEEDED, Event.FAILED: Phase.ROLLING_BACK, Event.EXPIRED: Phase.ROLLING_BACK},
            event_text="the new {server} pod is ready: its data are verified",
            checks=(checks.new_pods_ready, checks.data_are_there),
            action=actions.restart,
            deadline=lambda _: timedelta(minutes=5),
            requeue=every(1.0),
            goes_first=True,
        ),
        Phase.SUCCEEDED: PhaseRow(
            ways={},
            event_text="the {server} runs as asked for",
        ),
        Phase.ROLLING_BACK: PhaseRow(
            ways={Event.DONE: Phase.FAILED, Event.FAILED: Phase.FAILED, Event.EXPIRED: Phase.FAILED},
            event_text="the {server} goes back to a pod as before: {message} ({reason})",
            checks=(checks.old_pods_ready,),
            action=actions.restore,
            deadline=lambda _: RESTART_TIMEOUT,
            requeue=every(1.0),
            goes_first=True,
            is_warning=True,
            keeps_message=True,
        ),
        Phase.FAILED: PhaseRow(
            ways={},
            event_text="the {server} is not changed: {message} ({reason})",
            is_warning=True,
        ),
    }),
)  # fmt: skip
