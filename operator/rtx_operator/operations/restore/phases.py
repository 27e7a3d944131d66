"""Everything about each phase of a restore, in one table."""

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType

from rtx_operator.api.enums import RestorePhase as Phase
from rtx_operator.operations.machine import Event, PhaseRow, PhaseTable, every
from rtx_operator.operations.restore import actions, checks
from rtx_operator.operations.restore.context import RestoreContext

# Of the Jobs themselves, after which their failure is the better message: spec.backup.timeout is a day at most.
RESTORING_TIMEOUT = timedelta(hours=25)
# PostgreSQL has half an hour to start, by its startup probe.
STARTING_TIMEOUT = timedelta(minutes=40)
# After it, what is left of a restore is what any earlier data get: another version may be what goes on with them.
RESUMING_TIMEOUT = timedelta(minutes=15)
# A volume that cannot be mounted for so long is lost; the other ones have their data.
UNDOING_TIMEOUT = timedelta(hours=1)

_TOUCHED_NOTHING: Mapping[Event, Phase] = {Event.WITHDRAWN: Phase.FAILED, Event.FAILED: Phase.FAILED}
_BACK: Mapping[Event, Phase] = {
    Event.WITHDRAWN: Phase.ROLLING_BACK,
    Event.FAILED: Phase.ROLLING_BACK,
    Event.EXPIRED: Phase.ROLLING_BACK,
}
_UNDO: Mapping[Event, Phase] = {Event.FAILED: Phase.UNDOING, Event.EXPIRED: Phase.UNDOING}

PHASES: PhaseTable[Phase, PhaseRow[Phase, RestoreContext]] = PhaseTable(
    first=Phase.PENDING,
    event_fields=frozenset({"id", "name", "label", "message", "reason"}),
    rows=MappingProxyType({
        Phase.PENDING: PhaseRow(
            ways={Event.DONE: Phase.VALIDATING, **_TOUCHED_NOTHING},
            event_text="restore {name} is due",
            checks=(
                checks.source_is_known,
                checks.has_volume,
                checks.store_has_credentials,
                checks.repository_is_up,
                checks.no_backup_runs,
            ),
            requeue=every(5.0),
            only_waits=True,
        ),
        Phase.VALIDATING: PhaseRow(
            ways={Event.DONE: Phase.FENCING, Event.EXPIRED: Phase.FAILED, **_TOUCHED_NOTHING},
            event_text="a Job checks that the repository has all that restore {name} needs",
            checks=(checks.target_is_reachable,),
            action=actions.validate,
            deadline=lambda _: timedelta(minutes=15),
            requeue=every(3.0),
        ),
        Phase.FENCING: PhaseRow(
            ways={Event.DONE: Phase.STOPPING, **_BACK},
            event_text="the target can be restored, from backup {label} on: from now on no order is executed",
            checks=(checks.nobody_executes,),
            action=actions.fence,
            deadline=lambda _: timedelta(minutes=2),
            requeue=every(1.0),
            goes_first=True,
        ),
        Phase.STOPPING: PhaseRow(
            ways={Event.DONE: Phase.RESTORING, **_BACK},
            event_text="the database's pods end",
            checks=(checks.servers_have_ended,),
            deadline=lambda _: timedelta(minutes=10),
            requeue=every(1.0),
            goes_first=True,
        ),
        Phase.RESTORING: PhaseRow(
            ways={Event.DONE: Phase.SWAPPING, **_BACK},
            event_text="a Job restores backup {label} and the log since, beside the data of before",
            checks=(checks.restored,),
            action=actions.restore,
            deadline=lambda _: RESTORING_TIMEOUT,
            requeue=every(2.0),
            goes_first=True,
        ),
        Phase.SWAPPING: PhaseRow(
            ways={Event.DONE: Phase.STARTING, **_UNDO},
            event_text="the restored data take the place of those of before, which are kept",
            checks=(checks.swapped, checks.cluster_is_forgotten, checks.folder_is_new),
            action=actions.swap,
            deadline=lambda _: timedelta(minutes=15),
            requeue=every(1.0),
            goes_first=True,
        ),
        Phase.STARTING: PhaseRow(
            ways={Event.DONE: Phase.RESUMING, **_UNDO},
            event_text="the database starts with the restored data",
            checks=(checks.database_answers, checks.data_are_ours),
            deadline=lambda _: STARTING_TIMEOUT,
            requeue=every(1.0),
            goes_first=True,
        ),
        Phase.RESUMING: PhaseRow(
            ways={Event.DONE: Phase.SUCCEEDED, Event.EXPIRED: Phase.SUCCEEDED},
            event_text="the restored database answers: the active colour executes on it, once its migrations have run",
            checks=(checks.active_executes,),
            deadline=lambda _: RESUMING_TIMEOUT,
            requeue=every(1.0),
            goes_first=True,
        ),
        Phase.SUCCEEDED: PhaseRow(
            ways={},
            event_text="the data are restored; those of before are kept until {name} is confirmed",
        ),
        Phase.UNDOING: PhaseRow(
            ways={Event.DONE: Phase.ROLLING_BACK, Event.EXPIRED: Phase.ROLLING_BACK},
            event_text="the data of before come back: {message} ({reason})",
            checks=(checks.servers_have_ended, checks.nothing_swaps, checks.undone, checks.cluster_is_forgotten),
            action=actions.undo,
            deadline=lambda _: UNDOING_TIMEOUT,
            requeue=every(1.0),
            goes_first=True,
            is_warning=True,
            keeps_message=True,
        ),
        Phase.ROLLING_BACK: PhaseRow(
            # A database that was down before stays so: that is no reason to hold up all that could mend it.
            ways={Event.DONE: Phase.FAILED, Event.EXPIRED: Phase.FAILED},
            event_text="the database and the fence go back to what they were: {message} ({reason})",
            checks=(checks.database_answers, checks.active_executes),
            deadline=lambda _: timedelta(minutes=10),
            requeue=every(1.0),
            goes_first=True,
            is_warning=True,
            keeps_message=True,
        ),
        Phase.FAILED: PhaseRow(
            ways={},
            event_text="restore {name} failed, and the data are as before: {message} ({reason})",
            is_warning=True,
        ),
    }),
)  # fmt: skip
