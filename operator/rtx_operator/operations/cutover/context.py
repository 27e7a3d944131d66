"""A cutover under way and all that was observed of it, as checks and actions ask for it. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from rtx_operator.api.engine import TradingEngine
from rtx_operator.api.enums import Colour
from rtx_operator.api.enums import CutoverPhase as Phase
from rtx_operator.api.status import Cutover, Release
from rtx_operator.desired.state import DesiredState, Workload
from rtx_operator.observation import Fence, Object, Observation, executes, hangs, is_ready, replicas
from rtx_operator.operations.fence import other_pods, revision_of, send_revision
from rtx_operator.operations.machine import OperationInput
from rtx_operator.operations.state import PersistedState
from rtx_operator.pod_reports import EngineReport

BACK = "-back"  # ends the id under which the fence goes back


@dataclass(frozen=True, slots=True)
class CutoverContext:
    """`now` is the one instant of this reconcile."""

    engine: TradingEngine
    desired: DesiredState
    seen: Observation
    cutover: Cutover
    now: datetime
    held: str = ""  # why it may not leave Pending

    @property
    def old(self) -> Release:
        """What the cutover came from."""
        return self.cutover.from_

    @property
    def new(self) -> Release:
        """What it goes to."""
        return self.cutover.to

    @property
    def waited(self) -> timedelta:
        """How long the phase has lasted."""
        return self.now - self.cutover.since

    @property
    def fence(self) -> Fence | None:
        return self.seen.database.fence if self.seen.database else None

    def executes(self, release: Release) -> bool:
        """Whether the database names this colour, and only this one, in a row that is not behind what status knows."""
        active = self.engine.status.active
        return executes(self.fence, [release], known_epoch=active.epoch if active else 0)

    @property
    def went_back(self) -> bool:
        """Whether the old colour executes for good.

        From Switching on a move to the new colour may still be on its way from an operator that was paused. Only an
        epoch of the way back keeps it from arriving.
        """
        may_have_moved = Phase.SWITCHING in self.cutover.seconds
        settled = self.fence is not None and self.fence.cutover == f"{self.cutover.id}{BACK}"
        return self.executes(self.old) and (settled or not may_have_moved)

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
        """How many pods the colour is meant to have."""
        return replicas(self.deployment(release))[0]

    def ready_pods(self, release: Release) -> list[Object]:
        """The colour's ready pods that are of the release's revision."""
        pods = self.seen.pods_of(self.workload(release).pods)
        return [pod for pod in pods if is_ready(pod) and revision_of(pod) == release.revision]

    def pods_of_other_revisions(self, release: Release) -> list[str]:
        """The colour's pods of another revision that may still run, also on their way out.

        One that hangs on a lost node is not waited for where the fence can keep it from executing (ADR 0030).
        """
        others = other_pods(self.desired, self.seen, release)
        fenced = send_revision(self.ready_pods(release), release)
        return [pod["metadata"]["name"] for pod in others if not (fenced and hangs(pod, self.now))]

    def pods(self, release: Release) -> list[Object]:
        """The colour's pods that are not on their way out."""
        return self.seen.pods_of(self.workload(release).pods)

    def reports(self, release: Release) -> list[EngineReport | str]:
        """What the colour's ready pods said, or why one said nothing."""
        unasked = "was not asked"
        return [self.seen.engines.get(pod["metadata"]["name"], unasked) for pod in self.ready_pods(release)]

    def selected(self) -> Colour | None:
        """The colour that the live Service selects."""
        return self.desired.selected(self.seen)

    def routed_to(self, release: Release) -> bool:
        """Whether the live Service selects the colour and its EndpointSlices name ready pods of it and no others."""
        names = self.seen.serving(self.desired.live_service)
        ours = {pod["metadata"]["name"] for pod in self.pods(release)}
        return self.selected() is release.colour and bool(names) and ours.issuperset(names)

    @property
    def not_promoted(self) -> tuple[Object, ...]:
        """Disruption budget and autoscaler as the new colour needs them, those that are not so yet."""
        wanted = self.desired.traffic[self.new.colour].promote
        return tuple(
            one for one in wanted if not _lead_alike(self.seen.child(one["kind"], one["metadata"]["name"]), one)
        )

    @property
    def drain_timeout(self) -> timedelta:
        return self.engine.spec.rollout.drain_timeout

    @property
    def size_needed(self) -> int:
        """How large the new colour has to be: as large as what takes the traffic now."""
        return max(self.size(self.old), self.desired.minimum)


def context_of(state: PersistedState, given: OperationInput) -> CutoverContext:
    """The context of the cutover in `state`; raises ValueError when there is none."""
    if state.cutover is None:
        raise ValueError("no cutover is recorded")
    return CutoverContext(given.engine, given.desired, given.seen, state.cutover, given.now, given.held)


def _lead_alike(live: Object | None, wanted: Object) -> bool:
    """Whether two objects lead to the same colour, by selector or by name of the scaled Deployment."""
    fields = ("selector", "scaleTargetRef")
    return live is not None and all(live["spec"].get(field) == wanted["spec"].get(field) for field in fields)
