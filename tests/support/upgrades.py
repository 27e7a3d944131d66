"""Tests drive and observe cutovers: change the spec, wait for a phase, check the end state.

A cutover is a dictionary: `status.cutover` of the TradingEngine, with times in RFC 3339. Seconds here are this
machine's.
"""

import itertools
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rtx_demo import database
from rtx_demo.engine import Engine
from rtx_demo.errors import DemoError
from rtx_demo.kubectl import Kubectl, KubectlError, Object
from rtx_demo.sample import Sample
from rtx_operator.api.enums import ConditionStatus, ConditionType, CutoverPhase, Reason, RetirementPhase

OLD_VERSION, NEW_VERSION, BROKEN_VERSION = "1.0.0", "1.1.0", "1.2.0-broken"
TERMINAL_PHASES = tuple(phase for phase in CutoverPhase if phase.is_terminal)
CUTOVER_DEADLINE_SECONDS = 180.0
POLL_INTERVAL_SECONDS = 0.3
COLOUR_LABEL = "rtx-trading.com/colour"
# Shorter than the defaults, so that a cutover takes seconds; every check still runs.
FAST_ROLLOUT: Object = {
    "drainTimeout": "2s",
    "monitor": {"duration": "3s", "maxErrorPercent": 1, "maxP99Milliseconds": 5000, "minimumRequests": 20},
    "keepPreviousFor": "1h",
    "smoke": [{"name": "health", "path": "/health"}, {"name": "symbols", "path": "/api/symbols"}],
}
LONG_MONITORING: Object = {"monitor": {"duration": "10s"}}
TWO_REPLICAS = {"minReplicas": 2, "maxReplicas": 2}
_memory_mib = itertools.count(513)  # each value makes a new revision


@contextmanager
def upgradable(sample: Sample, *beforehand: Object, **spec: Any) -> Iterator[Engine]:
    """Inside the block there is a small engine of OLD_VERSION with FAST_ROLLOUT, ready."""
    rollout = {**FAST_ROLLOUT, **spec.pop("rollout", {})}
    with sample.temporary(
        *beforehand, **{"version": OLD_VERSION, "scaling": TWO_REPLICAS, "rollout": rollout, **spec}
    ) as engine:
        yield engine


