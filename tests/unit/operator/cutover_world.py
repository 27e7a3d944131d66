"""A simulated world in which an engine is upgraded: the cluster of simulated_cluster.py, its user, and the operator.

The operator's pure code runs unchanged: `reconcile` stands for controllers/, with the simulated cluster instead of I/O.
The laws of cutover_laws.py judge each write.
"""

import copy
import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any

from cutover_laws import Intent, Judged
from desired_states import SETTINGS, desired_state
from rtx_operator.api.engine import TradingEngine
from rtx_operator.api.enums import Colour, CutoverPhase, MaintenancePhase, RestorePhase, RetirementPhase
from rtx_operator.api.names import REFRESH, RETRY, Label
from rtx_operator.api.status import Asked
from rtx_operator.decision import conditions
from rtx_operator.decision.adoption import adopted
from rtx_operator.decision.decide import Decision, decide
from rtx_operator.decision.outcome import Outcome, status_after
from rtx_operator.desired import build
from rtx_operator.desired.state import DesiredState
from rtx_operator.observation import (
    FENCE_SCHEMA,
    FENCE_SCHEMA_NEEDS,
    FenceReport,
    FenceSchema,
    Object,
    Observation,
    is_recent,
)
from rtx_operator.operations.arbiter import queries
from rtx_operator.operations.effects import (
    Apply,
    Delete,
    Drain,
    Effect,
    Evict,
    ForgetCluster,
    KeepData,
    MoveFence,
    Scale,
    SwitchLog,
    SwitchOver,
    UpdateFence,
    objects_of,
)
from rtx_operator.results import Unmet
from simulated_api import LIVE_SERVICE, Conflict, label
from simulated_engines import Unreachable

__all__ = ["Conflict", "Intent", "Unreachable", "World", "copied", "installed"]

CREDENTIALS = {"data": dict.fromkeys(("DB_PASSWORD", "REDIS_PASSWORD", "JWT_SECRET", "ADMIN_PASSWORD_HASH"), "eA==")}


class Killed(Exception):  # noqa: N818
    """The operator's process has ended."""


