"""Cutovers as tests drive and see them: ask for another version or other pods, wait for a phase, look at the end.

Times in `Cutover` dictionaries are those of the TradingEngine's status, RFC 3339; seconds here are this machine's.
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

OLD, NEW, BROKEN = "1.0.0", "1.1.0", "1.2.0-broken"
OVER = frozenset({"Succeeded", "RolledBack", "Failed"})
CUTOVER_DEADLINE = 180.0
INTERVAL = 0.3
COLOUR = "rtx-trading.com/colour"
# Far from the defaults, so that a cutover takes seconds; what is asked of it stays the same.
ROLLOUT: Object = {
    "drainTimeout": "2s",
    "monitor": {"duration": "3s", "maxErrorPercent": 1, "maxP99Milliseconds": 5000, "minimumRequests": 20},
    "keepPreviousFor": "1h",
    "smoke": [{"name": "health", "path": "/health"}, {"name": "symbols", "path": "/api/symbols"}],
}
WATCHED_LONGER: Object = {"monitor": {"duration": "10s"}}
TWO = {"minReplicas": 2, "maxReplicas": 2}
_sizes = itertools.count(513)


@contextmanager
def upgradable(sample: Sample, *beforehand: Object, **spec: Any) -> Iterator[Engine]:
    """A small engine of version 1.0.0 with a rollout of seconds."""
    rollout = {**ROLLOUT, **spec.pop("rollout", {})}
    with sample.temporary(*beforehand, **{"version": OLD, "scaling": TWO, "rollout": rollout, **spec}) as engine:
        yield engine


@dataclass
class Upgrades:
    """An engine that is upgraded, and what its status says of it."""

    engine: Engine
    last: str = field(default="")  # the cutover that `begin` found over
    phases: list[tuple[float, str]] = field(default_factory=list)  # Unix seconds when a phase was first seen, and it
    generation: int = 0  # of the spec, when its status was last seen

    @property
    def kubectl(self) -> Kubectl:
        return self.engine.kubectl

    # what somebody asks for

    def patch(self, **spec: Any) -> None:
        """Change fields of the spec; those that are objects are merged."""
        patched(self.engine, {"spec": spec})

    def ensure(self, version: str) -> None:
        """Have that version active, by an upgrade when it is not."""
        if self.status()["active"]["version"] != version:
            cutover = self.upgrade(version)
            assert cutover["phase"] == "Succeeded", cutover

    def begin(self, version: str = "", **spec: Any) -> None:
        """Ask for another version, or for other pods."""
        self.last = self.cutover().get("id", "")
        self.patch(**({"version": version} if version else {}), **spec)

    def restore(self, spec: Object) -> None:
        """Set fields of the spec to exactly these values: a merge would keep what was added to them."""
        there = self.engine.read()["spec"]
        changes = [
            {"op": "replace" if value is not None else "remove", "path": f"/spec/{field}", "value": value}
            for field, value in spec.items()
            if value is not None or field in there
        ]
        where = ("--namespace", self.engine.namespace, "--type=json")
        self.kubectl.run("patch", "tradingengine", self.engine.name, *where, f"--patch={json.dumps(changes)}")

    def retry(self) -> None:
        """Say that what was rejected is to be tried again."""
        self.last = self.cutover().get("id", "")
        note = f"rtx-trading.com/retry={time.time_ns()}"
        where = ("--namespace", self.engine.namespace, "--overwrite")
        self.kubectl.run("annotate", "tradingengine", self.engine.name, note, *where)

    def upgrade(self, version: str = "", *, deadline: float = CUTOVER_DEADLINE, **spec: Any) -> Object:
        """Ask for it and wait until its cutover is over; the cutover."""
        self.begin(version, **spec)
        return self.wait_until_over(deadline=deadline)

    # what is seen

    def status(self) -> Object:
        read = self.engine.read()
        found: Object = read.get("status", {})
        self.generation = read["metadata"].get("generation", 0)
        phase = (found.get("cutover") or {}).get("phase", "")
        if phase and (not self.phases or self.phases[-1][1] != phase):
            self.phases.append((time.time(), phase))
        return found

    def cutover(self) -> Object:
        found: Object = self.status().get("cutover") or {}
        return found

    def wait(self, holds: Callable[[Object], object], what: str, *, deadline: float = CUTOVER_DEADLINE) -> Object:
        """The status once `holds` is true of it; raises DemoError with the last one at the deadline."""
        until = time.monotonic() + deadline
        while True:
            try:
                status = self.status()
            except KubectlError:  # the API server may be what is away
                status = {}
            if holds(status):
                return status
            if time.monotonic() > until:
                raise DemoError(f"After {deadline:.0f} s there is still not: {what}. Status: {told(status)}")
            time.sleep(INTERVAL)

    def wait_for(self, *phases: str, deadline: float = CUTOVER_DEADLINE) -> Object:
        """The new cutover once it is in one of these phases."""

        def there(status: Object) -> bool:
            cutover = status.get("cutover") or {}
            return cutover.get("id", "") != self.last and cutover.get("phase") in phases

        found: Object = self.wait(there, f"a cutover in phase {' or '.join(phases)}", deadline=deadline)["cutover"]
        return found

    def wait_until_over(self, *, deadline: float = CUTOVER_DEADLINE) -> Object:
        return self.wait_for(*OVER, deadline=deadline)

    def settle(self, *, deadline: float = CUTOVER_DEADLINE) -> Object:
        """The status once nothing is left to be done for the spec as it is now: the operator has seen it."""

        def settled(status: Object) -> bool:
            told = status.get("conditions", [])
            by_type = {item["type"]: item for item in told if item.get("observedGeneration") == self.generation}
            is_ready = by_type.get("Ready", {}).get("status") == "True"
            return is_ready and by_type.get("Reconciling", {}).get("status") == "False"

        return self.wait(settled, "an engine at rest", deadline=deadline)

    # what is true, whatever the status says

    def selected(self) -> str:
        """The colour that the live Service names."""
        service = self.kubectl.get("service", f"{self.engine.name}-engine", self.engine.namespace) or {}
        colour: str = service.get("spec", {}).get("selector", {}).get(COLOUR, "")
        return colour

    def fence(self) -> Object:
        """The fence's row."""
        row = "SELECT row_to_json(f) FROM rtx_operator.execution_fence AS f;"
        found: Object = json.loads(database.psql(self.engine, row))
        return found

    def sizes(self) -> dict[str, int]:
        """Colour → replicas asked for."""
        found = self.kubectl.list("deployments", self.engine.namespace, "app.kubernetes.io/component=engine")
        return {item["metadata"]["labels"][COLOUR]: item["spec"]["replicas"] for item in found}

    def pods(self, colour: str) -> list[Object]:
        """A colour's pods that are not on their way out."""
        labels = f"app.kubernetes.io/component=engine,{COLOUR}={colour}"
        found = self.kubectl.list("pods", self.engine.namespace, labels)
        return [pod for pod in found if not pod["metadata"].get("deletionTimestamp")]

    def end_state(self) -> Object:
        """How it ended, with colours called active and idle: two ends of the same kind are equal."""
        status = self.settle()
        active = status["active"]["colour"]
        sizes = self.sizes()
        budget = self.kubectl.get("poddisruptionbudget", f"{self.engine.name}-engine", self.engine.namespace) or {}
        autoscaler = self.kubectl.get("horizontalpodautoscaler", f"{self.engine.name}-engine", self.engine.namespace)
        scales = (autoscaler or {}).get("spec", {}).get("scaleTargetRef", {}).get("name", "")
        protects = budget.get("spec", {}).get("selector", {}).get("matchLabels", {}).get(COLOUR, "")
        return {
            "phase": status["cutover"]["phase"],
            "reason": status["cutover"].get("reason", ""),
            "version": status["active"]["version"],
            "previous": (status.get("previous") or {}).get("version", ""),
            "rejected": (status.get("rejected") or {}).get("version", ""),
            "selects the active colour": self.selected() == active,
            "executors are the active colour": self.fence()["executors"] == [active],
            "active pods": sizes.pop(active),
            "idle pods": sum(sizes.values()),
            "autoscaler on the active colour": scales.endswith(active) if scales else None,
            "budget on the active colour": protects in {active, ""},
        }