@dataclass
class Upgrades:
    """Upgrades one engine, and observes its cutovers in status."""

    engine: Engine
    last_cutover_id: str = field(default="")  # the cutover that was over when `begin` or `retry` was called
    phases: list[tuple[float, str]] = field(default_factory=list)  # when a phase was first observed (Unix s), the phase
    generation: int = 0  # of the spec, when its status was last read

    @property
    def kubectl(self) -> Kubectl:
        return self.engine.kubectl

    # Changes of the spec

    def patch(self, **spec: Any) -> None:
        """Change fields of the spec by a merge patch."""
        patch = json.dumps({"spec": spec})
        where = ("--namespace", self.engine.namespace, "--type=merge")
        self.kubectl.run("patch", "tradingengine", self.engine.name, *where, f"--patch={patch}")

    def ensure_version(self, version: str) -> None:
        """Upgrade to that version unless it is active."""
        if self.status()["active"]["version"] != version:
            cutover = self.upgrade(version)
            assert cutover["phase"] == CutoverPhase.SUCCEEDED, f"the upgrade to {version} did not succeed: {cutover}"

    def begin(self, version: str = "", **spec: Any) -> None:
        """Change the spec so that a cutover begins: another version, or other fields that change pods."""
        self.last_cutover_id = self.cutover().get("id", "")
        self.patch(**({"version": version} if version else {}), **spec)

    def reset_spec(self, spec: Object) -> None:
        """Replace fields of the spec by these values, None removes: a merge patch would keep added keys."""
        current = self.engine.read()["spec"]
        changes = [
            {"op": "replace" if value is not None else "remove", "path": f"/spec/{field}", "value": value}
            for field, value in spec.items()
            if value is not None or field in current
        ]
        where = ("--namespace", self.engine.namespace, "--type=json")
        self.kubectl.run("patch", "tradingengine", self.engine.name, *where, f"--patch={json.dumps(changes)}")

    def retry(self) -> None:
        """Request a retry of the rejected revision, by the annotation."""
        self.last_cutover_id = self.cutover().get("id", "")
        annotation = f"rtx-trading.com/retry={time.time_ns()}"
        where = ("--namespace", self.engine.namespace, "--overwrite")
        self.kubectl.run("annotate", "tradingengine", self.engine.name, annotation, *where)

    def upgrade(self, version: str = "", *, deadline: float = CUTOVER_DEADLINE_SECONDS, **spec: Any) -> Object:
        """Change the spec and wait until the cutover is over. Returns the cutover."""
        self.begin(version, **spec)
        return self.wait_until_over(deadline=deadline)

    # Observations of the status

    def status(self) -> Object:
        """The status, empty before the operator's first report; remembers the generation and the phase."""
        read = self.engine.read()
        found: Object = read.get("status", {})
        self.generation = read["metadata"].get("generation", 0)
        phase = (found.get("cutover") or {}).get("phase", "")
        if phase and (not self.phases or self.phases[-1][1] != phase):
            self.phases.append((time.time(), phase))
        return found

    def cutover(self) -> Object:
        """The cutover under way or the last one; empty before the first."""
        found: Object = self.status().get("cutover") or {}
        return found

    def wait(
        self, holds: Callable[[Object], object], what: str, *, deadline: float = CUTOVER_DEADLINE_SECONDS
    ) -> Object:
        """The status once `holds` is true of it; raises DemoError with the last status at the deadline (s)."""
        until = time.monotonic() + deadline
        while True:
            try:
                status = self.status()
            except KubectlError:  # tests stop the API server, too
                status = {}
            if holds(status):
                return status
            if time.monotonic() > until:
                raise DemoError(f"After {deadline:.0f} s there is still not: {what}. Status: {_summary(status)}")
            time.sleep(POLL_INTERVAL_SECONDS)

    def wait_for_phase(self, *phases: CutoverPhase, deadline: float = CUTOVER_DEADLINE_SECONDS) -> Object:
        """The new cutover once it is in one of these phases; raises DemoError at the deadline (s)."""

        def reached(status: Object) -> bool:
            cutover = status.get("cutover") or {}
            return cutover.get("id", "") != self.last_cutover_id and cutover.get("phase") in phases

        found: Object = self.wait(reached, f"a cutover in phase {' or '.join(phases)}", deadline=deadline)["cutover"]
        return found

    def wait_until_over(self, *, deadline: float = CUTOVER_DEADLINE_SECONDS) -> Object:
        """The new cutover once it is in a terminal phase; raises DemoError at the deadline (s)."""
        return self.wait_for_phase(*TERMINAL_PHASES, deadline=deadline)

    def wait_until_reconciled(self, *, deadline: float = CUTOVER_DEADLINE_SECONDS) -> Object:
        """The status once the operator has observed the present spec, is Ready and no longer Reconciling."""

        def reconciled(status: Object) -> bool:
            by_type = {
                condition["type"]: condition["status"]
                for condition in status.get("conditions", [])
                if condition.get("observedGeneration") == self.generation
            }
            is_ready: bool = by_type.get(ConditionType.READY) == ConditionStatus.TRUE
            return is_ready and by_type.get(ConditionType.RECONCILING) == ConditionStatus.FALSE

        return self.wait(reconciled, "an engine that is Ready and no longer Reconciling", deadline=deadline)

    # The objects themselves, whatever the status reports

    def selected_colour(self) -> str:
        """The colour that the live Service selects."""
        service = self.kubectl.get("service", f"{self.engine.name}-engine", self.engine.namespace) or {}
        colour: str = service.get("spec", {}).get("selector", {}).get(COLOUR_LABEL, "")
        return colour

    def fence(self) -> Object:
        """The row of the execution fence."""
        row = "SELECT row_to_json(f) FROM rtx_operator.execution_fence AS f;"
        found: Object = json.loads(database.psql(self.engine, row))
        return found

    def replicas(self) -> dict[str, int]:
        """Colour → spec.replicas of its Deployment."""
        found = self.kubectl.list("deployments", self.engine.namespace, "app.kubernetes.io/component=engine")
        return {item["metadata"]["labels"][COLOUR_LABEL]: item["spec"]["replicas"] for item in found}

    def pods(self, colour: str) -> list[Object]:
        """A colour's pods that are not terminating."""
        labels = f"app.kubernetes.io/component=engine,{COLOUR_LABEL}={colour}"
        found = self.kubectl.list("pods", self.engine.namespace, labels)
        return [pod for pod in found if not pod["metadata"].get("deletionTimestamp")]

    def end_state(self) -> Object:
        """How a cutover ended, in terms of active and idle: equal for equal ends, whichever colour is active."""
        status = self.wait_until_reconciled()
        active = status["active"]["colour"]
        replicas = self.replicas()
        budget = self.kubectl.get("poddisruptionbudget", f"{self.engine.name}-engine-{active}", self.engine.namespace)
        autoscaler = self.kubectl.get("horizontalpodautoscaler", f"{self.engine.name}-engine", self.engine.namespace)
        scales = (autoscaler or {}).get("spec", {}).get("scaleTargetRef", {}).get("name", "")
        return {
            "phase": status["cutover"]["phase"],
            "reason": status["cutover"].get("reason", ""),
            "version": status["active"]["version"],
            "previous": (status.get("previous") or {}).get("version", ""),
            "rejected": (status.get("rejected") or {}).get("version", ""),
            "selects the active colour": self.selected_colour() == active,
            "executors are the active colour": self.fence()["executors"] == [active],
            "active pods": replicas.pop(active),
            "idle pods": sum(replicas.values()),
            "autoscaler on the active colour": scales.endswith(active) if scales else None,
            "budget on the active colour": budget is not None,
        }


