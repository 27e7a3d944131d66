"""Just enough of a cluster: an API server, its controllers, a database with its fence, engine pods that answer.

Nothing happens by itself: each controller has a method that lets it act once, so a test decides who is late.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from rtx_operator.api.enums import Colour
from rtx_operator.api.names import Label
from rtx_operator.desired.state import JOB_LABEL
from rtx_operator.observation import Fence, Object, is_ready
from rtx_operator.operations.effects import Drain, MoveFence, Scale
from rtx_operator.pod_reports import EngineReport, Latency, ReachReport, ServedRequests, SmokeResult

OWNER = "trading/rtx/uid-1"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LIVE = "rtx-engine"
BOUNDS = (10.0, 100.0, 1000.0, float("inf"))


class Conflict(Exception):  # noqa: N818
    """The object, or the fence, is not any more what was seen: observe again."""


class Unreachable(Exception):  # noqa: N818
    """The database gave no answer."""


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
class Cluster:
    """`faults` hold until they are taken out: a word, or `word:version`."""

    now: datetime = NOON
    version: int = 1  # the resourceVersion that was given last
    children: dict[tuple[str, str], Object] = field(default_factory=dict)
    pods: dict[str, Object] = field(default_factory=dict)
    processes: dict[str, EngineProcess] = field(default_factory=dict)
    slices: dict[str, tuple[str, ...]] = field(default_factory=dict)
    fence: Fence | None = None
    lost: list[Fence] = field(default_factory=list)  # rows before each move: what a failover may fall back to
    faults: set[str] = field(default_factory=set)
    names: Iterator[int] = field(default_factory=itertools.count)

    @property
    def selected(self) -> str:
        """The colour that the live Service selects."""
        service = self.children.get(("Service", LIVE))
        return str(service["spec"]["selector"][Label.COLOUR.value]) if service else ""

    def colour_pods(self, colour: str, *, ready: bool = False) -> list[str]:
        """Its pods that run and are not on their way out."""
        labelled = [
            name
            for name, pod in self.pods.items()
            if label(pod, Label.COLOUR) == colour and not _is_ending(pod) and may_run(pod)
        ]
        return [name for name in labelled if is_ready(self.pods[name]) or not ready]

    def has(self, fault: str, version: str = "") -> bool:
        return fault in self.faults or f"{fault}:{version}" in self.faults

    # --- what the laws are asked about; cutover_laws.py has them ---

    def judge_scale(self, live: Object, replicas: int) -> None:
        """A Deployment is to get another size."""

    def judge_service(self, before: Object | None, after: Object) -> None:
        """The live Service has changed."""

    def judge_move(self, effect: MoveFence) -> None:
        """The fence is to move."""

    def judge_delete(self, key: tuple[str, str]) -> None:
        """An object is to be deleted."""

    # --- the API server ---

    def apply(self, wanted: Object) -> None:
        """A resourceVersion in it guards the write, as at the API server."""
        guard = wanted["metadata"].get("resourceVersion", "")
        key = (wanted["kind"], wanted["metadata"]["name"])
        live = self.children.get(key)
        if live is None:
            meta = {"uid": f"uid-{self.next_version()}", "generation": 1, "creationTimestamp": _time(self.now)}
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
        self.judge_delete(key)
        del self.children[key]
        if seen["kind"] == "Job":
            self.pods = {name: pod for name, pod in self.pods.items() if label(pod, JOB_LABEL) != key[1]}

    def _store(self, key: tuple[str, str], wanted: Object) -> None:
        live = self.children.get(key)
        if live and {**live, "metadata": _content(live)} == {**wanted, "metadata": _content(wanted)}:
            return
        generation = wanted["metadata"]["generation"]
        if live and live.get("spec") != wanted.get("spec"):
            generation += 1
        meta = {**wanted["metadata"], "generation": generation, "resourceVersion": str(self.next_version())}
        self.children[key] = {**wanted, "metadata": meta}
        if key == ("Service", LIVE):
            self.judge_service(live, self.children[key])

    def next_version(self) -> int:
        self.version += 1
        return self.version

    # --- the database ---

    def move_fence(self, effect: MoveFence) -> None:
        if self.has("no database"):
            raise Unreachable("the database is away")
        fence = self.fence
        if fence is not None:
            there = (fence.cutover, fence.executors, fence.revisions)
            mine = there == (effect.cutover, effect.executors, effect.revisions)
            if mine and fence.epoch >= effect.known_epoch:
                return
            if effect.expected_epoch != fence.epoch:
                raise Conflict("the fence has changed")
            self.lost.append(fence)
        self.judge_move(effect)
        epoch = max(fence.epoch if fence else 0, effect.known_epoch) + 1
        self.fence = Fence(epoch, effect.executors, effect.cutover, OWNER, self.now, effect.revisions)
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
        return self._is_named(self.pods[pod])

    def _is_named(self, pod: Object) -> bool:
        fence, revision = self.fence, label(pod, Label.REVISION)
        if fence is None or label(pod, Label.COLOUR) not in fence.executors:
            return False
        return fence.revisions is None or revision in fence.revisions

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
            colour=label(pod, Label.COLOUR),
            version=label(pod, Label.APP_VERSION),
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
        """Clients ask each pod that the EndpointSlices name; who does not execute hands on to those who do."""
        asked = [name for name in self.slices.get(LIVE, ()) if name in self.processes]
        executing = [name for name in self.processes if self._executes(name) and is_ready(self.pods[name])]
        for name in asked:
            self.processes[name].last_request = self.now
            if not self.processes[name].draining:
                self.processes[name].websockets = 3
        for name in executing if asked else ():
            process, version = self.processes[name], label(self.pods[name], Label.APP_VERSION)
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

    def evict(self, pod: str) -> None:
        """The node evicts the pod: its object stays, and nothing of it runs any more."""
        self.pods[pod] = {**self.pods[pod], "status": {"phase": "Failed", "reason": "Evicted"}}
        self.processes.pop(pod)

    def _process(self, pod: Object) -> EngineProcess:
        epoch = self.fence.epoch if self.fence and self._is_named(pod) else 0
        return EngineProcess(last_request=self.now, epoch=epoch)

    def reach(self, name: str) -> ReachReport | str:
        other = Colour(label(self.pods[name], Label.COLOUR)).other
        reaches = bool(self.colour_pods(other, ready=True)) and not self.has("reach")
        return ReachReport(reaches, other, "" if reaches else "no answer")

    def smoke(self, name: str, colour: str) -> SmokeResult:
        ready = self.colour_pods(colour, ready=True)
        versions = {label(self.pods[pod], Label.APP_VERSION) for pod in ready}
        passed = bool(ready) and not any(self.has("smoke", version) for version in versions)
        return SmokeResult(name, passed, "" if passed else "503")

    # --- controllers, each of which acts once ---

    def tick(self, seconds: float = 1) -> None:
        """Time passes, nobody is late, and clients ask."""
        self.now += timedelta(seconds=seconds)
        self.end_pods()
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
                current.append(self._new_pod(key[1], labels, live["spec"]["template"]["spec"]))
            ready = [name for name in current if is_ready(self.pods[name])]
            spare = max(0, len(ready) + len(others) - size)
            for name in [*others[:spare], *current[size:]]:
                meta = {**self.pods[name]["metadata"], "deletionTimestamp": _time(self.now)}
                self.pods[name] = {**self.pods[name], "metadata": meta}
            left = [name for name in current[:size] if name in ready]
            kept = [name for name in others[spare:] if is_ready(self.pods[name])]
            self._report_pods(key, self.children[key], len(left) + len(kept), len(current[:size]))

    def _new_pod(self, owner: str, labels: Object, spec: Object) -> str:
        name = f"{owner}-{next(self.names)}"
        self.pods[name] = {"metadata": {"name": name, "labels": labels}, "spec": spec, "status": {}}
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
                ready = not self.has("unready", label(pod, Label.APP_VERSION))
                condition = {"type": "Ready", "status": "True" if ready else "False"}
                self.pods[name] = {**pod, "status": {**pod["status"], "conditions": [condition]}}

    def end_pods(self) -> None:
        """Pods that are on their way out are gone."""
        for name in [name for name, pod in self.pods.items() if _is_ending(pod)]:
            del self.pods[name]
            self.processes.pop(name, None)

    def run_jobs(self) -> None:
        """Jobs end, one way or the other."""
        for key, job in list(self.children.items()):
            if key[0] != "Job" or job["status"].get("conditions") or self.has("jobs hang"):
                continue
            fails = self.has("migration", label(job, Label.APP_VERSION))
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


def label(labelled: Object, key: str) -> str:
    return str(labelled["metadata"].get("labels", {}).get(str(key), ""))


def may_run(pod: Object) -> bool:
    """An evicted pod runs nothing any more, though its object stays."""
    return pod["status"].get("phase") not in {"Succeeded", "Failed"}


def _is_ending(pod: Object) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def _content(stored: Object) -> Object:
    changing = {"resourceVersion", "generation"}
    return {name: value for name, value in stored["metadata"].items() if name not in changing}


def _time(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")