def other_pods() -> Object:
    """A wish that changes nothing but the pods' shape: a little more memory each time."""
    return {"resources": {"limits": {"memory": f"{next(_sizes)}Mi"}}}


def other_colour(colour: str) -> str:
    return "green" if colour == "blue" else "blue"


def assert_whole(upgrades: Upgrades) -> Object:
    """The engine is at rest, with one colour that serves and executes; how it ended."""
    end = upgrades.end_state()
    assert end["selects the active colour"], end
    assert end["executors are the active colour"], end
    return end


def assert_succeeded(upgrades: Upgrades, cutover: Object) -> None:
    """That cutover succeeded and none followed it."""
    assert cutover["phase"] == "Succeeded", cutover
    assert_whole(upgrades)
    assert upgrades.cutover()["id"] == cutover["id"]


def assert_rejected(
    upgrades: Upgrades, reason: str, *, meanwhile: Callable[[], object] = lambda: None, **wish: object
) -> Object:
    """Ask for what cannot be: it goes back for that reason, nothing has moved, and the old wish is put back."""
    engine, selected, epoch = upgrades.engine, upgrades.selected(), upgrades.fence()["epoch"]
    before = engine.read()["spec"]
    upgrades.begin(**wish)
    meanwhile()
    cutover = upgrades.wait_until_over()
    assert (cutover["phase"], cutover["reason"]) == ("RolledBack", reason), cutover
    end = assert_whole(upgrades)
    assert (end["version"], upgrades.selected()) == (before["version"], selected)
    assert upgrades.fence()["epoch"] == epoch
    upgrades.restore({field: before.get(field) for field in wish})
    upgrades.settle()
    return cutover


def patched(engine: Engine, change: Object) -> None:
    """A merge patch of the TradingEngine, as a person would do it."""
    where = ("--namespace", engine.namespace, "--type=merge")
    engine.kubectl.run("patch", "tradingengine", engine.name, *where, f"--patch={json.dumps(change)}")


def told(status: Object) -> str:
    """The part of a status that says why something is not over."""
    conditions = [
        f"{item['type']}={item['status']} {item['reason']}: {item['message']}" for item in status.get("conditions", [])
    ]
    return json.dumps({"cutover": status.get("cutover"), "conditions": conditions}, indent=1)