def retirement_is_under_way(status: Object) -> bool:
    """Whether the previous colour is being removed."""
    retirement = status.get("retirement") or {}
    return "phase" in retirement and not RetirementPhase(retirement["phase"]).is_terminal


def new_revision() -> Object:
    """Fields of a spec that make another revision of the same version: a little more memory each time."""
    return {"resources": {"limits": {"memory": f"{next(_memory_mib)}Mi"}}}


def other_colour(colour: str) -> str:
    return "green" if colour == "blue" else "blue"


def assert_consistent(upgrades: Upgrades) -> Object:
    """One colour is active, serves and executes, and nothing is left to reconcile. Returns the end state."""
    end = upgrades.end_state()
    assert end["selects the active colour"], f"the live Service does not select the active colour: {end}"
    assert end["executors are the active colour"], f"the fence does not name the active colour alone: {end}"
    return end


def assert_succeeded(upgrades: Upgrades, cutover: Object) -> None:
    """The cutover succeeded, and no other one followed it."""
    assert cutover["phase"] == CutoverPhase.SUCCEEDED, f"the cutover did not succeed: {cutover}"
    assert_consistent(upgrades)
    assert upgrades.cutover()["id"] == cutover["id"], "another cutover followed the one that succeeded"


def assert_rejected(
    upgrades: Upgrades, reason: Reason, *, during: Callable[[], object] = lambda: None, **change: Any
) -> Object:
    """A cutover by this change of the spec rolls back for that reason before the switch; then reset the spec.

    `during` is called once the spec is changed. Returns the cutover.
    """
    engine, selected, epoch = upgrades.engine, upgrades.selected_colour(), upgrades.fence()["epoch"]
    before = engine.read()["spec"]
    upgrades.begin(**change)
    during()
    cutover = upgrades.wait_until_over()
    assert (cutover["phase"], cutover["reason"]) == (CutoverPhase.ROLLED_BACK, reason), f"another outcome: {cutover}"
    end = assert_consistent(upgrades)
    assert end["version"] == before["version"], f"another version is active after the rollback: {end}"
    assert upgrades.selected_colour() == selected, "the live Service selects another colour after the rollback"
    assert upgrades.fence()["epoch"] == epoch, "the fence moved although nothing was switched"
    upgrades.reset_spec({field: before.get(field) for field in change})
    upgrades.wait_until_reconciled()
    return cutover


def _summary(status: Object) -> str:
    """The cutover and the conditions of a status, as JSON."""
    conditions = [
        f"{item['type']}={item['status']} {item['reason']}: {item['message']}" for item in status.get("conditions", [])
    ]
    return json.dumps({"cutover": status.get("cutover"), "conditions": conditions}, indent=1)
