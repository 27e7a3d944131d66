"""A retirement under way and all that was observed of it, as checks and actions ask for it. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from rtx_operator.api.engine import TradingEngine
from rtx_operator.api.enums import Component, Reason
from rtx_operator.api.names import Names
from rtx_operator.api.status import Release, Retirement
from rtx_operator.desired.state import JOB_LABEL, DesiredState
from rtx_operator.diagnosis import diagnose
from rtx_operator.observation import Object, Observation, Owner, executes, is_ready, replicas, revision_of
from rtx_operator.operations.machine import OperationInput
from rtx_operator.operations.record import time_in_phase
from rtx_operator.operations.state import PersistedState

EMPTYING_TIMEOUT = timedelta(minutes=5)  # a pod has 60 s to end; after five times that its node does not end it
ROOM_IS_SHORT = frozenset({Reason.UNSCHEDULABLE, Reason.QUOTA_EXCEEDED})  # the previous release's pods give room


@dataclass(frozen=True, slots=True)
class RetirementContext:
    """`now` is the one instant of this reconcile."""

    engine: TradingEngine
    desired: DesiredState
    seen: Observation
    retirement: Retirement
    now: datetime

    @property
    def release(self) -> Release:
        """The release that is removed."""
        return self.retirement.release

    @property
    def waited(self) -> timedelta:
        """How long the phase has lasted, without pauses."""
        return time_in_phase(self.retirement, self.now)

    @property
    def is_active(self) -> bool:
        """Whether its colour is the active one by now: a record that another release of the operator left."""
        return self.release.colour is self.desired.active.colour

    @property
    def may_be_emptied(self) -> bool:
        """Whether the database and the live Service are observed to have left the colour, and nobody needs it."""
        return self.only_active_executes and self.active_is_selected and not self.active_is_down

    @property
    def is_barred(self) -> bool:
        """Whether its pods may not be asked to end yet. It waits for that as long as it takes."""
        return self.size > 0 and not self.may_be_emptied

    @property
    def is_stuck(self) -> bool:
        """Whether it is barred by what a maintenance may mend: the database does not say who executes, or pods fail."""
        is_silent = self.seen.database is None or self.seen.database.fence is None
        return self.is_barred and (is_silent or self.active_is_down)

    @property
    def active_is_down(self) -> bool:
        return is_down(self.desired, self.seen)

    @property
    def is_kept(self) -> bool:
        """Whether status still names the release as the previous one, to which a rollback is a switch."""
        previous = self.engine.status.previous
        return previous is not None and previous.revision == self.release.revision

    @property
    def deployment(self) -> Object | None:
        workload = self.desired.traffic[self.release.colour].workload
        return self.seen.child(workload.kind, workload.name)

    @property
    def size(self) -> int:
        """How many pods its Deployment is meant to have."""
        return replicas(self.deployment)[0]

    @property
    def pods_left(self) -> list[Object]:
        """Engine pods of any other revision than the active one that may run a process, also while they end.

        An evicted pod runs nothing: it counts as gone.
        """
        labels = Names(self.engine.name).selector(Component.ENGINE)
        active = self.desired.active.revision.hash
        return [pod for pod in self.seen.alive(labels) if revision_of(pod) != active]

    @property
    def only_active_executes(self) -> bool:
        """False also while the fence is unknown: after a failover that lost its move, the old colour executes.

        And in the database of another engine, whose fence says nothing of this one.
        """
        fence = self.seen.database.fence if self.seen.database else None
        owner = Owner(self.engine.namespace, self.engine.name, self.engine.uid)
        return fence is not None and owner.owns(fence) and executes(fence, [self.desired.active.release])

    @property
    def may_contract(self) -> bool:
        """Whether the database is known to be this engine's, and to have what its migrations made."""
        return self.only_active_executes and self.engine.status.earlier_data is None

    @property
    def active_is_selected(self) -> bool:
        return self.desired.selected(self.seen) is self.desired.active.colour

    @property
    def cutover_is_due(self) -> bool:
        """A cutover would begin if no retirement ran."""
        return PersistedState.of(self.engine.status).asks_for_cutover(self.desired.wanted.hash, self.engine.retry)

    @property
    def contract_pods(self) -> list[Object]:
        """Pods of the contract Job in which a migration may run: those that were scheduled and have not ended."""
        name = self.desired.active.contract["metadata"]["name"]
        return [pod for pod in self.seen.alive({JOB_LABEL: name}) if pod.get("status", {}).get("phase") == "Running"]

    @property
    def contract_job(self) -> Object | None:
        return self.seen.child("Job", self.desired.active.contract["metadata"]["name"])


def is_down(desired: DesiredState, seen: Observation) -> bool:
    """Whether the active release has fewer ready pods than its minimum: the previous one is the only way back.

    Not where some are ready and the others lack room: the previous release's pods may be what takes it.
    """
    workload, revision = desired.engine, desired.active.revision.hash
    ready = [pod for pod in seen.pods_of(workload.pods) if is_ready(pod) and revision_of(pod) == revision]
    if len(ready) >= desired.minimum:
        return False
    diagnosis = diagnose(seen, workload) if ready else None
    return diagnosis is None or diagnosis.reason not in ROOM_IS_SHORT


def still_needed(desired: DesiredState) -> str:
    """Why a release is not retired while the active one is down. Without numbers: status is written once."""
    return (
        f"version {desired.active.revision.version} has fewer ready pods than its minimum of {desired.minimum}; the "
        "version before it is kept until it has them, as the way back"
    )


def context_of(state: PersistedState, given: OperationInput) -> RetirementContext:
    """The context of the retirement in `state`; raises ValueError when there is none."""
    if state.retirement is None:
        raise ValueError("no retirement is recorded")
    return RetirementContext(given.engine, given.desired, given.seen, state.retirement, given.now)
