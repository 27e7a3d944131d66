"""The context of a running cutover, from which its checks and actions read. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from rtx_operator.api import sizes
from rtx_operator.api.engine import TradingEngine
from rtx_operator.api.enums import BackupKind, Colour, Component, Reason
from rtx_operator.api.enums import CutoverPhase as Phase
from rtx_operator.api.status import Cutover, Release
from rtx_operator.desired.backup import asked_for, is_to_move, serves_backups
from rtx_operator.desired.pods import credentials_of
from rtx_operator.desired.render import digest
from rtx_operator.desired.state import DesiredState, Workload
from rtx_operator.diagnosis import diagnose
from rtx_operator.observation import (
    Fence,
    Object,
    Observation,
    Owner,
    executes,
    hangs,
    is_out_of_reach,
    is_ready,
    is_younger,
    replicas,
    revision_of,
)
from rtx_operator.operations.fence import other_pods, sends_revision
from rtx_operator.operations.jobs import GIVE_UP_AFTER
from rtx_operator.operations.machine import OperationInput
from rtx_operator.operations.record import time_in_phase
from rtx_operator.operations.state import PersistedState
from rtx_operator.pod_reports import EngineReport
from rtx_operator.results import Failure

BACK = "-back"  # suffix of the id of the fence move in a rollback
FORWARD = "-forward"  # of the move that keeps the new release, since there is nothing to go back to


@dataclass(frozen=True, slots=True)
class CutoverContext:
    """A running cutover with its observation and desired state; `now` is the time of this reconcile."""

    engine: TradingEngine
    desired: DesiredState
    seen: Observation
    cutover: Cutover
    now: datetime
    held: str = ""  # the cause that holds it in Pending; empty: none

    @property
    def old(self) -> Release:
        """The release that was active when the cutover began."""
        return self.cutover.from_

    @property
    def new(self) -> Release:
        """The release that it makes active."""
        return self.cutover.to

    @property
    def goes_back(self) -> bool:
        """Whether the release that it makes active is the previous one, which is kept warm."""
        previous = self.engine.status.previous
        return previous is not None and previous.revision == self.new.revision and not previous.adopted

    @property
    def begins_with_backup(self) -> bool:
        """Whether spec asks for a backup before the upgrade, and the database is not known to lack its server.

        One without has no backups at all, as BackupFresh says: no upgrade waits for what that lacks. A database that is
        not seen, as its StatefulSet is being made anew, is no such one.
        """
        spec = self.engine.spec
        database = self.seen.child(self.desired.database.kind, self.desired.database.name)
        is_asked = sizes.begins_with_backup(spec.environment, spec.rollout, spec.backup)
        return is_asked and (database is None or serves_backups(database))

    @property
    def backups_are_to_move(self) -> bool:
        """Whether a maintenance is to bring the database to the repository that spec names."""
        database = self.seen.child(self.desired.database.kind, self.desired.database.name)
        return is_to_move(database, self.desired.servers[Component.DATABASE].renewed)

    @property
    def wanted_backup(self) -> Object:
        """The backup of this cutover."""
        suffix = digest({"cutover": self.cutover.id})
        return asked_for(self.engine, suffix, BackupKind.INCREMENTAL)

    @property
    def backup(self) -> Object | None:
        wanted = self.wanted_backup
        return self.seen.child(wanted["kind"], wanted["metadata"]["name"])

    @property
    def returns_to_adopted(self) -> bool:
        """Whether the release that it makes active was found running when status was lost: its pods stay as they are.

        It migrates all the same, as nobody knows whether it has served.
        """
        previous = self.engine.status.previous
        return previous is not None and previous.revision == self.new.revision and previous.adopted

    @property
    def lacks_passwords(self) -> bool:
        """Whether the database was started with other passwords than pods start with now."""
        return not self.desired.servers[Component.DATABASE].has_credentials

    @property
    def waited(self) -> timedelta:
        """Time since the phase began, without pauses."""
        return time_in_phase(self.cutover, self.now)

    @property
    def fence(self) -> Fence | None:
        """This engine's fence; None while it is unknown, and in the database of another engine."""
        fence = self.seen.database.fence if self.seen.database else None
        owner = Owner(self.engine.namespace, self.engine.name, self.engine.uid)
        return fence if fence and owner.owns(fence) else None

    @property
    def is_foreign(self) -> bool:
        """Whether the database answers with the fence of another engine: it is neither evidence nor moved."""
        return self.fence is None and self.seen.database is not None and self.seen.database.fence is not None

    @property
    def shows_earlier_data(self) -> bool:
        """Whether the fence is below the epoch in status: data, moves and migrations of since are missing."""
        active, fence = self.engine.status.active, self.fence
        return fence is not None and active is not None and fence.epoch < active.epoch

    @property
    def fence_is_gone(self) -> bool:
        """Whether the database answers, and has no fence: none is made by a move."""
        report = self.seen.database
        return report is not None and not report.error and report.fence is None

    def executes(self, release: Release) -> bool:
        """Whether only this release may execute, by a fence of the epoch in status or later."""
        active = self.engine.status.active
        return executes(self.fence, [release], known_epoch=active.epoch if active else 0)

    def names(self, release: Release) -> bool:
        """Whether the fence names the colour alone, at whatever epoch: a failover may have lost later moves.

        After a restore the colour may be that of an earlier release.
        """
        return self.fence is not None and self.fence.executors == (release.colour,)

    @property
    def went_back(self) -> bool:
        """Whether the old colour executes, and no late move can change that.

        From Switching on, a paused operator may still have a move to the new colour in flight. Only a later move of the
        rollback makes the database refuse it.
        """
        may_have_moved = Phase.SWITCHING in self.cutover.seconds
        settled = self.fence is not None and self.fence.cutover == f"{self.cutover.id}{BACK}"
        return self.executes(self.old) and (settled or not may_have_moved)

    @property
    def has_executed(self) -> bool:
        """Whether the fence says that the new colour executes, or that it has: it moved there and back since status
        knew it. The status of the reconcile that moved it back may have been lost.
        """
        active, fence = self.engine.status.active, self.fence
        if fence is None:
            return False
        if fence.cutover == self.cutover.id:
            return self.executes(self.new)
        moves = fence.epoch - (active.epoch if active else 0)
        return fence.cutover == f"{self.cutover.id}{BACK}" and moves > 1

    @property
    def only_new_serves(self) -> bool:
        """Whether a failover has lost the moves to the new colour, which served, while the old one has no ready pod."""
        has_served = self.cutover.fenced_at is not None and self.shows_earlier_data
        return has_served and bool(self.ready_pods(self.new)) and not self.ready_pods(self.old)

    @property
    def refusal(self) -> Failure | None:
        """What the API server does not let be made of the new colour."""
        target = self.desired.of(self.new.colour)
        return self.seen.refusal_of(*target.objects) if target else None

    def all_are_new(self, release: Release, within: timedelta = GIVE_UP_AFTER) -> bool:
        """Whether the release has pods that are not ready, and each of them was made less than `within` ago."""
        unready = [pod for pod in self.pods(release) if not is_ready(pod)]
        return bool(unready) and all(is_younger(pod, within, self.now) for pod in unready)

    @property
    def old_serves(self) -> bool:
        """Whether the old colour can be gone back to: it has a ready pod, and once it executes one that says so."""
        if self.cutover.fenced_at is None or not self.went_back:
            return bool(self.ready_pods(self.old))
        return any(isinstance(report, EngineReport) and report.executing for report in self.reports(self.old))

    @property
    def old_is_whole(self) -> bool:
        """Whether the old colour has a ready pod for each ready one of the new, or as many as its own size."""
        return len(self.ready_pods(self.old)) >= min(self.size(self.old), len(self.ready_pods(self.new)))

    @property
    def asks_for_third_version(self) -> bool:
        return self.desired.wanted.hash not in {self.old.revision, self.new.revision}

    @property
    def goes_forward(self) -> bool:
        """Whether the rollback is given up for a third version, because the old colour does not come up."""
        return self.asks_for_third_version and self.old_is_down and not self.old_serves

    @property
    def old_is_down(self) -> bool:
        """Whether the old colour could not serve for so long that it is not waited for."""
        return self._lasts(self.cutover.old_down_since)

    @property
    def is_stuck(self) -> bool:
        """Whether a rollback cannot go on: a maintenance of database or cache may be what mends that.

        A database may answer and take no writes: what counts is that the fence does not move.
        """
        return self.old_is_down or self._lasts(self.cutover.fence_stuck_since)

    def _lasts(self, since: datetime | None) -> bool:
        return since is not None and self.now - since > GIVE_UP_AFTER

    @property
    def went_forward(self) -> bool:
        """Whether the new release executes by a move that no late move of the rollback can undo."""
        fence = self.fence
        return self.executes(self.new) and fence is not None and fence.cutover == f"{self.cutover.id}{FORWARD}"

    def workload(self, release: Release) -> Workload:
        return self.desired.traffic[release.colour].workload

    def deployment(self, release: Release) -> Object | None:
        """The colour's Deployment, whatever its revision."""
        workload = self.workload(release)
        return self.seen.child(workload.kind, workload.name)

    def deployment_of_revision(self, release: Release) -> Object | None:
        """The colour's Deployment, if it is of the release's revision."""
        deployment = self.deployment(release)
        return deployment if deployment and revision_of(deployment) == release.revision else None

    def size(self, release: Release) -> int:
        """Desired number of pods of the colour's Deployment; 0 without one."""
        return replicas(self.deployment(release))[0]

    def ready_pods(self, release: Release) -> list[Object]:
        """The colour's ready pods that are of the release's revision."""
        pods = self.seen.pods_of(self.workload(release).pods)
        return [pod for pod in pods if is_ready(pod) and revision_of(pod) == release.revision]

    def pods_with_old_passwords(self, release: Release) -> list[str]:
        """Names of the release's pods that were started with other passwords than they are to have by now."""
        target = self.desired.of(release.colour)
        passwords = target.credentials if target else ""
        ours = [pod for pod in self.pods(release) if revision_of(pod) == release.revision]
        return [pod["metadata"]["name"] for pod in ours if passwords and credentials_of(pod) != passwords]

    def pods_of_other_revisions(self, release: Release) -> list[str]:
        """Names of the colour's pods of another revision that may still run, those being deleted included.

        One that hangs on a lost node is not waited for where the fence can keep it from executing (ADR 0030).
        """
        others = other_pods(self.desired, self.seen, release)
        fenced = sends_revision(self.desired, self.seen, release)
        return [pod["metadata"]["name"] for pod in others if not (fenced and hangs(pod, self.now))]

    def pods(self, release: Release) -> list[Object]:
        """The colour's pods that are not being deleted."""
        return self.seen.pods_of(self.workload(release).pods)

    def reports(self, release: Release) -> list[EngineReport | str]:
        """The report of each ready pod of the colour, or the error as text."""
        missing = "it was not queried"
        return [self.seen.engines.get(pod["metadata"]["name"], missing) for pod in self.ready_pods(release)]

    def selected(self) -> Colour | None:
        """The colour that the live Service selects; None when it selects none."""
        return self.desired.selected(self.seen)

    def routed_to(self, release: Release) -> bool:
        """Whether the live Service selects the colour and its EndpointSlices name ready pods of it and no others."""
        names = self.seen.serving(self.desired.live_service)
        ours = {pod["metadata"]["name"] for pod in self.pods(release)}
        return self.selected() is release.colour and bool(names) and ours.issuperset(names)

    def autoscaler_elsewhere(self, release: Release) -> tuple[Object, ...]:
        """The autoscaler as it scales the release's colour, if the live one does not; empty when the size is fixed."""
        desired = self.desired.traffic[release.colour].scaling
        return tuple(
            one for one in desired if not _same_target(self.seen.child(one["kind"], one["metadata"]["name"]), one)
        )

    @property
    def drain_timeout(self) -> timedelta:
        return self.engine.spec.rollout.drain_timeout

    @property
    def drain_until(self) -> datetime:
        """Until when the colour that lost the traffic may drain; the whole time from now while it still has it."""
        return self.cutover.drain_until or self.now + self.drain_timeout

    @property
    def size_needed(self) -> int:
        """Number of pods that the new colour needs: the size of the old one, but at least the minimum."""
        return max(self.size(self.old), self.desired.minimum)

    @property
    def size_monitored(self) -> int:
        """Number of ready pods that the new colour needs to be promoted: fewer once its autoscaler has shrunk it."""
        return max(min(self.size_needed, self.size(self.new)), 1)

    @property
    def lacks_pods(self) -> bool:
        """Whether fewer pods of the new colour are ready than it needs, without those whose node does not answer."""
        lost = [pod for pod in self.pods(self.new) if is_out_of_reach(pod)]
        return len(self.ready_pods(self.new)) + len(lost) < self.size_monitored

    @property
    def room_is_short(self) -> bool:
        """Whether a pod of the new colour fits on no node: no fault of the version."""
        diagnosis = diagnose(self.seen, self.workload(self.new))
        return diagnosis is not None and diagnosis.reason is Reason.UNSCHEDULABLE


def context_of(state: PersistedState, given: OperationInput) -> CutoverContext:
    """The context of the cutover in `state`; raises ValueError when there is none."""
    if state.cutover is None:
        raise ValueError("no cutover is recorded")
    return CutoverContext(given.engine, given.desired, given.seen, state.cutover, given.now, given.held)


def _same_target(live: Object | None, desired: Object) -> bool:
    """Whether both autoscalers scale the same Deployment."""
    return live is not None and live["spec"].get("scaleTargetRef") == desired["spec"].get("scaleTargetRef")
