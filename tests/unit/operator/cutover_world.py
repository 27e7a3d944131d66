"""Just enough of a cluster for an engine to be upgraded in: an API server, its controllers, a fence, engine pods.

The operator's pure half runs in it as it is: `look` does what reconcile.py does, with the world instead of I/O. Nothing
happens by itself: each controller has a method that lets it act once, so a test decides who is late. The world judges
each write as it arrives, and raises `Broken` for one that no cutover may make.
"""

import copy
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from rtx_operator import planning, status
from rtx_operator.api.engine import TradingEngine
from rtx_operator.api.enums import Colour, Keeping, Phase, Reason
from rtx_operator.api.names import RETRY, Label
from rtx_operator.cutover.effects import Apply, Drain, Effect, EffectName, MoveFence, Scale
from rtx_operator.cutover.situation import BACK
from rtx_operator.cutover.transitions import TRANSITIONS
from rtx_operator.decide import Decision, Verdict, decide
from rtx_operator.observation import Fence, FenceReport, Object, Observation, is_ready
from rtx_operator.plan import JOB_LABEL, Plan
from rtx_operator.reconcile import BLIND, _questions
from rtx_operator.reports import EngineReport, Executed, Latency, ReachReport, SmokeResult
from rtx_operator.settings import from_environment

SETTINGS = from_environment({"POSTGRES_IMAGE": "postgres", "REDIS_IMAGE": "redis"})
SEED = bytes(32)
UID, OWNER = "uid-1", "trading/rtx/uid-1"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LIVE = "rtx-engine"
CREDENTIALS = {"data": dict.fromkeys(("DB_PASSWORD", "REDIS_PASSWORD", "JWT_SECRET", "ADMIN_PASSWORD_HASH"), "eA==")}
BOUNDS = (10.0, 100.0, 1000.0, float("inf"))

# Which phase a cutover must be in, in the status that was read, for an effect of it to be carried out.
OF_PHASE: Mapping[EffectName, frozenset[Phase]] = {
    EffectName.MIGRATE: frozenset({Phase.MIGRATING}),
    EffectName.PROVISION: frozenset({Phase.PROVISIONING}),
    EffectName.SELECT: frozenset({Phase.SWITCHING, Phase.MONITORING, Phase.ROLLING_BACK}),
    EffectName.DRAIN: frozenset({Phase.MONITORING, Phase.ROLLING_BACK}),
    EffectName.PROMOTE: frozenset({Phase.PROMOTING}),
    EffectName.REVERSE: frozenset({Phase.ROLLING_BACK}),
}
NEW_EXECUTES = frozenset({Phase.SWITCHING, Phase.MONITORING, Phase.PROMOTING, Phase.SUCCEEDED})
NEVER_DELETED = frozenset({"Deployment", "Service", "StatefulSet", "Secret", "ServiceAccount"})


class Broken(AssertionError):  # noqa: N818 - it reads as what happened: the law is broken
    """A write that breaks a law of the cutover."""


class Killed(Exception):  # noqa: N818
    """The operator's process has ended."""


class Conflict(Exception):  # noqa: N818
    """The object, or the fence, is not any more what was seen: observe again."""


class Unreachable(Exception):  # noqa: N818
    """The database gave no answer."""


@dataclass(frozen=True)
class Intent:
    """A decision that is yet to be carried out, and what it rests on."""

    manifest: Object
    engine: TradingEngine
    plan: Plan
    seen: Observation
    decision: Decision
    now: datetime


@dataclass
class EngineProcess:
    """What one engine pod knows of itself."""

    websockets: int = 3
    draining: bool = False
    last_request: datetime = NOON
    epoch: int = 0  # since which it executes
    requests: int = 0
    errors: int = 0
    slow: int = 0


