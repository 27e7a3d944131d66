"""A small world in which an engine is upgraded: the cluster of cutover_cluster.py, its user, and the operator.

The operator's pure half runs in it as it is: `look` does what controllers/ does, with the world instead of I/O.
The laws of cutover_laws.py judge each write as it arrives.
"""

import copy
import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from cutover_cluster import LIVE, Conflict, Unreachable, label
from cutover_laws import Intent, Judged
from rtx_operator.api.engine import TradingEngine
from rtx_operator.api.enums import Colour, CutoverPhase, RetirementPhase
from rtx_operator.api.names import RETRY, Label
from rtx_operator.decision import conditions
from rtx_operator.decision.decide import Decision, decide
from rtx_operator.decision.outcome import Outcome, status_after
from rtx_operator.desired import build
from rtx_operator.desired.state import DesiredState
from rtx_operator.observation import FenceReport, Object, Observation, is_recent
from rtx_operator.operations.arbiter import queries
from rtx_operator.operations.effects import Apply, Delete, Effect, MoveFence, Scale, objects_of
from rtx_operator.settings import from_environment

__all__ = ["Conflict", "Intent", "Unreachable", "World", "copied", "installed"]

SETTINGS = from_environment({"POSTGRES_IMAGE": "postgres", "REDIS_IMAGE": "redis"})
SEED = bytes(32)
UID = "uid-1"
CREDENTIALS = {"data": dict.fromkeys(("DB_PASSWORD", "REDIS_PASSWORD", "JWT_SECRET", "ADMIN_PASSWORD_HASH"), "eA==")}


class Killed(Exception):  # noqa: N818
    """The operator's process has ended."""


@dataclass
class World(Judged):
    """An engine, whoever uses it, and the operator that runs it."""

    generation: int = 1
    engine_version: int = 1
    last_look: datetime | None = None  # of the operator's process that runs now
    cutovers: Iterator[int] = field(default_factory=itertools.count)

    # --- what a test reads ---

    @property
    def phase(self) -> CutoverPhase | None:
        """The phase of the cutover under way, or of the last one."""
        cutover = self.stored.get("cutover")
        return CutoverPhase(cutover["phase"]) if cutover else None

    @property
    def active(self) -> Object:
        return dict(self.stored["active"])

    # --- the user ---

    def ask(self, **spec: Any) -> None:
        """Change the spec."""
        changed = {**self.spec, **spec}
        if changed != self.spec:
            self.asked += changed["version"] != self.spec.get("version")
            self.spec = changed
            self.generation += 1
            self.engine_version = self.next_version()

    def ask_again(self) -> None:
        """Give the retry annotation a new value."""
        self.asked += 1
        self.retry = f"{self.next_version()}"
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
        gap = (self.now - self.last_look).total_seconds() if self.last_look else math.inf
        seen = replace(self.observe(engine), observed_recently=is_recent(gap))
        self.last_look = self.now
        desired = _desired(engine, seen)
        decision = decide(engine, desired, seen, self.now, f"{engine.spec.version}-{next(self.cutovers):08x}")
        return Intent(manifest, engine, desired, seen, decision, self.now)

    def look(self, *, killed_at: int | None = None) -> Decision | None:
        """One reconcile; the operator is killed before its step number `killed_at`, when it comes to that.

        The steps are: the applies and deletes, each effect, the writing of the status. Returns the decision.
        """
        intent = self.intend()
        self.judge_decision(intent)
        steps = iter(range(100))

        def step() -> None:
            if next(steps) == killed_at:
                raise Killed

        try:
            outcome = self.carry_out(intent, step)
            step()
            self.write_status(intent, outcome)
        except Killed:
            self.last_look = None
            return None
        except Conflict:
            return None
        return intent.decision if outcome.is_complete else None

    def carry_out(self, intent: Intent, step: Callable[[], None]) -> Outcome:
        """What cluster/perform does, and the controller with its errors."""
        try:
            for effect in intent.decision.commands():
                step()
                self.effect(effect, intent)
        except Conflict:
            return Outcome(is_stale=True)
        except Unreachable as error:
            return Outcome(interruption=conditions.database_unreachable(str(error)))
        return Outcome()

    def effect(self, effect: Effect, intent: Intent) -> None:
        """Carry out one effect, now, whenever it was decided."""
        self.judge_effect(effect, intent)
        if isinstance(effect, Apply):
            for wanted in objects_of(effect, intent.seen):
                self.apply(wanted)
        elif isinstance(effect, Delete):
            for obsolete in effect.objects:
                self.delete(obsolete)
        elif isinstance(effect, Scale):
            self.scale(effect)
        elif isinstance(effect, MoveFence):
            self.move_fence(effect)
        else:
            self.drain(effect)

    def write_status(self, intent: Intent, outcome: Outcome) -> None:
        """Raises Conflict when the engine has changed since it was read."""
        before = intent.manifest["status"]
        after = status_after(before, intent.engine, intent.desired, intent.decision, outcome, intent.now)
        if after is None or after == before:
            return
        if intent.manifest["metadata"]["resourceVersion"] != str(self.engine_version):
            raise Conflict("the TradingEngine has changed")
        self.judge_status(intent.manifest["status"], after)
        self.status = json.dumps(after)
        self.engine_version = self.next_version()

    # --- what the operator sees ---

    def observe(self, engine: TradingEngine) -> Observation:
        asked = queries(engine.status, engine.spec.rollout)
        new = str(asked.smoke or "")
        return Observation(
            children=dict(self.children),
            pods=tuple(self.pods.values()),
            endpoint_slices=tuple(self._slices()),
            credentials=CREDENTIALS,
            database=FenceReport(error="no answer") if self.has("no database") else FenceReport(self.fence),
            engines={name: self.report(name) for name in self._ready(asked.reports)},
            reach={name: self.reach(name) for name in self._ready([asked.reach] if asked.reach else [])},
            smoke=tuple(self.smoke(test.name, new) for test in (asked.tests if new else ())),
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

    # --- all is well again ---

    def run_until(self, phase: CutoverPhase, looks: int = 40) -> bool:
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
        active, rejected, retirement = stored["active"], stored.get("rejected") or {}, stored.get("retirement") or {}
        desired = self.intend().desired
        return (
            desired.wanted.hash in {active["revision"], rejected.get("revision")}
            and retirement.get("phase") in {None, RetirementPhase.SUCCEEDED, RetirementPhase.FAILED}
            and self.selected == active["colour"]
            and self.fence is not None
            and self.fence.executors == (active["colour"],)
            and bool(self.slices[LIVE])
            and set(self.slices[LIVE]) <= set(self.colour_pods(active["colour"], ready=True))
            and all(label(self.pods[name], Label.REVISION) == active["revision"] for name in self.slices[LIVE])
        )


_DESIRED_STATES: dict[str, DesiredState] = {}


def _desired(engine: TradingEngine, seen: Observation) -> DesiredState:
    """Its desired state, which takes the longest of all to make: made once for all that it depends on."""
    known = [name for kind, name in seen.children if kind == "ControllerRevision"]  # named by their content
    secrets = [one["metadata"]["resourceVersion"] for one in seen.children_of("Secret")]
    status = engine.status
    cutover = status.cutover and status.cutover.model_copy(update={"message": "", "deadline": None})
    key = repr((engine.spec, status.active, cutover, status.previous, status.retirement, known, secrets))
    if key not in _DESIRED_STATES:
        _DESIRED_STATES[key] = build.build(engine, seen, SETTINGS, SEED)
    return _DESIRED_STATES[key]


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