@dataclass
class World(Judged):
    """An engine, its user, and the operator."""

    generation: int = 1
    engine_version: int = 1
    refresh_value: str = ""
    fence_schema: FenceSchema = field(default_factory=lambda: FenceSchema(FENCE_SCHEMA, FENCE_SCHEMA_NEEDS))
    slot_is_free: bool = True
    credentials: Object | None = field(default_factory=lambda: CREDENTIALS)  # the user's Secret
    last_observed: datetime | None = None  # time of the last observation by the current operator process
    cutovers: Iterator[int] = field(default_factory=itertools.count)

    # --- state for tests ---

    @property
    def phase(self) -> CutoverPhase | None:
        """The phase of the running cutover, or of the last one; None before the first."""
        cutover = self.stored.get("cutover")
        return CutoverPhase(cutover["phase"]) if cutover else None

    @property
    def active(self) -> Object:
        return dict(self.stored["active"])

    # --- the user ---

    def set_spec(self, **spec: Any) -> None:
        """Change fields of the spec, if they differ."""
        changed = {**self.spec, **spec}
        if changed != self.spec:
            self.user_requests += changed["version"] != self.spec.get("version")
            self.spec = changed
            self.generation += 1
            self.engine_version = self.next_version()

    def retry(self) -> None:
        """Give the retry annotation a new value."""
        self.user_requests += 1
        self.retry_value = f"{self.next_version()}"
        self.engine_version = self.version

    def refresh(self, value: str) -> None:
        """Give the refresh annotation this value."""
        self.user_requests += 1
        self.refresh_value = value
        self.engine_version = self.next_version()

    def lose_status(self) -> None:
        """A restore of the TradingEngine brings its spec back, without what the operator remembered of it."""
        self.status = "{}"
        self.rejected_at = ("", 0)
        self.engine_version = self.next_version()

    # --- the operator ---

    def manifest(self) -> Object:
        meta = {
            "namespace": "trading",
            "name": "rtx",
            "uid": self.uid,
            "generation": self.generation,
            "resourceVersion": str(self.engine_version),
            "annotations": {RETRY: self.retry_value, REFRESH: self.refresh_value},
        }
        return {"metadata": meta, "spec": self.spec, "status": self.stored}

    def intend(self) -> Intent:
        """Observe and decide, without performing the decision."""
        manifest = self.manifest()
        engine = TradingEngine.parse(manifest)
        gap = (self.now - self.last_observed).total_seconds() if self.last_observed else math.inf
        observation = replace(self.observe(engine), observed_recently=is_recent(gap))
        if observation.is_whole:
            self.last_observed = self.now
        engine = adopted(engine, observation, partial(build.wanted_revision, engine, observation, SETTINGS), self.now)
        desired = desired_state(engine, observation)
        decision = decide(engine, desired, observation, self.now, f"{engine.spec.version}-{next(self.cutovers):08x}")
        return Intent(manifest, engine, desired, observation, decision, self.now)

    def reconcile(self, *, killed_at: int | None = None) -> Decision | None:
        """One reconcile; the operator is killed before its step number `killed_at`, if it has that many.

        The steps are: each apply, delete and effect, then the write of the status.
        Returns the decision; None when the operator was killed, or the reconcile was interrupted.
        """
        intent = self.intend()
        self.judge_decision(intent)
        steps = iter(range(100))

        def step() -> None:
            if next(steps) == killed_at:
                raise Killed

        try:
            outcome = self.perform_decision(intent, step)
            step()
            self.write_status(intent, outcome)
            if outcome.is_complete:
                self.judge_performed(intent)
        except Killed:
            self.last_observed = None
            return None
        except Conflict:
            return None
        return intent.decision if outcome.is_complete else None

    def perform_decision(self, intent: Intent, step: Callable[[], None]) -> Outcome:
        """Stands for cluster/perform, and for the controller's handling of its errors."""
        decision = intent.decision
        try:
            return Outcome(self._carry_out(decision.commands(), intent, step))
        except Conflict:
            return Outcome(is_stale=True)
        except Unreachable as error:
            if decision.effects_first or decision.is_urgent:
                self._carry_out(decision.upkeep, intent, step)
            return Outcome(interruption=conditions.database_unreachable(str(error)))

    def _carry_out(self, effects: Iterable[Effect], intent: Intent, step: Callable[[], None]) -> Unmet | None:
        refusal = None
        for effect in effects:
            step()
            refused = self.perform(effect, intent)
            refusal = refusal or refused
        return refusal

    def perform(self, effect: Effect, intent: Intent) -> Unmet | None:
        """Perform one effect now, however long ago it was decided; returns the first refusal."""
        self.judge_effect(effect, intent)
        if isinstance(effect, Apply):
            refused = [self.apply(wanted) for wanted in objects_of(effect, intent.observation)]
            return next(filter(None, refused), None)
        if isinstance(effect, Delete):
            for obsolete in effect.objects:
                self.delete(obsolete)
        elif isinstance(effect, Evict):
            kept = [self.evict_server(pod) for pod in effect.pods]
            return next(filter(None, kept), None)
        elif isinstance(effect, Scale):
            self.scale(effect)
        elif isinstance(effect, KeepData):
            self.keep_data(effect)
        elif isinstance(effect, Drain):
            self.drain(effect)
        else:
            self._ask_database(effect)
        return None

    def _ask_database(self, effect: MoveFence | UpdateFence | SwitchOver | SwitchLog | ForgetCluster) -> None:
        if isinstance(effect, MoveFence):
            self.move_fence(effect)
        elif isinstance(effect, SwitchOver):
            self.switch_over(effect)
        elif isinstance(effect, ForgetCluster):
            self.forget_cluster()
        elif isinstance(effect, SwitchLog):
            self.log_switches += 1
        else:
            self.fence_schema = FenceSchema(FENCE_SCHEMA, FENCE_SCHEMA_NEEDS)

    def write_status(self, intent: Intent, outcome: Outcome) -> None:
        """Write the status after the reconcile. Raises Conflict when the engine has changed since it was read."""
        before = intent.manifest["status"]
        after = status_after(before, intent.engine, intent.desired, intent.decision, outcome, intent.now)
        if after is None or after == before:
            return
        if intent.manifest["metadata"]["resourceVersion"] != str(self.engine_version):
            raise Conflict("the TradingEngine has changed")
        self.judge_status(intent.manifest["status"], after)
        self.status = json.dumps(after)
        self.engine_version = self.next_version()

    # --- the operator's observation ---

    def observe(self, engine: TradingEngine) -> Observation:
        pod_queries = queries(engine)
        new = str(pod_queries.smoke or "")
        is_up = not self.has_fault("no database") and self.leader in self.servers()
        objects = Observation(
            children=dict(self.children),
            pods=tuple(self.pods.values()),
            endpoint_slices=tuple(self._slices()),
            credentials=self.credentials,
            volumes={"data": {}} if pod_queries.volume_of else None,
            maintenance_slot=self.slot_is_free,
            cutover_slot=True,
            refusals=dict(self.refusals),
        )
        if self.has_fault("late answers"):
            return replace(objects, database=FenceReport(error="it has not answered yet"), is_whole=False)
        return replace(
            objects,
            database=self._fence_report() if is_up else FenceReport(error="no response"),
            engines={name: self.report(name) for name in self._ready(pod_queries.reports)},
            reach={name: self.reach(name) for name in self._ready([pod_queries.reach] if pod_queries.reach else [])},
            smoke=tuple(self.smoke(test.name, new) for test in (pod_queries.tests if new else ())),
        )

    def _fence_report(self) -> FenceReport:
        return FenceReport(self.fence, schema=self.fence_schema if self.fence else None)

    def _ready(self, colours: Iterable[Colour]) -> list[str]:
        return [name for colour in colours for name in self.colour_pods(colour, ready=True)]

    def _slices(self) -> Iterator[Object]:
        for service, names in self.slices.items():
            ready = [name for name in names if name in self.pods]
            yield {
                "metadata": {"labels": {"kubernetes.io/service-name": service}},
                "endpoints": [{"conditions": {"ready": True}, "targetRef": {"name": name}} for name in ready],
            }

    # --- many reconciles ---

    def run_until(self, phase: CutoverPhase, reconciles: int = 40) -> bool:
        """Let cluster and operator act until the cutover enters `phase`; False after so many reconciles."""
        for _ in range(reconciles):
            before = self.stored.get("cutover", {})
            self.tick()
            self.reconcile()
            self.judge()
            after = self.stored.get("cutover", {})
            if after.get("phase") == phase and (before.get("id"), before.get("phase")) != (after["id"], phase):
                return True
        return False

    def settle(self, reconciles: int = 200, *, without: str = "") -> None:
        """Remove all faults, but for those of the version `without`, and reconcile until the engine settles.

        Raises LawViolationError if it does not.
        """
        self.faults = {fault for fault in self.faults if without and fault.endswith(f":{without}")}
        self.slot_is_free = True
        for name in [name for kind, name in self.children if kind == "Job"]:
            if self.children["Job", name]["status"].get("conditions", [{}])[0].get("type") == "Failed":
                del self.children["Job", name]  # the failure's message tells a person to delete it
        self.set_spec(paused=False)
        for _ in range(reconciles):
            self.tick()
            self.reconcile()
            self.judge()
            if self.is_settled():
                return
        self._must(False, f"the engine does not settle: {[c['message'] for c in self.stored['conditions']]}")

    def is_settled(self) -> bool:
        """Whether no operation runs, and the active colour executes and takes the traffic."""
        stored = self.stored
        if not stored.get("active") or (self.phase and not self.phase.is_terminal):
            return False
        if stored.get("restore") and not RestorePhase(stored["restore"]["phase"]).is_terminal:
            return False
        active, rejected, retirement = stored["active"], stored.get("rejected") or {}, stored.get("retirement") or {}
        desired = self.intend().desired
        return self._servers_are_settled(desired) and (
            desired.wanted.hash in {active["revision"], rejected.get("revision")}
            and retirement.get("phase") in {None, RetirementPhase.SUCCEEDED, RetirementPhase.FAILED}
            and self.selected == active["colour"]
            and self.fence is not None
            and self.fence.executors == (active["colour"],)
            and bool(self.slices[LIVE_SERVICE])
            and set(self.slices[LIVE_SERVICE]) <= set(self.colour_pods(active["colour"], ready=True))
            and all(label(self.pods[name], Label.REVISION) == active["revision"] for name in self.slices[LIVE_SERVICE])
        )

    def _servers_are_settled(self, desired: DesiredState) -> bool:
        """Whether no maintenance runs or is due, and each server's pod is of the recorded revision."""
        stored = self.stored
        maintenance = stored.get("maintenance")
        if maintenance and not MaintenancePhase(maintenance["phase"]).is_terminal:
            return False
        for server in desired.servers.values():
            made, pod = stored.get(server.component), self.pods.get(f"{server.workload.name}-0")
            if not made or not pod or label(pod, Label.REVISION) != made["revision"]:
                return False
            if server.asked.differs_from(Asked.model_validate(made["asked"])) and "failed" not in made:
                return False
        return True


def installed(**image_ids: str) -> World:
    """A world whose engine runs version 1.0.0 in blue, on nodes that report these ids of images."""
    world = World(image_ids=dict(image_ids))
    world.set_spec(
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
    """An independent copy."""
    return copy.deepcopy(world)