@dataclass
class World:
    """`faults` hold until they are taken out: a word, or `word:version`."""

    now: datetime = NOON
    spec: Object = field(default_factory=dict)
    retry: str = ""
    generation: int = 1
    version: int = 1  # the resourceVersion that was given last
    engine_version: int = 1
    status: str = "{}"  # as it is stored
    children: dict[tuple[str, str], Object] = field(default_factory=dict)
    pods: dict[str, Object] = field(default_factory=dict)
    processes: dict[str, EngineProcess] = field(default_factory=dict)
    slices: dict[str, tuple[str, ...]] = field(default_factory=dict)
    fence: Fence | None = None
    lost: list[Fence] = field(default_factory=list)  # rows before each move: what a failover may fall back to
    faults: set[str] = field(default_factory=set)
    last_look: datetime | None = None  # of the operator's process that runs now
    ended: dict[str, str] = field(default_factory=dict)  # cutovers that are over, with the phase they ended in
    names: Iterator[int] = field(default_factory=itertools.count)
    cutovers: Iterator[int] = field(default_factory=itertools.count)

    # --- what a test reads ---

    @property
    def stored(self) -> Object:
        """The status as it is stored."""
        read: Object = json.loads(self.status)
        return read

    @property
    def phase(self) -> Phase | None:
        """The phase of the cutover under way, or of the last one."""
        cutover = self.stored.get("cutover")
        return Phase(cutover["phase"]) if cutover else None

    @property
    def active(self) -> Object:
        return dict(self.stored["active"])

    @property
    def selected(self) -> str:
        """The colour that the live Service selects."""
        service = self.children.get(("Service", LIVE))
        return str(service["spec"]["selector"][Label.COLOUR.value]) if service else ""

    def colour_pods(self, colour: str, *, ready: bool = False) -> list[str]:
        labelled = [name for name, pod in self.pods.items() if _label(pod, Label.COLOUR) == colour]
        return [name for name in labelled if is_ready(self.pods[name]) or not ready]

    def has(self, fault: str, version: str = "") -> bool:
        return fault in self.faults or f"{fault}:{version}" in self.faults

    # --- the user ---

    def ask(self, **spec: Any) -> None:
        """Change the spec."""
        changed = {**self.spec, **spec}
        if changed != self.spec:
            self.spec = changed
            self.generation += 1
            self.engine_version = self._next()

    def ask_again(self) -> None:
        """Give the retry annotation a new value."""
        self.retry = f"{self._next()}"
        self.engine_version = self.version

    # --- the operator ---

    def manifest(self) -> Object:
        meta = {
            "namespace": "trading",
            "name": "rtx",
            "uid": UID,
            "generation": self.generation,
            "resourceVersion": str(self.engine_version),
            "annotations": {RETRY: self.retry},
        }
        return {"metadata": meta, "spec": self.spec, "status": self.stored}

    def intend(self) -> Intent:
        """Observe and decide, and carry out nothing yet."""
        manifest = self.manifest()
        engine = TradingEngine.parse(manifest)
        at_once = self.last_look is not None and (self.now - self.last_look).total_seconds() < BLIND
        seen = replace(self.observe(engine), at_once=at_once)
        self.last_look = self.now
        plan = planning.plan(engine, seen, SETTINGS, SEED)
        decision = decide(engine, plan, seen, self.now, f"{engine.spec.version}-{next(self.cutovers):08x}")
        return Intent(manifest, engine, plan, seen, decision, self.now)

    def look(self, *, killed_at: int | None = None) -> Decision | None:
        """One reconcile; the operator is killed before its step number `killed_at`, when it comes to that.

        The steps are: the applies and deletes, each effect, the writing of the status. Returns the decision.
        """
        intent = self.intend()
        self.judge_decision(intent)
        try:
            self.carry_out(intent, killed_at=killed_at)
        except Killed:
            self.last_look = None
            return None
        except Conflict:
            return None
        except Unreachable as error:
            verdict = Verdict(Reason.DATABASE_UNREACHABLE, str(error))
            self.write_status(
                intent, status.after_verdict(intent.manifest["status"], self.generation, verdict, self.now)
            )
            return None
        return intent.decision

    def carry_out(self, intent: Intent, *, killed_at: int | None = None) -> None:
        """What perform.py and the end of reconcile.py do. Raises Killed, Conflict and Unreachable."""
        steps = iter(range(100))

        def step() -> None:
            if next(steps) == killed_at:
                raise Killed

        step()
        for wanted in intent.decision.apply:
            self.apply(wanted)
        for obsolete in intent.decision.delete:
            self.delete(obsolete)
        for effect in intent.decision.effects:
            step()
            self.effect(effect, intent)
        step()
        decision = intent.decision
        after = status.after_decision(intent.manifest["status"], intent.engine, intent.plan, decision, None, intent.now)
        self.write_status(intent, after)

    def effect(self, effect: Effect, intent: Intent) -> None:
        """Carry out one effect, now, whenever it was decided."""
        self.judge_effect(effect, intent)
        if isinstance(effect, Apply):
            for wanted in effect.objects:
                live = intent.seen.child(wanted["kind"], wanted["metadata"]["name"])
                guard = live["metadata"]["resourceVersion"] if live and effect.guarded else ""
                self.apply(wanted, guard=guard)
        elif isinstance(effect, Scale):
            self.scale(effect)
        elif isinstance(effect, MoveFence):
            self.move_fence(effect)
        else:
            self.drain(effect)

    # --- the API server ---

    def apply(self, wanted: Object, *, guard: str = "") -> None:
        key = (wanted["kind"], wanted["metadata"]["name"])
        live = self.children.get(key)
        if live is None:
            meta = {"uid": f"uid-{self._next()}", "generation": 1, "creationTimestamp": _time(self.now)}
            spec = {"replicas": 1} if wanted["kind"] == "Deployment" else {}
            live = {"kind": wanted["kind"], "metadata": meta, "spec": spec, "status": {}}
        elif guard and guard != live["metadata"]["resourceVersion"]:
            raise Conflict(f"{key} has changed")
        merged = {**live, **wanted, "metadata": {**live["metadata"], **wanted["metadata"]}, "status": live["status"]}
        if wanted["kind"] == "Deployment":
            merged["spec"] = {**wanted["spec"], "replicas": live["spec"]["replicas"]}
        self._store(key, merged)

    def scale(self, effect: Scale) -> None:
        meta = effect.deployment["metadata"]
        live = self.children.get(("Deployment", meta["name"]))
        if live is None or live["metadata"]["resourceVersion"] != meta["resourceVersion"]:
            raise Conflict(f"Deployment {meta['name']} has changed")
        self.judge_scale(live, effect.replicas)
        self._store(("Deployment", meta["name"]), {**live, "spec": {**live["spec"], "replicas": effect.replicas}})

    def delete(self, seen: Object) -> None:
        key = (seen["kind"], seen["metadata"]["name"])
        live = self.children.get(key)
        if live is None or live["metadata"]["uid"] != seen["metadata"]["uid"]:
            return
        self._must(seen["kind"] not in NEVER_DELETED, f"{key} is deleted")
        del self.children[key]
        if seen["kind"] == "Job":
            self.pods = {name: pod for name, pod in self.pods.items() if _label(pod, JOB_LABEL) != key[1]}

    def write_status(self, intent: Intent, after: Object) -> None:
        """Raises Conflict when the engine has changed since it was read."""
        if after == intent.manifest["status"]:
            return
        if intent.manifest["metadata"]["resourceVersion"] != str(self.engine_version):
            raise Conflict("the TradingEngine has changed")
        self.judge_status(intent.manifest["status"], after)
        self.status = json.dumps(after)
        self.engine_version = self._next()

    def _store(self, key: tuple[str, str], wanted: Object) -> None:
        live = self.children.get(key)
        if live and {**live, "metadata": _content(live)} == {**wanted, "metadata": _content(wanted)}:
            return
        generation = wanted["metadata"]["generation"]
        if live and live.get("spec") != wanted.get("spec"):
            generation += 1
        meta = {**wanted["metadata"], "generation": generation, "resourceVersion": str(self._next())}
        self.children[key] = {**wanted, "metadata": meta}
        if key == ("Service", LIVE):
            self.judge_service(live, self.children[key])

    def _next(self) -> int:
        self.version += 1
        return self.version

    # --- the database ---

    def move_fence(self, effect: MoveFence) -> None:
        if self.has("no database"):
            raise Unreachable("the database is away")
        fence = self.fence
        if fence is not None:
            mine = (fence.cutover, fence.executors) == (effect.cutover, effect.executors)
            if mine and fence.epoch >= effect.known_epoch:
                return
            if effect.expected_epoch != fence.epoch:
                raise Conflict("the fence has changed")
            self.lost.append(fence)
        epoch = max(fence.epoch if fence else 0, effect.known_epoch) + 1
        self.fence = Fence(epoch, effect.executors, effect.cutover, OWNER, self.now)
        self._engines_notice()

    def lose_move(self) -> None:
        """A failover to a member that had not got the last move of the fence."""
        if self.lost:
            self.fence = self.lost.pop()
            self._engines_notice()

    def _engines_notice(self) -> None:
        for name, process in self.processes.items():
            if self._executes(name):
                process.epoch = self.fence.epoch if self.fence else 0
                process.requests = process.errors = process.slow = 0
                process.draining = False

    def _executes(self, pod: str) -> bool:
        return self.fence is not None and _label(self.pods[pod], Label.COLOUR) in self.fence.executors

    # --- engine pods ---

    def drain(self, effect: Drain) -> None:
        for pod in effect.pods:
            name = pod["metadata"]["name"]
            fresh = self.fence is not None and self.fence.epoch == effect.epoch
            if name in self.processes and fresh and not self._executes(name):
                self.processes[name].draining = True

    def report(self, name: str) -> EngineReport | str:
        if self.has("silent"):
            return "no answer within 2 s"
        process, fence, pod = self.processes[name], self.fence, self.pods[name]
        executes = self._executes(name)
        fast = process.requests - process.slow
        latency = Latency(BOUNDS, (fast, 0, 0, process.slow))
        return EngineReport(
            pod=name,
            colour=_label(pod, Label.COLOUR),
            version=_label(pod, Label.APP_VERSION),
            epoch=fence.epoch if fence else None,
            executors=fence.executors if fence else (),
            executing=executes,
            draining=process.draining,
            ending=False,
            websockets=process.websockets,
            quiet_seconds=(self.now - process.last_request).total_seconds(),
            forwarded=0,
            drained_connections=0,
            executed=Executed(process.epoch, process.requests, process.errors, latency) if executes else None,
        )

    def traffic(self) -> None:
        """Clients ask each pod that the EndpointSlices name; who does not execute hands on to those who do."""
        asked = [name for name in self.slices.get(LIVE, ()) if name in self.processes]
        executing = [name for name in self.processes if self._executes(name) and is_ready(self.pods[name])]
        for name in asked:
            self.processes[name].last_request = self.now
            if not self.processes[name].draining:
                self.processes[name].websockets = 3
        for name in executing if asked else ():
            process, version = self.processes[name], _label(self.pods[name], Label.APP_VERSION)
            process.requests += 30
            process.errors += 30 if self.has("errors", version) else 0
            process.slow += 30 if self.has("slow", version) else 0
        for process in self.processes.values():
            if process.draining:
                process.websockets = 0

    def crash(self, pod: str) -> None:
        """The pod's container ends, and is not ready until it is back."""
        state = {"terminated": {"exitCode": 1, "finishedAt": _time(self.now)}}
        last = {"containerStatuses": [{"name": "engine", "state": {"running": {}}, "lastState": state}]}
        self.pods[pod] = {**self.pods[pod], "status": last}
        self.processes[pod] = self._process(self.pods[pod])

    def _process(self, pod: Object) -> EngineProcess:
        fence = self.fence
        executes = fence is not None and _label(pod, Label.COLOUR) in fence.executors
        return EngineProcess(last_request=self.now, epoch=fence.epoch if fence and executes else 0)

    # --- controllers, each of which acts once ---

    def tick(self, seconds: float = 1) -> None:
        """Time passes, nobody is late, and clients ask."""
        self.now += timedelta(seconds=seconds)
        self.run_deployments()
        self.run_pods()
        self.run_deployments()
        self.run_jobs()
        self.run_endpoints()
        self.traffic()

    def run_deployments(self) -> None:
        """As RollingUpdate does with maxSurge 1 and maxUnavailable 0."""
        for key, live in list(self.children.items()):
            if key[0] == "StatefulSet":
                ready = 0 if self.has("no database") and key[1].endswith("postgres") else 1
                self._report_pods(key, live, ready, ready)
            if key[0] != "Deployment":
                continue
            size, labels = live["spec"]["replicas"], live["spec"]["template"]["metadata"]["labels"]
            mine = self.colour_pods(labels[Label.COLOUR.value])
            current = [name for name in mine if self.pods[name]["metadata"]["labels"] == labels]
            others = [name for name in mine if name not in current]
            while len(current) < size and len(current) + len(others) < size + 1:
                current.append(self._new_pod(key[1], labels))
            ready = [name for name in current if is_ready(self.pods[name])]
            spare = max(0, len(ready) + len(others) - size)
            for name in [*others[:spare], *current[size:]]:
                del self.pods[name]
                self.processes.pop(name, None)
            left = [name for name in current[:size] if name in ready]
            kept = [name for name in others[spare:] if is_ready(self.pods[name])]
            self._report_pods(key, self.children[key], len(left) + len(kept), len(current[:size]))

    def _new_pod(self, owner: str, labels: Object) -> str:
        name = f"{owner}-{next(self.names)}"
        self.pods[name] = {"metadata": {"name": name, "labels": labels}, "status": {}}
        self.processes[name] = self._process(self.pods[name])
        return name

    def _report_pods(self, key: tuple[str, str], live: Object, ready: int, updated: int) -> None:
        said = {
            "observedGeneration": live["metadata"]["generation"],
            "readyReplicas": ready,
            "updatedReplicas": updated,
        }
        self._store(key, {**live, "status": said})

    def run_pods(self) -> None:
        """Pods that can become ready do."""
        for name, pod in self.pods.items():
            if name in self.processes and not is_ready(pod):
                ready = not self.has("unready", _label(pod, Label.APP_VERSION))
                condition = {"type": "Ready", "status": "True" if ready else "False"}
                self.pods[name] = {**pod, "status": {**pod["status"], "conditions": [condition]}}

    def run_jobs(self) -> None:
        """Jobs end, one way or the other."""
        for key, job in list(self.children.items()):
            if key[0] != "Job" or job["status"].get("conditions") or self.has("jobs hang"):
                continue
            fails = self.has("migration", _label(job, Label.APP_VERSION))
            kind = "Failed" if fails else "Complete"
            ended = {"type": kind, "status": "True", "message": "BackoffLimitExceeded"}
            self._store(key, {**job, "status": {"conditions": [ended]}})

    def run_endpoints(self) -> None:
        service = self.children.get(("Service", LIVE))
        if service:
            self.slices[LIVE] = tuple(self.colour_pods(self.selected, ready=True))

    def autoscale(self, size: int) -> None:
        """The autoscaler gives the Deployment that it is on another size, within its bounds."""
        scaler = self.children.get(("HorizontalPodAutoscaler", LIVE))
        if scaler is None:
            return
        key = ("Deployment", scaler["spec"]["scaleTargetRef"]["name"])
        live = self.children.get(key)
        if live and live["spec"]["replicas"]:
            bounded = min(max(size, scaler["spec"]["minReplicas"]), scaler["spec"]["maxReplicas"])
            self._store(key, {**live, "spec": {**live["spec"], "replicas": bounded}})

    # --- what the operator sees ---

    def observe(self, engine: TradingEngine) -> Observation:
        asked = _questions(engine, "secret")
        new = str(asked.smoke or "")
        return Observation(
            children=dict(self.children),
            pods=tuple(self.pods.values()),
            endpoint_slices=tuple(self._slices()),
            credentials=CREDENTIALS,
            database=FenceReport(error="no answer") if self.has("no database") else FenceReport(self.fence),
            engines={name: self.report(name) for name in self._ready(asked.reports)},
            reach={name: self._reach(name) for name in self._ready([asked.reach] if asked.reach else [])},
            smoke=tuple(self._smoke(test.name, new) for test in (asked.tests if new else ())),
        )

    def _ready(self, colours: Iterable[Colour]) -> list[str]:
        return [name for colour in colours for name in self.colour_pods(colour, ready=True)]

    def _slices(self) -> Iterator[Object]:
        for service, names in self.slices.items():
            ready = [name for name in names if name in self.pods]
            yield {
                "metadata": {"labels": {"kubernetes.io/service-name": service}},
                "endpoints": [{"conditions": {"ready": True}, "targetRef": {"name": name}} for name in ready],
            }

    def _reach(self, name: str) -> ReachReport | str:
        other = Colour(_label(self.pods[name], Label.COLOUR)).other
        reaches = bool(self.colour_pods(other, ready=True)) and not self.has("reach")
        return ReachReport(reaches, other, "" if reaches else "no answer")

    def _smoke(self, name: str, colour: str) -> SmokeResult:
        ready = self.colour_pods(colour, ready=True)
        versions = {_label(self.pods[pod], Label.APP_VERSION) for pod in ready}
        passed = bool(ready) and not any(self.has("smoke", version) for version in versions)
        return SmokeResult(name, passed, "" if passed else "503")

    # --- the laws ---

    def _must(self, holds: object, broken: str) -> None:
        if not holds:
            raise Broken(f"{broken}; fence {self.fence}, Service {self.selected}, status {self.status}")

    def judge_decision(self, intent: Intent) -> None:
        """What must be true of a decision about what is seen to be so right now."""
        cutover, fence = intent.engine.status.cutover, self.fence
        moves = [effect for effect in intent.decision.effects if isinstance(effect, MoveFence)]
        self._must(len(moves) <= 1, "the fence is moved twice")
        decided_by_phase = cutover is not None and cutover.phase in {Phase.SWITCHING, Phase.ROLLING_BACK}
        if intent.seen.database and not intent.seen.database.error and fence and not intent.engine.spec.paused:
            active = intent.engine.status.active
            right = active is None or fence.executors == (active.colour.value,)
            turns = active is not None and active.colour != intent.decision.memory.active.colour
            self._must(right or decided_by_phase or turns or moves, "the fence names the wrong colour and is left so")

    def judge_effect(self, effect: Effect, intent: Intent) -> None:
        """A phase is in the status that was read before anything of it is done."""
        cutover = intent.engine.status.cutover
        phase = cutover.phase if cutover else None
        if effect.name in OF_PHASE:
            self._must(phase in OF_PHASE[effect.name], f"{effect.name} in {phase}")
        elif effect.name is EffectName.CONTRACT:
            previous = intent.engine.status.previous
            self._must(previous and previous.state is Keeping.RETIRING, f"Contract in {phase}")
            self._must(not (cutover and not cutover.phase.is_terminal), f"Contract in {phase}")
        elif isinstance(effect, MoveFence) and cutover and not cutover.phase.is_terminal:
            new = effect.executors == (cutover.to.colour.value,)
            self._must(not new or phase in NEW_EXECUTES, f"the fence goes to the new colour in {phase}")
            self._must(new or not effect.cutover.endswith(BACK) or phase is Phase.ROLLING_BACK, f"back in {phase}")

    def judge_scale(self, live: Object, replicas: int) -> None:
        if replicas >= live["spec"]["replicas"]:
            return
        colour = _label(live, Label.COLOUR)
        most = self.spec["scaling"]["maxReplicas"]
        self._must(replicas == 0 or replicas >= most, f"{colour} is made smaller: {replicas}")
        if replicas:
            return
        self._must(self.selected not in {"", colour}, f"{colour} is emptied while the live Service selects it")
        self._must(self.fence and colour not in self.fence.executors, f"{colour} is emptied while it executes")
        previous, cutover = self.stored.get("previous"), self.stored.get("cutover")
        kept = previous and previous["state"] == Keeping.KEPT and previous["colour"] == colour
        lent = cutover and not Phase(cutover["phase"]).is_terminal and cutover["to"]["colour"] == colour
        self._must(not kept or lent, f"{colour} is emptied while it is kept")

    def judge_service(self, before: Object | None, after: Object) -> None:
        selector = after["spec"]["selector"]
        self._must(selector.get(Label.COLOUR.value) in set(Colour), "the live Service selects no colour")
        self._must(len(selector) > 1, "the live Service selects more than the engine's pods")
        if before and before["spec"]["selector"] != selector:
            executes = self.fence and self.fence.executors == (self.selected,)
            self._must(executes, "the live Service goes to a colour that does not execute")

    def judge_status(self, before: Object, after: Object) -> None:
        was, cutover = before.get("cutover"), after.get("cutover")
        if not cutover:
            self._must(not was, "a cutover is forgotten")
            return
        phase, rejected = Phase(cutover["phase"]), before.get("rejected")
        same = was and was["id"] == cutover["id"]
        if not same:
            self._must(phase is Phase.PENDING, f"a cutover begins in {phase}")
            self._must(not was or Phase(was["phase"]).is_terminal, "a cutover begins before the last is over")
            self._must(cutover["id"] not in self.ended, "a cutover begins again")
            again = rejected and rejected["podHash"] == cutover["to"]["podHash"] and rejected["retry"] == self.retry
            self._must(not again, "what was rejected is tried again")
            self._must(cutover["from"]["podHash"] == before["active"]["podHash"], "it comes from nowhere")
        elif was["phase"] != phase:
            self._must(phase in TRANSITIONS[Phase(was["phase"])].values(), f"{was['phase']} → {phase}")
        self._must(self.ended.get(cutover["id"], phase) == phase, f"{cutover['id']} goes on after its end")
        if phase.is_terminal:
            self.ended[cutover["id"]] = phase
            self._must(after["history"][0]["id"] == cutover["id"], "the history lacks it")
            self._must(len({past["id"] for past in after["history"]}) == len(after["history"]), "it is told twice")
        elif phase not in {Phase.PENDING, Phase.PROMOTING, Phase.ROLLING_BACK}:
            self._must(cutover.get("deadline"), f"{phase} has no deadline")
        self._must(after["active"]["epoch"] >= before["active"]["epoch"], "an epoch is forgotten")

    def judge(self) -> None:
        """What is true at every instant."""
        stored = self.stored
        active, previous = stored.get("active"), stored.get("previous")
        if not active:
            return
        wanted = {active["podHash"]} | ({previous["podHash"]} if previous else set())
        for pod_hash in wanted:
            self._must(("ControllerRevision", f"rtx-engine-{pod_hash}") in self.children, f"shape {pod_hash} is lost")
        for (kind, name), live in self.children.items():
            if kind == "Deployment" and live["spec"]["replicas"]:
                for source in live["spec"]["template"]["spec"]["containers"][0]["envFrom"]:
                    config = source["configMapRef"]["name"]
                    self._must(("ConfigMap", config) in self.children, f"Deployment {name} lacks ConfigMap {config}")

    # --- all is well again ---

    def run_until(self, phase: Phase, looks: int = 40) -> bool:
        """Nobody is late and the operator looks, until the cutover comes to `phase`, or has been looked at so often."""
        for _ in range(looks):
            before = self.stored.get("cutover", {})
            self.tick()
            self.look()
            self.judge()
            after = self.stored.get("cutover", {})
            if after.get("phase") == phase and (before.get("id"), before.get("phase")) != (after["id"], phase):
                return True
        return False

    def settle(self, looks: int = 200) -> None:
        """No fault any more, nobody is late: raises Broken when that leads nowhere within so many looks."""
        self.faults.clear()
        for name in [name for kind, name in self.children if kind == "Job"]:
            if self.children["Job", name]["status"].get("conditions", [{}])[0].get("type") == "Failed":
                del self.children["Job", name]  # as the message says that a person should
        self.ask(paused=False)
        for _ in range(looks):
            self.tick()
            self.look()
            self.judge()
            if self.is_settled():
                return
        self._must(False, f"it does not settle: {[c['message'] for c in self.stored['conditions']]}")

    def is_settled(self) -> bool:
        stored = self.stored
        if not stored.get("active") or (self.phase and not self.phase.is_terminal):
            return False
        active, rejected, previous = stored["active"], stored.get("rejected") or {}, stored.get("previous") or {}
        plan = self.intend().plan
        return (
            plan.wanted.pod_hash in {active["podHash"], rejected.get("podHash")}
            and previous.get("state") != Keeping.RETIRING
            and self.selected == active["colour"]
            and self.fence is not None
            and self.fence.executors == (active["colour"],)
            and bool(self.slices[LIVE])
            and set(self.slices[LIVE]) <= set(self.colour_pods(active["colour"], ready=True))
            and all(_label(self.pods[name], Label.SHAPE) == active["podHash"] for name in self.slices[LIVE])
        )


def installed() -> World:
    """An engine of version 1.0.0 that runs."""
    world = World()
    world.ask(
        version="1.0.0",
        image={"repository": "example.com/rtx-engine"},
        credentialsSecretRef={"name": "mine"},
        scaling={"minReplicas": 2, "maxReplicas": 4},
        rollout={
            "drainTimeout": "5s",
            "monitor": {"duration": "10s", "minimumRequests": 20},
            "keepPreviousFor": "60s",
        },
        paused=False,
    )
    world.settle()
    return world


def copied(world: World) -> World:
    """Another one just like it."""
    return copy.deepcopy(world)


def _label(labelled: Object, key: str) -> str:
    return str(labelled["metadata"].get("labels", {}).get(str(key), ""))


def _content(stored: Object) -> Object:
    changing = {"resourceVersion", "generation"}
    return {name: value for name, value in stored["metadata"].items() if name not in changing}


def _time(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")
