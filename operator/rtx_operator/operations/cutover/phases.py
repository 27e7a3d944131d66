"""Everything about each phase of a cutover, in one table.

The law, which the table keeps and the tests check:

- A phase is left by an event, and only by one that its row names. What is not in the table does not happen.
- A terminal phase has no way out. A new cutover is a new record, not an old one that continues.
- Before Switching everything that was made can be thrown away: the old colour has not noticed.
- Until Migrating nothing is made: a backup that fails leads to RolledBack, and its revision is rejected like any other.
- From Switching to Monitoring each failure, lateness or change of mind leads to RollingBack. It waits as long as it
  takes for the old colour; only where that cannot serve, and spec asks for a third version, it leads on to Failed: the
  new release stays active, and the next cutover goes forward from it (ADR 0039).
- From Promoting on there is no way back: the cutover has been judged, and going back is a cutover of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

from rtx_operator.api.enums import CutoverPhase as Phase
from rtx_operator.api.status import Cutover, Release
from rtx_operator.operations.cutover import actions, queries
from rtx_operator.operations.cutover.checks import monitoring, rollback, upgrade
from rtx_operator.operations.cutover.context import CutoverContext
from rtx_operator.operations.machine import Event, PhaseRow, PhaseTable, every


class Side(StrEnum):
    """One of the two releases of a cutover."""

    OLD = "old"
    NEW = "new"

    def release(self, cutover: Cutover) -> Release:
        return cutover.to if self is Side.NEW else cutover.from_


@dataclass(frozen=True, slots=True, kw_only=True)
class CutoverRow(PhaseRow[Phase, CutoverContext]):
    """What other decisions need to know of a cutover's phase, besides."""

    active: Side = Side.OLD  # the release that status.active names
    moves_fence_to: Side | None = None  # the release that its own action makes execute
    repairs_both: bool = False  # the objects of both colours are kept as desired
    scales: Side | None = Side.OLD  # the release that the autoscaler scales; None: it follows the fence, by the action


_BACK: Mapping[Event, Phase] = {
    Event.WITHDRAWN: Phase.ROLLING_BACK,
    Event.FAILED: Phase.ROLLING_BACK,
    Event.EXPIRED: Phase.ROLLING_BACK,
}


def _until_restored(cutover: Cutover, now: datetime) -> float:
    """Traffic waits for the operator until the old colour has it again, if it was ever to lose it.

    What keeps that from happening is waited for ever more slowly: by a tenth of the time that it has lasted. Events of
    the pods, and the database's answer, wake the next reconcile before that.
    """
    if cutover.restored_at or Phase.SWITCHING not in cutover.seconds:
        return 1.0
    obstacles = filter(None, (cutover.old_down_since, cutover.fence_stuck_since))
    lasted = max((now - since for since in obstacles), default=timedelta())
    return min(max(0.2, lasted.total_seconds() / 10), 10.0)


def _until_monitored(cutover: Cutover, _: datetime) -> float:
    """A bad version is to be found out soon; one that only waits for traffic may wait for hours."""
    return 1.0 if cutover.monitored_at else 0.4


