"""A TradingEngine through its API: changes of spec, conditions and cutovers in status."""

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from . import cutovers
from .cutovers import Cutover
from .errors import DemoError
from .kubectl import Kubectl, KubectlError, Object
from .waiting import POLL_SECONDS

READY_DEADLINE_SECONDS = 300.0
CUTOVER_DEADLINE_SECONDS = 300.0


@dataclass(frozen=True)
class Condition:
    """A condition observed for the newest generation of spec."""

    type: str
    status: str
    reason: str
    message: str


@dataclass(frozen=True)
class Engine:
    """A handle to one TradingEngine."""

    kubectl: Kubectl
    name: str
    namespace: str

    @property
    def url(self) -> str:
        """URL of the live Service inside the cluster."""
        return f"http://{self.name}-engine.{self.namespace}.svc.cluster.local"

    @property
    def credentials(self) -> str:
        """Name of the Secret that the operator generates."""
        return f"{self.name}-credentials"

    def read(self) -> Object:
        """The object. Raises DemoError when it does not exist."""
        found = self.kubectl.get("tradingengine", self.name, self.namespace)
        if found is None:
            raise DemoError(f"TradingEngine {self.name} in {self.namespace} does not exist.")
        return found

    def line(self) -> str:
        """The output of `kubectl get te -o wide`."""
        return self.kubectl.run("get", "te", self.name, "--namespace", self.namespace, "-o", "wide").rstrip()

    def condition(self, kind: str) -> Condition | None:
        return next((condition for condition in conditions(self.read()) if condition.type == kind), None)

    def changes(self, *, deadline: float = READY_DEADLINE_SECONDS) -> Iterator[Condition]:
        """Each condition as it changes, until Ready is True. Raises DemoError with the last Ready at the deadline."""
        last: dict[str, Condition] = {}
        for observed in self.watch(deadline=deadline):
            for condition in conditions(observed):
                if last.get(condition.type) != condition:
                    last[condition.type] = condition
                    yield condition
            if (ready := last.get("Ready")) and ready.status == "True":
                return
        ready = last.get("Ready")
        last_message = f"{ready.reason}: {ready.message}" if ready else "The operator has reported no condition."
        raise DemoError(f"TradingEngine {self.name} is not ready after {deadline:.0f} s. {last_message}")

    def watch(self, *, deadline: float) -> Iterator[Object]:
        """The object now and after each change, until the deadline. Retries while the API server is unavailable."""
        until = time.monotonic() + deadline
        command = ("get", "tradingengine", self.name, "--namespace", self.namespace, "--watch", "--output=json")
        while (left := until - time.monotonic()) > 0:
            try:
                yield from _objects(self.kubectl.lines(*command, deadline=left))
            except KubectlError:  # at the deadline, or while the API server is unavailable
                time.sleep(min(POLL_SECONDS, max(0.0, until - time.monotonic())))

    def set_version(self, version: str) -> None:
        """Set spec.version, which starts a cutover."""
        patch = json.dumps({"spec": {"version": version}})
        self.kubectl.run(
            "patch", "tradingengine", self.name, "--namespace", self.namespace, "--type=merge", f"--patch={patch}"
        )

    def cutover(self) -> Cutover | None:
        """The running or last cutover; None before the first."""
        return cutovers.from_engine(self.read())

    def cutover_to(self, version: str, *, deadline: float = CUTOVER_DEADLINE_SECONDS) -> Iterator[Cutover]:
        """Set spec.version and follow the cutover until it ends. Raises DemoError at the deadline."""
        before = self.cutover()
        self.set_version(version)
        last = None
        for last in cutovers.changes(self.watch(deadline=deadline), after=before.id if before else ""):
            yield last
        if last is None or not last.over:
            progress = f"It is in {last.phase}: {last.message}" if last else "The operator has not started it."
            raise DemoError(f"The cutover of {self.name} to {version} has not ended after {deadline:.0f} s. {progress}")

    def wait_until_previous(self, version: str, *, deadline: float) -> bool:
        """Wait until status.previous holds that version; returns whether it did before the deadline."""
        until = time.monotonic() + deadline
        while self.read().get("status", {}).get("previous", {}).get("version") != version:
            if time.monotonic() > until:
                return False
            time.sleep(POLL_SECONDS)
        return True

    def wait_until_ready(self, *, deadline: float = READY_DEADLINE_SECONDS) -> None:
        for _ in self.changes(deadline=deadline):
            pass

    def wait_for(self, kind: str, reason: str, *, deadline: float = READY_DEADLINE_SECONDS) -> Condition:
        """The condition once it has that reason. Raises DemoError at the deadline."""
        until = time.monotonic() + deadline
        while (condition := self.condition(kind)) is None or condition.reason != reason:
            if time.monotonic() > until:
                raise DemoError(
                    f"{kind} of TradingEngine {self.name} is not {reason} after {deadline:.0f} s: {condition}."
                )
            time.sleep(POLL_SECONDS)
        return condition


def conditions(engine: Object) -> list[Condition]:
    """The conditions observed for the newest generation of spec."""
    generation = engine["metadata"].get("generation")
    return [
        Condition(item["type"], item["status"], item["reason"], item["message"])
        for item in engine.get("status", {}).get("conditions", [])
        if item.get("observedGeneration") == generation
    ]


def _objects(lines: Iterable[str]) -> Iterator[Object]:
    """The objects of a watch: kubectl writes each over many lines and ends it with a line that is a bare brace."""
    text: list[str] = []
    for line in lines:
        text.append(line)
        if line == "}":
            yield json.loads("".join(text))
            text.clear()
