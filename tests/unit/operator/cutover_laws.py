"""What no cutover may do, whatever happens: asked at each write as it arrives, and at each instant."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from cutover_cluster import Cluster, label, may_run
from rtx_operator.api.engine import TradingEngine
from rtx_operator.api.enums import Colour, CutoverPhase, RetirementPhase
from rtx_operator.api.names import Label
from rtx_operator.decision.decide import Decision
from rtx_operator.desired.state import DesiredState
from rtx_operator.observation import Object, Observation, hangs
from rtx_operator.operations.arbiter import OPERATIONS
from rtx_operator.operations.cutover.context import BACK
from rtx_operator.operations.effects import Effect, EffectName, MoveFence

# Which phase a cutover must be in, in the status that was read, for an effect of it to be carried out.
OF_PHASE: Mapping[EffectName, frozenset[CutoverPhase]] = {
    EffectName.MIGRATE: frozenset({CutoverPhase.MIGRATING}),
    EffectName.PROVISION: frozenset({CutoverPhase.PROVISIONING}),
    EffectName.SELECT: frozenset({CutoverPhase.SWITCHING, CutoverPhase.MONITORING, CutoverPhase.ROLLING_BACK}),
    EffectName.DRAIN: frozenset({CutoverPhase.MONITORING, CutoverPhase.ROLLING_BACK}),
    EffectName.PROMOTE: frozenset({CutoverPhase.PROMOTING}),
    EffectName.REVERSE: frozenset({CutoverPhase.ROLLING_BACK}),
}
NEW_EXECUTES = frozenset(
    {CutoverPhase.SWITCHING, CutoverPhase.MONITORING, CutoverPhase.PROMOTING, CutoverPhase.SUCCEEDED}
)
NEVER_DELETED = frozenset({"Deployment", "Service", "StatefulSet", "Secret", "ServiceAccount"})


class Broken(AssertionError):  # noqa: N818 - it reads as what happened: the law is broken
    """A write that breaks a law of the cutover."""


@dataclass(frozen=True)
class Intent:
    """A decision that is yet to be carried out, and what it rests on."""

    manifest: Object
    engine: TradingEngine
    desired: DesiredState
    seen: Observation
    decision: Decision
    now: datetime


@dataclass
class Judged(Cluster):
    """A cluster, and the TradingEngine of which its writes are judged. Raises Broken."""

    spec: Object = field(default_factory=dict)
    retry: str = ""
    status: str = "{}"  # as it is stored
    asked: int = 0  # how often people have asked for another version, or for one again
    refused: tuple[str, int] = ("", 0)  # the revision that was rejected last, and `asked` at that time
    ended: dict[str, str] = field(default_factory=dict)  # cutovers that are over, with the phase they ended in

    @property
    def stored(self) -> Object:
        """The status as it is stored."""
        read: Object = json.loads(self.status)
        return read

    def _must(self, holds: object, broken: str) -> None:
        if not holds:
            raise Broken(f"{broken}; fence {self.fence}, Service {self.selected}, status {self.status}")

    def judge_decision(self, intent: Intent) -> None:
        """What must be true of a decision about what is seen to be so right now."""
        cutover, fence = intent.engine.status.cutover, self.fence
        moves = [effect for effect in intent.decision.effects if isinstance(effect, MoveFence)]
        self._must(len(moves) <= 1, "the fence is moved twice")
        decided_by_phase = cutover is not None and cutover.phase in {CutoverPhase.SWITCHING, CutoverPhase.ROLLING_BACK}
        if intent.seen.database and not intent.seen.database.error and fence and not intent.engine.spec.paused:
            active = intent.engine.status.active
            right = active is None or fence.executors == (active.colour.value,)
            turns = active is not None and active.colour != intent.decision.state.active.colour
            self._must(right or decided_by_phase or turns or moves, "the fence names the wrong colour and is left so")

    def judge_effect(self, effect: Effect, intent: Intent) -> None:
        """A phase is in the status that was read before anything of it is done."""
        cutover = intent.engine.status.cutover
        phase = cutover.phase if cutover else None
        if effect.name in OF_PHASE:
            self._must(phase in OF_PHASE[effect.name], f"{effect.name} in {phase}")
        elif effect.name is EffectName.CONTRACT:
            retirement = intent.engine.status.retirement
            self._must(retirement and retirement.phase is RetirementPhase.CONTRACTING, f"Contract in {phase}")
            self._must(not self._older_pods(), f"Contract while older pods run: {self._older_pods()}")
            self._must(not (cutover and not cutover.phase.is_terminal), f"Contract in {phase}")
        elif isinstance(effect, MoveFence) and cutover and not cutover.phase.is_terminal:
            new = effect.executors == (cutover.to.colour.value,)
            self._must(not new or phase in NEW_EXECUTES, f"the fence goes to the new colour in {phase}")
            self._must(
                new or not effect.cutover.endswith(BACK) or phase is CutoverPhase.ROLLING_BACK, f"back in {phase}"
            )

    def _older_pods(self) -> list[str]:
        active = self.stored["active"]["revision"]
        return [name for name, pod in self.pods.items() if label(pod, Label.REVISION) != active and may_run(pod)]

    def judge_scale(self, live: Object, replicas: int) -> None:
        if replicas >= live["spec"]["replicas"]:
            return
        colour = label(live, Label.COLOUR)
        most = self.spec["scaling"]["maxReplicas"]
        self._must(replicas == 0 or replicas >= most, f"{colour} is made smaller: {replicas}")
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

    def judge_service(self, before: Object | None, after: Object) -> None:
        selector = after["spec"]["selector"]
        self._must(selector.get(Label.COLOUR.value) in set(Colour), "the live Service selects no colour")
        self._must(len(selector) > 1, "the live Service selects more than the engine's pods")
        if before and before["spec"]["selector"] != selector:
            executes = self.fence and self.fence.executors == (self.selected,)
            self._must(executes, "the live Service goes to a colour that does not execute")

    def judge_status(self, before: Object, after: Object) -> None:
        """What must be true of each status that is written."""
        self._judge_records(before, after)
        self._judge_cutover(before, after)

    def _judge_records(self, before: Object, after: Object) -> None:
        """One operation at a time; each in a phase that its table leads to, with the deadline that it names."""
        running = []
        for name, operation in OPERATIONS.items():
            was, record, phases = before.get(name.lower()), after.get(name.lower()), operation.phases
            if not record:
                continue
            phase = type(phases.first)(record["phase"])
            if not phase.is_terminal:
                running.append(name)
            if not was or was["id"] != record["id"]:
                over = not was or type(phase)(was["phase"]).is_terminal
                self._must(phase is phases.first, f"a {name} begins in {phase}")
                self._must(over, f"a {name} begins before the last is over")
            elif was["phase"] != phase:
                ways = phases[type(phase)(was["phase"])].ways
                self._must(phase in ways.values(), f"{was['phase']} → {phase}")
            self._must(bool(record.get("deadline")) == bool(phases[phase].deadline), f"the deadline of {phase}")
        self._must(len(running) <= 1, f"{running} run at the same time")

    def _judge_cutover(self, before: Object, after: Object) -> None:
        was, cutover = before.get("cutover"), after.get("cutover")
        if not cutover:
            self._must(not was, "a cutover is forgotten")
            return
        phase, rejected = CutoverPhase(cutover["phase"]), after.get("rejected")
        if rejected and rejected != before.get("rejected"):
            self.refused = (rejected["revision"], self.asked)
        same = was and was["id"] == cutover["id"]
        if not same:
            self._must(cutover["id"] not in self.ended, "a cutover begins again")
            again = self.refused == (cutover["to"]["revision"], self.asked)
            self._must(not again, "what was rejected is tried again")
            self._must(cutover["from"]["revision"] == before["active"]["revision"], "it comes from nowhere")
        self._must(self.ended.get(cutover["id"], phase) == phase, f"{cutover['id']} goes on after its end")
        if phase.is_terminal:
            self.ended[cutover["id"]] = phase
            self._must(after["history"][0]["id"] == cutover["id"], "the history lacks it")
            self._must(len({past["id"] for past in after["history"]}) == len(after["history"]), "it is told twice")
        self._must(after["active"]["epoch"] >= before["active"]["epoch"], "an epoch is forgotten")

    def judge(self) -> None:
        """What is true at every instant."""
        stored = self.stored
        active, previous = stored.get("active"), stored.get("previous")
        if not active:
            return
        wanted = {active["revision"]} | ({previous["revision"]} if previous else set())
        for revision in wanted:
            self._must(
                ("ControllerRevision", f"rtx-engine-{revision}") in self.children, f"revision {revision} is lost"
            )
        for (kind, name), live in self.children.items():
            if kind == "Deployment" and live["spec"]["replicas"]:
                for source in live["spec"]["template"]["spec"]["containers"][0]["envFrom"]:
                    config = source["configMapRef"]["name"]
                    self._must(("ConfigMap", config) in self.children, f"Deployment {name} lacks ConfigMap {config}")

    def judge_move(self, effect: MoveFence) -> None:
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

    def judge_delete(self, key: tuple[str, str]) -> None:
        self._must(key[0] not in NEVER_DELETED, f"{key} is deleted")
