"""The laws of every cutover; the simulated cluster checks them at each write and at each instant."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from rtx_operator.api.engine import TradingEngine
from rtx_operator.api.enums import (
    Colour,
    Component,
    CutoverPhase,
    MaintenancePhase,
    OperationName,
    Reason,
    RestorePhase,
    RetirementPhase,
)
from rtx_operator.api.names import Label
from rtx_operator.decision.decide import Decision
from rtx_operator.desired.servers import SERVERS
from rtx_operator.desired.state import DesiredState
from rtx_operator.observation import JobEnd, Object, Observation, hangs, is_ready, job_ended
from rtx_operator.operations.arbiter import OPERATIONS
from rtx_operator.operations.cutover.context import BACK, FORWARD
from rtx_operator.operations.effects import Effect, EffectName, MoveFence
from simulated_api import LIVE_SERVICE, label
from simulated_cluster import Cluster
from simulated_engines import may_run

# The phases, in the status that was read, in which an effect of a cutover may be performed.
OF_PHASE: Mapping[EffectName, frozenset[CutoverPhase]] = {
    EffectName.BACK_UP: frozenset({CutoverPhase.BACKING_UP}),
    EffectName.MIGRATE: frozenset({CutoverPhase.MIGRATING}),
    EffectName.PROVISION: frozenset({CutoverPhase.PROVISIONING}),
    EffectName.SELECT: frozenset({CutoverPhase.SWITCHING, CutoverPhase.MONITORING, CutoverPhase.ROLLING_BACK}),
    EffectName.DRAIN: frozenset({CutoverPhase.MONITORING, CutoverPhase.ROLLING_BACK}),
    EffectName.AUTOSCALE: frozenset(
        {
            CutoverPhase.SWITCHING,
            CutoverPhase.MONITORING,
            CutoverPhase.PROMOTING,
            CutoverPhase.ROLLING_BACK,
        }
    ),
    EffectName.REVERSE: frozenset({CutoverPhase.ROLLING_BACK}),
}
OF_MAINTENANCE: Mapping[EffectName, frozenset[MaintenancePhase]] = {
    EffectName.CHECK: frozenset({MaintenancePhase.CHECKING}),
    EffectName.RESTART: frozenset({MaintenancePhase.RESTARTING, MaintenancePhase.VERIFYING}),
    EffectName.RESTORE: frozenset({MaintenancePhase.ROLLING_BACK}),
}
OF_RESTORE: Mapping[EffectName, frozenset[RestorePhase]] = {
    EffectName.CHECK_SOURCE: frozenset({RestorePhase.VALIDATING}),
    EffectName.SWITCH_LOG: frozenset({RestorePhase.VALIDATING}),
    EffectName.RESTORE_DATA: frozenset({RestorePhase.RESTORING}),
    EffectName.SWAP_DATA: frozenset({RestorePhase.SWAPPING}),
    EffectName.BRING_BACK_DATA: frozenset({RestorePhase.UNDOING}),
    EffectName.FORGET_CLUSTER: frozenset({RestorePhase.SWAPPING, RestorePhase.UNDOING}),
}
NEW_EXECUTES = frozenset(
    {CutoverPhase.SWITCHING, CutoverPhase.MONITORING, CutoverPhase.PROMOTING, CutoverPhase.SUCCEEDED}
)
MONITORED = frozenset({CutoverPhase.MONITORING, CutoverPhase.PROMOTING})
NEVER_DELETED = frozenset({"Deployment", "Service", "StatefulSet", "Secret", "ServiceAccount"})


class LawViolationError(AssertionError):
    """A write, or a state, that breaks a law of the cutover."""


@dataclass(frozen=True)
class Intent:
    """A decision that is not performed yet, with its inputs."""

    manifest: Object
    engine: TradingEngine
    desired: DesiredState
    observation: Observation
    decision: Decision
    now: datetime


@dataclass
class Judged(Cluster):
    """A cluster, and the TradingEngine whose writes are judged. Raises LawViolationError."""

    spec: Object = field(default_factory=dict)
    retry_value: str = ""
    status: str = "{}"  # the stored status, as JSON
    user_requests: int = 0  # number of changes of spec.version and of the retry annotation
    turned_back_at: int = 0  # `user_requests` when the last rollback began
    rejected_at: tuple[str, int] = ("", 0)  # the last rejected revision, and `user_requests` when it turned back
    has_served: bool = False  # a status named an active release, be it lost by now
    ended: dict[str, str] = field(default_factory=dict)  # ids of cutovers that are over, with their last phase
    entered: tuple[str, float, float] = ("", 0.0, 0.0)  # cutover and phase; running time then; seconds to its deadline

    @property
    def stored(self) -> Object:
        """The stored status."""
        read: Object = json.loads(self.status)
        return read

    def is_paused(self) -> bool:
        return "pausedSince" in self.stored

    def _must(self, holds: object, violation: str) -> None:
        if not holds:
            raise LawViolationError(f"{violation}; fence {self.fence}, Service {self.selected}, status {self.status}")

    def judge_decision(self, intent: Intent) -> None:
        """The laws of a decision about the current state."""
        cutover, fence = intent.engine.status.cutover, self.fence
        moves = [effect for effect in intent.decision.effects if isinstance(effect, MoveFence)]
        self._must(len(moves) <= 1, "the fence is moved twice")
        decided_by_phase = cutover is not None and cutover.phase in {CutoverPhase.SWITCHING, CutoverPhase.ROLLING_BACK}
        if (
            intent.observation.database
            and not intent.observation.database.error
            and fence
            and not intent.engine.spec.paused
        ):
            active = intent.engine.status.active
            is_right = active is None or fence.executors == (active.colour.value,)
            changes = active is not None and active.colour != intent.decision.state.active.colour
            waits = self._replaces_pod(Component.DATABASE) or self._migrates_earlier_data(intent)
            waits = waits or self._is_fenced()
            self._must(
                is_right or decided_by_phase or changes or moves or waits,
                "the fence names the wrong colour and does not move",
            )

    def _migrates_earlier_data(self, intent: Intent) -> bool:
        """Whether the data are of an earlier epoch, and the Job that migrates them again is not complete."""
        active = intent.engine.status.active
        if self.fence is None or active is None or self.fence.epoch >= active.epoch:
            return False
        job = self.children.get(("Job", intent.desired.active.renew["metadata"]["name"]))
        return job_ended(job, JobEnd.COMPLETE) is None

    def _is_fenced(self) -> bool:
        """Whether a restore, by the stored status, has nobody execute."""
        restore = self.stored.get("restore")
        return bool(restore) and RestorePhase(restore["phase"]).is_fenced

    def _replaces_pod(self, *components: Component) -> bool:
        """Whether a maintenance, by the stored status, replaces the pod of one of these servers."""
        maintenance = self.stored.get("maintenance")
        is_one = bool(maintenance) and maintenance["component"] in components
        return is_one and MaintenancePhase(maintenance["phase"]).replaces_pod

    def judge_effect(self, effect: Effect, intent: Intent) -> None:
        """A phase is in the status that was read, before its effects are performed."""
        cutover = intent.engine.status.cutover
        phase = cutover.phase if cutover else None
        if effect.name in OF_PHASE:
            self._must(phase in OF_PHASE[effect.name], f"{effect.name} in {phase}")
            if effect.name is EffectName.REVERSE and cutover:
                moves = {fence.cutover for fence in (*self.earlier_fences, self.fence) if fence}
                self._must(cutover.id not in moves, "expand is reversed after the new version executed")
        elif effect.name in OF_MAINTENANCE:
            maintenance = intent.engine.status.maintenance
            right = maintenance and maintenance.phase in OF_MAINTENANCE[effect.name]
            self._must(right, f"{effect.name} in {maintenance and maintenance.phase}")
        elif effect.name in OF_RESTORE:
            restore = intent.engine.status.restore
            right = restore and restore.phase in OF_RESTORE[effect.name]
            self._must(right, f"{effect.name} in {restore and restore.phase}")
        elif effect.name is EffectName.CONTRACT:
            retirement = intent.engine.status.retirement
            self._must(retirement and retirement.phase is RetirementPhase.CONTRACTING, f"Contract in {phase}")
            self._must(not self._older_pods(), f"Contract while older pods run: {self._older_pods()}")
            self._must(intent.decision.state.earlier_data is None, "Contract before earlier data are migrated")
            self._must(not (cutover and not cutover.phase.is_terminal), f"Contract in {phase}")
        elif isinstance(effect, MoveFence) and cutover and not cutover.phase.is_terminal:
            new = effect.executors == (cutover.to.colour.value,)
            stays = phase is CutoverPhase.ROLLING_BACK and effect.cutover.endswith(FORWARD)
            self._must(not new or stays or phase in NEW_EXECUTES, f"the fence moves to the new colour in {phase}")
            self._must(
                new or not effect.cutover.endswith(BACK) or phase is CutoverPhase.ROLLING_BACK,
                f"the fence moves back in {phase}",
            )

    def _older_pods(self) -> list[str]:
        active = self.stored["active"]["revision"]
        engine = [(name, pod) for name, pod in self.pods.items() if label(pod, Label.COMPONENT) == Component.ENGINE]
        return [name for name, pod in engine if label(pod, Label.REVISION) != active and may_run(pod)]

    def judge_scale(self, live: Object, replicas: int) -> None:
        if replicas >= live["spec"]["replicas"]:
            return
        colour = label(live, Label.COLOUR)
        maximum = self.spec["scaling"]["maxReplicas"]
        self._must(replicas == 0 or replicas >= maximum, f"{colour} shrinks to {replicas}")
        if replicas:
            return
        self._must(self.selected not in {"", colour}, f"{colour} is emptied while the live Service selects it")
        self._must(self.fence and colour not in self.fence.executors, f"{colour} is emptied while it executes")
        previous, cutover = self.stored.get("previous"), self.stored.get("cutover")
        kept = previous and previous["colour"] == colour
        borrowed_revision = (
            cutover and not CutoverPhase(cutover["phase"]).is_terminal and cutover["to"]["colour"] == colour
        )
        self._must(not kept or borrowed_revision, f"{colour} is emptied while it is kept")

    def judge_template(self, live: Object, wanted: Object) -> None:
        template = live["spec"].get("template")
        if template is None or label(live, Label.REVISION) != label(wanted, Label.REVISION):
            return
        is_same = template["spec"] == wanted["spec"]["template"]["spec"] or not live["spec"]["replicas"]
        self._must(is_same, f"pods of {live['metadata']['name']} are replaced by others of their revision")

    def judge_performed(self, intent: Intent) -> None:
        """The laws after a reconcile of which all was performed: each colour is protected, and traffic is scaled."""
        if intent.decision.is_urgent:
            return  # the children's upkeep follows in the next one
        cutover = intent.engine.status.cutover
        scaler = self.children.get(("HorizontalPodAutoscaler", LIVE_SERVICE))
        if intent.engine.spec.paused or cutover is None or cutover.phase not in MONITORED or scaler is None:
            return
        target = scaler["spec"]["scaleTargetRef"]["name"]
        self._must(target.endswith(cutover.to.colour), f"the autoscaler scales {target} in {cutover.phase}")
        for colour in Colour:
            budget = self.children.get(("PodDisruptionBudget", f"rtx-engine-{colour}"))
            self._must(budget, f"no disruption budget protects {colour} in {cutover.phase}")

    def judge_service(self, before: Object | None, after: Object) -> None:
        selector = after["spec"]["selector"]
        self._must(selector.get(Label.COLOUR.value) in set(Colour), "the live Service selects no colour")
        self._must(len(selector) > 1, "the live Service selects more than the engine's pods")
        if before and before["spec"]["selector"] != selector:
            executes = self.fence and self.fence.executors == (self.selected,)
            self._must(executes, "the live Service selects a colour that does not execute")

    def judge_status(self, before: Object, after: Object) -> None:
        """The laws of each status that is written."""
        self.has_served = self.has_served or "active" in after
        self._judge_records(before, after)
        self._judge_cutover(before, after)
        self._judge_deadline(before, after)

    def _judge_records(self, before: Object, after: Object) -> None:
        """One operation moves at a time. Its phase follows its table, and has a deadline if the table has one."""
        running = []
        for name, operation in OPERATIONS.items():
            was, record, phases = before.get(name.lower()), after.get(name.lower()), operation.phases
            if not record:
                continue
            phase = type(phases.first)(record["phase"])
            if not phase.is_terminal and not phases[phase].only_waits:
                running.append(name)
            if not was or was["id"] != record["id"]:
                over = not was or type(phase)(was["phase"]).is_terminal
                self._must(phase is phases.first, f"a {name} begins in {phase}")
                self._must(over, f"a {name} begins before the last one is over")
            elif was["phase"] != phase:
                ways = phases[type(phase)(was["phase"])].ways
                self._must(phase in ways.values(), f"{was['phase']} → {phase}")
            self._must(bool(record.get("deadline")) == bool(phases[phase].deadline), f"the deadline of {phase}")
        self._must(len(running) <= 1 or _mends(after, running), f"{running} run at the same time")

    def _judge_cutover(self, before: Object, after: Object) -> None:
        was, cutover = before.get("cutover"), after.get("cutover")
        if not cutover:
            self._must(not was, "the record of a cutover is lost")
            return
        phase, rejected = CutoverPhase(cutover["phase"]), after.get("rejected")
        if rejected and rejected != before.get("rejected"):
            self.rejected_at = (rejected["revision"], self.turned_back_at)
        same = was and was["id"] == cutover["id"]
        if phase is CutoverPhase.ROLLING_BACK and not (same and was["phase"] == phase):
            self.turned_back_at = self.user_requests
        if not same:
            self._must(cutover["id"] not in self.ended, "a cutover begins again")
            again = self.rejected_at == (cutover["to"]["revision"], self.user_requests)
            self._must(not again, "a rejected revision is retried without a request")
            self._must(
                cutover["from"]["revision"] == (before.get("active") or after["active"])["revision"],
                "its old release is not the active one",
            )
        self._must(self.ended.get(cutover["id"], phase) == phase, f"{cutover['id']} continues after its end")
        if phase.is_terminal:
            self.ended[cutover["id"]] = phase
            self._must(after["history"][0]["id"] == cutover["id"], "the history lacks it")
            self._must(
                len({past["id"] for past in after["history"]}) == len(after["history"]), "the history has it twice"
            )
        known = (before.get("active") or after["active"])["epoch"]  # none was: it was adopted
        self._must(after["active"]["epoch"] >= known, "the epoch in status decreases")

    def _judge_deadline(self, before: Object, after: Object) -> None:
        """No deadline fires for time in which the engine was paused."""
        was, cutover = before.get("cutover") or {}, after.get("cutover") or {}
        of, begun, limit = self.entered
        phase = f"{cutover.get('id')}/{cutover.get('phase')}"
        if phase == of or not cutover:
            asked = cutover.get("limitSeconds", limit)  # its user may have changed it meanwhile
            self.entered = (of, begun, min(limit, asked))
            return
        expired = cutover.get("reason") == Reason.DEADLINE_EXCEEDED and not was.get("reason")
        if expired and of == f"{was.get('id')}/{was.get('phase')}":
            self._must(self.ran - begun >= limit, f"{of} is late after {self.ran - begun} of {limit} s")
        seconds = 0.0
        if due := cutover.get("deadline"):
            seconds = (datetime.fromisoformat(due) - datetime.fromisoformat(cutover["since"])).total_seconds()
        self.entered = (phase, self.ran, seconds)

    def judge(self) -> None:
        """The laws of every instant: the records of what is kept, and the configuration of what runs, exist."""
        stored = self.stored
        for kept in filter(None, (stored.get("active"), stored.get("previous"))):
            record = f"rtx-engine-{kept['colour']}-{kept['revision']}"
            self._must(("ControllerRevision", record) in self.children, f"the ControllerRevision {record} is deleted")
        for (kind, name), live in self.children.items():
            if kind == "Deployment" and live["spec"]["replicas"] and self.has_served:
                for source in live["spec"]["template"]["spec"]["containers"][0]["envFrom"]:
                    config = source["configMapRef"]["name"]
                    self._must(("ConfigMap", config) in self.children, f"Deployment {name} lacks ConfigMap {config}")

        restore = stored.get("restore") or {}
        if restore.get("phase") in {phase.value for phase in RestorePhase if phase.is_fenced} - {RestorePhase.FENCING}:
            executes = self.fence is not None and self.fence.executors and self.leader in self.servers()
            self._must(not executes, f"{self.fence} lets somebody execute amid a restore")

    def judge_move(self, effect: MoveFence) -> None:
        self._must(not self._is_fenced() or not effect.executors, "a restore runs, and the fence names somebody")
        self._must(self.fence or not self.has_served, "a fence is made in a database that has lost its data")
        self._must(not self._replaces_pod(Component.DATABASE), "the fence moves while the database is replaced")
        self._must(effect.cutover not in self.ended, "a cutover that is over moves the fence")
        cutover = self.stored.get("cutover")
        if cutover and effect.cutover == cutover["id"]:
            new = cutover["to"]
            alive = [pod for pod in self.pods.values() if label(pod, Label.COLOUR) == new["colour"] and may_run(pod)]
            others = [
                pod["metadata"]["name"]
                for pod in alive
                if label(pod, Label.REVISION) != new["revision"] and not hangs(pod, self.now)
            ]
            hang = any(hangs(pod, self.now) and label(pod, Label.REVISION) != new["revision"] for pod in alive)
            named = (new["revision"],) if hang else effect.revisions
            self._must(effect.revisions == named, f"a pod that hangs may execute: {effect.revisions}")
            self._must(not others, f"pods of another version are to execute as well: {others}")

    def judge_server_pod(self, pod: Object) -> None:
        """A server that serves is taken away only by its maintenance; nothing moves beside that of the database."""
        stored, name = self.stored, pod["metadata"]["name"]
        replaces = self._replaces_pod(*SERVERS)
        moving = []
        for operation in OPERATIONS.values():
            record, phases = stored.get(operation.name.lower()), operation.phases
            row = phases[type(phases.first)(record["phase"])] if record else None
            if row and not row.is_terminal and not row.only_waits:
                moving.append(operation.name)
        self._must(not self.has_served or replaces or not is_ready(pod), f"{name} is taken away unasked")
        is_alone = set(moving) <= {OperationName.MAINTENANCE}
        self._must(is_alone or _mends(stored, moving), f"{name} is taken away beside {moving}")

    def judge_delete(self, key: tuple[str, str]) -> None:
        self._must(key[0] not in NEVER_DELETED, f"{key} is deleted")
        for (kind, name), live in self.children.items():
            if kind == "Deployment" and live["spec"]["replicas"]:
                record = f"{name}-{label(live, Label.REVISION)}"
                self._must(key != ("ControllerRevision", record), f"the record of Deployment {name} is deleted")


def _mends(status: Object, moving: Collection[OperationName]) -> bool:
    """Whether they are an operation that may be stuck, and the maintenance that may be what mends its cause, or one
    beside the maintenance of the cache.
    """
    others = set(moving) - {OperationName.MAINTENANCE}
    if OperationName.MAINTENANCE in moving and status["maintenance"]["component"] == Component.CACHE:
        return len(others) <= 1
    others -= {OperationName.RESTORE}
    if not others:
        return True
    records = [status[name.lower()] for name in others]
    return len(records) == 1 and records[0]["phase"] in {CutoverPhase.ROLLING_BACK, RetirementPhase.EMPTYING}
