"""A simulated database with its fence, and the processes of the engine pods."""

from dataclasses import dataclass, field
from datetime import datetime

from rtx_operator.api.enums import Colour
from rtx_operator.api.names import Label
from rtx_operator.observation import Fence, Object, is_ready, restarts
from rtx_operator.operations.effects import Drain, MoveFence
from rtx_operator.pod_reports import EngineReport, Latency, ReachReport, ServedRequests, SmokeResult
from simulated_api import LIVE_SERVICE, NOON, Conflict, label
from simulated_patroni import Patroni

BOUNDS = (10.0, 100.0, 1000.0, float("inf"))


class Unreachable(Exception):  # noqa: N818
    """The database did not respond."""


@dataclass
class EngineProcess:
    """The state of the process in one engine pod."""

    websockets: int = 3
    draining: bool = False
    last_request: datetime = NOON
    epoch: int = 0  # of the fence move since which it executes
    requests: int = 0
    errors: int = 0
    slow: int = 0


@dataclass
class Engines(Patroni):
    """What the pods of both colours do, by the fence in the database."""

    uid: str = "uid-1"  # of the TradingEngine
    processes: dict[str, EngineProcess] = field(default_factory=dict)
    slices: dict[str, tuple[str, ...]] = field(default_factory=dict)
    fence: Fence | None = None
    earlier_fences: list[Fence] = field(default_factory=list)  # the rows before each move, which a failover may restore

    def colour_pods(self, colour: str, *, ready: bool = False) -> list[str]:
        """Names of the colour's pods that run and are not being deleted."""
        labelled = [
            name
            for name, pod in self.pods.items()
            if label(pod, Label.COLOUR) == colour and not is_ending(pod) and may_run(pod)
        ]
        return [name for name in labelled if is_ready(self.pods[name]) or not ready]

    def judge_move(self, effect: MoveFence) -> None:
        """Called before the fence moves."""

    # --- the database ---

    def move_fence(self, effect: MoveFence) -> None:
        """Move the fence, once per move. Raises Conflict for an outdated epoch, Unreachable without a database."""
        if self.has_fault("no database"):
            raise Unreachable("the database does not respond")
        fence = self.fence
        if fence is not None:
            current = (fence.cutover, fence.executors, fence.revisions)
            is_done = current == (effect.cutover, effect.executors, effect.revisions)
            if is_done and fence.epoch >= effect.known_epoch:
                return
            if effect.expected_epoch != fence.epoch:
                raise Conflict("the fence has changed")
            self.earlier_fences.append(fence)
        self.judge_move(effect)
        epoch = max(fence.epoch if fence else 0, effect.known_epoch) + 1
        self.fence = Fence(epoch, effect.executors, effect.cutover, f"trading/rtx/{self.uid}", effect.revisions)
        self._update_engines()

    def lose_move(self) -> None:
        """A failover to a replica without the last move of the fence."""
        if self.earlier_fences:
            self.fence = self.earlier_fences.pop()
            self._update_engines()

    def _update_engines(self) -> None:
        for name, process in self.processes.items():
            if self._executes(name):
                process.epoch = self.fence.epoch if self.fence else 0
                process.requests = process.errors = process.slow = 0
                process.draining = False

    def _executes(self, pod: str) -> bool:
        return self._is_named(self.pods[pod])

    def _is_named(self, pod: Object) -> bool:
        fence, revision = self.fence, label(pod, Label.REVISION)
        if fence is None or label(pod, Label.COLOUR) not in fence.executors:
            return False
        return fence.revisions is None or revision in fence.revisions

    # --- engine pods ---

    def drain(self, effect: Drain) -> None:
        """Start the drain of pods that do not execute, if the epoch is the fence's."""
        for pod in effect.pods:
            name = pod["metadata"]["name"]
            is_current = self.fence is not None and self.fence.epoch == effect.epoch
            if name in self.processes and is_current and not self._executes(name):
                self.processes[name].draining = True

    def report(self, name: str) -> EngineReport | str:
        process, fence, pod = self.processes[name], self.fence, self.pods[name]
        version = label(pod, Label.APP_VERSION)
        if self.has_fault("silent", version):
            return "no response within 2 s"
        executes = self._executes(name)
        fast = process.requests - process.slow
        latency = Latency(BOUNDS, (fast, 0, 0, process.slow))
        return EngineReport(
            pod=name,
            colour=label(pod, Label.COLOUR),
            version="0.9.0" if self.has_fault("wrong version", version) else version,
            revision=label(pod, Label.REVISION),
            epoch=fence.epoch if fence else None,
            executors=fence.executors if fence else (),
            executing=executes,
            draining=process.draining,
            ending=False,
            websockets=process.websockets,
            quiet_seconds=(self.now - process.last_request).total_seconds(),
            forwarded=0,
            drained_connections=0,
            executed=ServedRequests(process.epoch, process.requests, process.errors, latency) if executes else None,
        )

    def traffic(self) -> None:
        """Clients send requests to the pods in the EndpointSlices; pods that do not execute forward them."""
        receiving = [name for name in self.slices.get(LIVE_SERVICE, ()) if name in self.processes]
        if self.has_fault("no traffic"):
            receiving = []
        executing = [name for name in self.processes if self._executes(name) and is_ready(self.pods[name])]
        for name in receiving:
            self.processes[name].last_request = self.now
            if not self.processes[name].draining:
                self.processes[name].websockets = 3
        for name in executing if receiving else ():
            process, version = self.processes[name], label(self.pods[name], Label.APP_VERSION)
            process.requests += 30
            process.errors += 30 if self.has_fault("errors", version) else 0
            process.slow += 30 if self.has_fault("slow", version) else 0
        for process in self.processes.values():
            if process.draining:
                process.websockets = 0

    def crash(self, pod: str) -> None:
        """The pod's container ends and restarts; the pod is not ready until `run_pods`."""
        state = {"terminated": {"exitCode": 1, "finishedAt": "1970-01-01T00:00:00Z"}}  # by the node's clock
        count = restarts(self.pods[pod]) + 1
        container = {"name": "engine", "state": {"running": {}}, "lastState": state, "restartCount": count}
        last = {"containerStatuses": [container]}
        self.pods[pod] = {**self.pods[pod], "status": last}
        self.processes[pod] = self._process(self.pods[pod])

    def evict(self, pod: str) -> None:
        """The node evicts the pod: its object stays, but its process has ended."""
        self.pods[pod] = {**self.pods[pod], "status": {"phase": "Failed", "reason": "Evicted"}}
        self.processes.pop(pod)

    def _process(self, pod: Object) -> EngineProcess:
        epoch = self.fence.epoch if self.fence and self._is_named(pod) else 0
        return EngineProcess(last_request=self.now, epoch=epoch)

    def reach(self, name: str) -> ReachReport | str:
        other = Colour(label(self.pods[name], Label.COLOUR)).other
        reaches = bool(self.colour_pods(other, ready=True)) and not self.has_fault("reach")
        return ReachReport(reaches, other, "" if reaches else "no response")

    def smoke(self, name: str, colour: str) -> SmokeResult:
        ready = self.colour_pods(colour, ready=True)
        versions = {label(self.pods[pod], Label.APP_VERSION) for pod in ready}
        passed = bool(ready) and not any(self.has_fault("smoke", version) for version in versions)
        return SmokeResult(name, passed, "" if passed else "503")


def may_run(pod: Object) -> bool:
    """Whether the pod may run a process; an evicted pod does not, although its object stays."""
    return pod["status"].get("phase") not in {"Succeeded", "Failed"}


def is_ending(pod: Object) -> bool:
    return "deletionTimestamp" in pod["metadata"]
