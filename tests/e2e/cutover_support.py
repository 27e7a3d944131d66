"""Cutovers as tests drive and see them: bump a version under load, break something at a named instant, look at the end.

Times in `Cutover` dictionaries are those of the TradingEngine's status, RFC 3339; seconds here are this machine's.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from operator_support import holder
from rtx_demo import database, installation
from rtx_demo.engine import Engine
from rtx_demo.errors import DemoError
from rtx_demo.kubectl import Kubectl, KubectlError, Object
from rtx_demo.sample import Sample
from rtx_demo.traffic import Settings, Traffic, Watch
from rtx_traffic.stages import Stage
from rtx_traffic.verdict import Verdict, judge

OLD, NEW, BROKEN = "1.0.0", "1.1.0", "1.2.0-broken"
OVER = frozenset({"Succeeded", "RolledBack", "Failed"})
CUTOVER_DEADLINE = 180.0
INTERVAL = 0.3
COLOUR = "rtx-trading.com/colour"
CRASH_FILE = "/tmp/crash"  # noqa: S108  in the operator's pod; manifests/local names it
# Far from the defaults, so that a cutover takes seconds; what is asked of it stays the same.
ROLLOUT: Object = {
    "drainTimeout": "2s",
    "monitor": {"duration": "3s", "maxErrorPercent": 1, "maxP99Milliseconds": 5000, "minimumRequests": 20},
    "keepPreviousFor": "1h",
    "smoke": [{"name": "health", "path": "/health"}, {"name": "symbols", "path": "/api/symbols"}],
}
TWO = {"minReplicas": 2, "maxReplicas": 2}
LOAD = Settings(rate=100, keep_alive=16, new_per_second=20, sockets=12, accounts=8, duration=0, pods=2)


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

    @property
    def kubectl(self) -> Kubectl:
        return self.engine.kubectl

    # what somebody asks for

    def patch(self, **spec: Any) -> None:
        """Change fields of the spec; those that are objects are merged."""
        patched(self.engine, {"spec": spec})

    def begin(self, version: str = "", **spec: Any) -> None:
        """Ask for another version, or for other pods."""
        self.last = self.cutover().get("id", "")
        self.patch(**({"version": version} if version else {}), **spec)

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
        found: Object = self.engine.read().get("status", {})
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
        """The status once nothing is left to be done."""

        def settled(status: Object) -> bool:
            by_type = {condition["type"]: condition for condition in status.get("conditions", [])}
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


@dataclass
class Load:
    """A load that goes on from here to `verdict`."""

    traffic: Traffic
    watch: Watch

    def failed(self) -> int:
        """Failed requests up to now, as the traffic pods say."""
        return self.watch.progress().failed

    def verdict(self, *, broken: str = "") -> Verdict:
        """End it and judge all of it; what the version `broken` answered with 5xx is counted apart."""
        self.traffic.stop()
        self.watch.wait_until_ended()
        ledger = self.traffic.ledger()
        whole = [Stage("all", float("-inf"), float("inf"), broken)] if broken else []
        return judge(ledger, database.rows(self.traffic.engine, ledger), whole)


@contextmanager
def load(engine: Engine, settings: Settings = LOAD) -> Iterator[Load]:
    """A load on the engine's live Service, sending by now."""
    traffic = Traffic(engine.kubectl, engine, settings)
    traffic.start()
    try:
        with traffic.watching() as watch:
            watch.wait_until_sending()
            yield Load(traffic, watch)
    finally:
        traffic.remove()


def assert_kept(verdict: Verdict) -> None:
    """No request failed, no order was lost or doubled, no WebSocket missed an event, and only executors executed."""
    assert verdict.findings == ()
    assert verdict.kept
    assert verdict.orders_acknowledged > 0


# the operator, broken at a named instant


def leader_pod(kubectl: Kubectl) -> str:
    """The pod that leads; raises DemoError when none does for a minute."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        leader = installation.leader(kubectl)
        if any(pod["metadata"]["name"] == leader for pod in installation.pods(kubectl)):
            return leader
        time.sleep(INTERVAL)
    raise DemoError("No replica of the operator has led for a minute.")


def arm(kubectl: Kubectl, pod: str, moment: str) -> None:
    """Have the operator's process in that pod end itself at `moment`, such as "before Switching/MoveFence"."""
    write = f"printf %s '{moment}' > {CRASH_FILE}.half && mv {CRASH_FILE}.half {CRASH_FILE}"
    kubectl.run("exec", pod, "--namespace", installation.NAMESPACE, "--", "sh", "-c", write)


def disarm(kubectl: Kubectl) -> None:
    for pod in installation.pods(kubectl):
        where = ("exec", pod["metadata"]["name"], "--namespace", installation.NAMESPACE)
        try:
            kubectl.run(*where, "--", "rm", "-f", CRASH_FILE)
        except KubectlError:  # a pod that is on its way out
            continue


def led_by_another(kubectl: Kubectl, than: str, *, deadline: float = 60) -> str:
    """The Lease's holder once it is somebody else."""
    until = time.monotonic() + deadline
    while (now := holder(kubectl)) in {"", than}:
        if time.monotonic() > until:
            raise DemoError(f"After {deadline:.0f} s {than} still holds the Lease.")
        time.sleep(INTERVAL)
    return now


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