PHASES: PhaseTable[Phase, CutoverRow] = PhaseTable(
    first=Phase.PENDING,
    event_fields=frozenset({"id", "old", "new", "colour", "evidence", "message", "reason"}),
    rows=MappingProxyType({
        Phase.PENDING: CutoverRow(
            ways={
                Event.WITHDRAWN: Phase.ROLLED_BACK,
                Event.KEPT: Phase.PROVISIONING,
                Event.SKIPPED: Phase.MIGRATING,
                Event.DONE: Phase.BACKING_UP,
            },
            event_text="cutover {id} from version {old} to {new} begins",
            checks=(upgrade.nothing_holds, upgrade.backups_have_moved, upgrade.no_migration_runs, upgrade.slot_is_free),
            requeue=every(1.0),
            only_waits=True,
        ),
        Phase.BACKING_UP: CutoverRow(
            # Nothing is made yet, so there is nothing to go back from.
            ways={
                Event.DONE: Phase.MIGRATING,
                Event.WITHDRAWN: Phase.ROLLED_BACK,
                Event.FAILED: Phase.ROLLED_BACK,
                Event.EXPIRED: Phase.ROLLED_BACK,
            },
            event_text="a backup is made before the upgrade to version {new}",
            checks=(upgrade.backed_up,),
            action=actions.back_up,
            deadline=lambda rollout: rollout.backup.timeout,
            requeue=every(2.0),
        ),
        Phase.MIGRATING: CutoverRow(
            ways={Event.DONE: Phase.PROVISIONING, **_BACK},
            event_text="the expand migrations of version {new} run",
            checks=(upgrade.migrated,),
            action=actions.migrate,
            deadline=lambda rollout: rollout.migration_timeout,
            requeue=every(1.0),
        ),
        Phase.PROVISIONING: CutoverRow(
            ways={Event.DONE: Phase.TESTING, **_BACK},
            event_text="pods of version {new} start in {colour}",
            checks=(upgrade.new_colour_ready, upgrade.new_colour_has_passwords),
            action=actions.provision,
            deadline=lambda rollout: rollout.ready_timeout,
            requeue=every(1.0),
        ),
        Phase.TESTING: CutoverRow(
            ways={Event.DONE: Phase.SWITCHING, **_BACK},
            event_text="version {new} is tested before it gets traffic",
            checks=(
                upgrade.new_colour_ready,
                upgrade.pods_are_of_version,
                upgrade.old_pods_reach_new,
                upgrade.smoke_passes,
                upgrade.nodes_settled,
            ),
            action=actions.resize,
            queries=queries.gates,
            deadline=lambda _: timedelta(minutes=2),
            requeue=every(1.0),
            repairs_both=True,
        ),
        Phase.SWITCHING: CutoverRow(
            ways={Event.DONE: Phase.MONITORING, **_BACK},
            event_text="all gates are passed: the fence and the live Service move to {colour}",
            checks=(upgrade.fence_names_new, upgrade.routed_to_new),
            action=actions.switch,
            queries=queries.gates_until_fenced,
            deadline=lambda _: timedelta(seconds=30),
            requeue=every(0.2),
            goes_first=True,
            moves_fence_to=Side.NEW,
            repairs_both=True,
            scales=None,
        ),
        Phase.MONITORING: CutoverRow(
            ways={Event.DONE: Phase.PROMOTING, **_BACK},
            event_text="{colour} executes and takes the traffic; version {old} drains, version {new} is monitored",
            checks=(
                monitoring.new_colour_lives,
                monitoring.new_colour_executes,
                monitoring.new_colour_keeps_its_size,
                monitoring.limits_kept,
                monitoring.probes_pass,
                monitoring.monitored_long_enough,
                monitoring.old_colour_drained,
                monitoring.traffic_seen,
            ),
            action=actions.monitor,
            queries=queries.monitoring,
            deadline=lambda rollout: rollout.monitor.duration + rollout.drain_timeout + timedelta(minutes=2),
            requeue=_until_monitored,
            goes_first=True,
            active=Side.NEW,
            repairs_both=True,
            scales=Side.NEW,
        ),
        Phase.PROMOTING: CutoverRow(
            # What cannot be moved is reported when the cutover is over, and tried again all the time.
            ways={Event.DONE: Phase.SUCCEEDED, Event.FAILED: Phase.SUCCEEDED, Event.EXPIRED: Phase.SUCCEEDED},
            event_text="version {new} {evidence}",
            checks=(upgrade.promoted,),
            action=actions.promote,
            deadline=lambda _: timedelta(minutes=2),
            requeue=every(1.0),
            active=Side.NEW,
            repairs_both=True,
            scales=Side.NEW,
        ),
        Phase.SUCCEEDED: CutoverRow(
            ways={},
            event_text="version {new} runs; version {old} is kept for a while",
            active=Side.NEW,
            scales=Side.NEW,
        ),
        Phase.ROLLING_BACK: CutoverRow(
            ways={Event.DONE: Phase.ROLLED_BACK, Event.WITHDRAWN: Phase.FAILED},
            event_text="going back to version {old}: {message} ({reason})",
            checks=(
                rollback.old_colour_is_whole,
                rollback.fence_names_old,
                rollback.routed_to_old,
                rollback.old_colour_serves,
                rollback.old_colour_can_replace_new,
                rollback.new_colour_drained,
                rollback.new_colour_empty,
                rollback.reversed_,
            ),
            action=actions.roll_back,
            queries=queries.reports_once_fenced,
            requeue=_until_restored,
            is_stuck=lambda context: context.is_stuck,
            goes_first=True,
            goes_first_after=Phase.SWITCHING,
            is_warning=True,
            keeps_message=True,
            moves_fence_to=Side.OLD,
            scales=None,
        ),
        Phase.ROLLED_BACK: CutoverRow(
            ways={},
            event_text="version {old} runs again: {message} ({reason})",
            is_warning=True,
        ),
        Phase.FAILED: CutoverRow(
            ways={},
            event_text="version {new} stays active: {message} ({reason})",
            is_warning=True,
            active=Side.NEW,
            scales=Side.NEW,
        ),
    }),
)  # fmt: skip
