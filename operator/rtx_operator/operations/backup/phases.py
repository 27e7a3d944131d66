"""Everything about each phase of a backup, in one table."""

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType

from rtx_operator.api.enums import BackupPhase as Phase
from rtx_operator.operations.backup import checks
from rtx_operator.operations.backup.context import BackupContext
from rtx_operator.operations.machine import Event, PhaseRow, PhaseTable, every

PENDING_TIMEOUT = timedelta(hours=1)
END_GRACE = timedelta(minutes=5)  # after its deadline the Job controller ends the Job: that is the better message

_GIVEN_UP: Mapping[Event, Phase] = {Event.FAILED: Phase.FAILED, Event.EXPIRED: Phase.FAILED}

PHASES: PhaseTable[Phase, PhaseRow[Phase, BackupContext]] = PhaseTable(
    first=Phase.PENDING,
    event_fields=frozenset({"message", "reason", "job", "label"}),
    rows=MappingProxyType({
        Phase.PENDING: PhaseRow(
            ways={Event.DONE: Phase.RUNNING, **_GIVEN_UP},
            event_text="the backup waits for its Job",
            checks=(
                checks.engine_exists,
                checks.engine_keeps_backups,
                checks.engine_is_not_paused,
                checks.no_restore_runs,
                checks.store_has_credentials,
                checks.database_is_prepared,
                checks.servers_are_up,
                checks.no_other_runs,
                checks.job_exists,
            ),
            deadline=lambda _: PENDING_TIMEOUT,
            requeue=every(10.0),
        ),
        Phase.RUNNING: PhaseRow(
            ways={Event.DONE: Phase.SUCCEEDED, **_GIVEN_UP},
            event_text="Job {job} makes the backup",
            checks=(checks.made,),
            deadline=lambda backup: backup.timeout + END_GRACE,
            # Its heartbeat; the Job's end comes as an event. After a longer pause than OBSERVATION_GAP_SECONDS no
            # deadline would ever fire.
            requeue=every(15.0),
        ),
        Phase.SUCCEEDED: PhaseRow(
            ways={},
            event_text="backup {label} is in the repository, with the log that it needs",
        ),
        Phase.FAILED: PhaseRow(
            ways={},
            event_text="the backup failed: {message} ({reason})",
            is_warning=True,
        ),
    }),
)  # fmt: skip
