"""A simulated cluster: the API server, controllers, the database with its fence, and engine pods.

Nothing happens by itself: each controller acts once per call of its method, so a test controls which one is late.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from rtx_operator.api.enums import Colour, Component, Reason
from rtx_operator.api.names import Label
from rtx_operator.desired.state import JOB_LABEL
from rtx_operator.observation import Fence, Object, is_ready, restarts
from rtx_operator.operations.effects import Drain, KeepData, MoveFence, Scale
from rtx_operator.pod_reports import EngineReport, Latency, ReachReport, ServedRequests, SmokeResult
from rtx_operator.results import Failure

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LIVE_SERVICE = "rtx-engine"
BOUNDS = (10.0, 100.0, 1000.0, float("inf"))


class Conflict(Exception):  # noqa: N818
    """The object, or the fence, has changed since it was observed."""


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
class Cluster:
    """`faults` stay until removed; each is `name`, or `name:version` for the pods or Jobs of one version.

    With the fault `quota:KIND` no further object of that kind can be made; with `refused:KIND` none can be changed
    either.
    """

    now: datetime = NOON
    uid: str = "uid-1"  # of the TradingEngine
    ran: float = 0.0  # seconds in which the engine was not known to be paused
    version: int = 1  # the last resourceVersion
    children: dict[tuple[str, str], Object] = field(default_factory=dict)
    pods: dict[str, Object] = field(default_factory=dict)
    processes: dict[str, EngineProcess] = field(default_factory=dict)
    slices: dict[str, tuple[str, ...]] = field(default_factory=dict)
    fence: Fence | None = None
    earlier_fences: list[Fence] = field(default_factory=list)  # the rows before each move, which a failover may restore
    faults: set[str] = field(default_factory=set)
    made_of: dict[str, Object] = field(default_factory=dict)  # the template of each StatefulSet's pod
    refusals: dict[tuple[str, str], Failure] = field(default_factory=dict)  # of the last writes
    image_ids: dict[str, str] = field(default_factory=dict)  # that nodes report, by image
    names: Iterator[int] = field(default_factory=itertools.count)

    @property
    def selected(self) -> str:
        """The colour that the live Service selects."""
        service = self.children.get(("Service", LIVE_SERVICE))
        return str(service["spec"]["selector"][Label.COLOUR.value]) if service else ""

    def colour_pods(self, colour: str, *, ready: bool = False) -> list[str]:
        """Names of the colour's pods that run and are not being deleted."""
        labelled = [
            name
            for name, pod in self.pods.items()
            if label(pod, Label.COLOUR) == colour and not _is_ending(pod) and may_run(pod)
        ]
        return [name for name in labelled if is_ready(self.pods[name]) or not ready]

    def has_fault(self, fault: str, version: str = "") -> bool:
        return fault in self.faults or f"{fault}:{version}" in self.faults

    def is_paused(self) -> bool:
        """Whether the engine's status says that it is paused."""
        return False

    # --- hooks for the laws in cutover_laws.py ---

    def judge_scale(self, live: Object, replicas: int) -> None:
        """Called before a Deployment gets another size."""

    def judge_template(self, live: Object, wanted: Object) -> None:
        """Called before a Deployment is applied."""

    def judge_service(self, before: Object | None, after: Object) -> None:
        """Called after a change of the live Service."""

    def judge_move(self, effect: MoveFence) -> None:
        """Called before the fence moves."""

    def judge_server_pod(self, pod: Object) -> None:
        """Called before the pod of a database or cache is taken away."""

    def judge_delete(self, key: tuple[str, str]) -> None:
        """Called before an object is deleted."""

    # --- the API server ---

    def apply(self, wanted: Object) -> Failure | None:
        """Server-side apply; returns its refusal.

        Raises Conflict when `wanted` has another resourceVersion than the live object.
        """
        guard = wanted["metadata"].get("resourceVersion", "")
        key = (wanted["kind"], wanted["metadata"]["name"])
        live = self.children.get(key)
        if self.has_fault(f"refused:{key[0]}") or (live is None and self.has_fault(f"quota:{key[0]}")):
            words = f"the API server refuses {key[0]} {key[1]}: exceeded quota: few"
            self.refusals[key] = Failure(words, Reason.QUOTA_EXCEEDED)
            return self.refusals[key]
        self.refusals.pop(key, None)
        if live is None:
            meta = {"uid": f"uid-{self.next_version()}", "generation": 1, "creationTimestamp": _time(self.now)}
            spec = {"replicas": 1} if wanted["kind"] == "Deployment" else {}
            live = {"kind": wanted["kind"], "metadata": meta, "spec": spec, "status": {}}
        elif guard and guard != live["metadata"]["resourceVersion"]:
            raise Conflict(f"{key} has changed")
        merged = {**live, **wanted, "metadata": {**live["metadata"], **wanted["metadata"]}, "status": live["status"]}
        if wanted["kind"] == "Deployment":
            if live["spec"].get("template") != wanted["spec"]["template"]:
                merged["status"] = {**live["status"], "conditions": []}
            self.judge_template(live, wanted)
            merged["spec"] = {**wanted["spec"], "replicas": live["spec"]["replicas"]}
        self._store(key, merged)
        return None

    def scale(self, effect: Scale) -> None:
        """Set the size of a Deployment. Raises Conflict when it has changed since it was observed."""
        meta = effect.deployment["metadata"]
        live = self.children.get(("Deployment", meta["name"]))
        if live is None or live["metadata"]["resourceVersion"] != meta["resourceVersion"]:
            raise Conflict(f"Deployment {meta['name']} has changed")
        self.judge_scale(live, effect.replicas)
        self._store(("Deployment", meta["name"]), {**live, "spec": {**live["spec"], "replicas": effect.replicas}})

    def delete(self, observed: Object) -> None:
        """Delete the object with the uid of `observed`, and the pods of a Job."""
        key = (observed["kind"], observed["metadata"]["name"])
        live = self.children.get(key)
        if live is None or live["metadata"]["uid"] != observed["metadata"]["uid"]:
            return
        self.judge_delete(key)
        del self.children[key]
        if observed["kind"] == "Job":
            self.pods = {name: pod for name, pod in self.pods.items() if label(pod, JOB_LABEL) != key[1]}

    def keep_data(self, effect: KeepData) -> None:
        """Merge what keeps data into objects that would be deleted with the engine."""
        for live in effect.objects:
            key = (live["kind"], live["metadata"]["name"])
            if live["metadata"]["resourceVersion"] != self.children[key]["metadata"]["resourceVersion"]:
                raise Conflict(f"{key} has changed")
            owned, policy = {"ownerReferences": []}, {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain"}}
            merged = {**live, "metadata": {**live["metadata"], **owned}}
            self._store(key, merged if key[0] == "Secret" else {**live, "spec": {**live["spec"], **policy}})

    def _store(self, key: tuple[str, str], wanted: Object) -> None:
        live = self.children.get(key)
        if live and {**live, "metadata": _content(live)} == {**wanted, "metadata": _content(wanted)}:
            return
        generation = wanted["metadata"]["generation"]
        if live and live.get("spec") != wanted.get("spec"):
            generation += 1
        meta = {**wanted["metadata"], "generation": generation, "resourceVersion": str(self.next_version())}
        self.children[key] = {**wanted, "metadata": meta}
        if key == ("Service", LIVE_SERVICE):
            self.judge_service(live, self.children[key])

    def next_version(self) -> int:
        self.version += 1
        return self.version

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

    # --- controllers; each acts once per call ---

    def tick(self, seconds: float = 1) -> None:
        """Advance the time, let every controller act, and let clients send requests."""
        self.now += timedelta(seconds=seconds)
        self.ran += 0.0 if self.is_paused() else seconds
        self.end_pods()
        self.run_deployments()
        self.run_pods()
        self.run_deployments()
        self.run_jobs()
        self.run_endpoints()
        self.traffic()

    def run_deployments(self) -> None:
        """The Deployment controller: RollingUpdate with maxSurge 1 and maxUnavailable 0."""
        for key, live in list(self.children.items()):
            if key[0] == "StatefulSet":
                self._claim(f"data-{key[1]}-0")
                self._run_stateful_set(key, live)
            if key[0] != "Deployment":
                continue
            size, labels = live["spec"]["replicas"], live["spec"]["template"]["metadata"]["labels"]
            owned = self.colour_pods(labels[Label.COLOUR.value])
            current = [name for name in owned if _is_made_from(self.pods[name], live["spec"]["template"])]
            others = [name for name in owned if name not in current]
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
            if size == len(left) == len(owned):
                self._report_complete(key)

    def _run_stateful_set(self, key: tuple[str, str], live: Object) -> None:
        """The StatefulSet controller, with one pod: RollingUpdate with a partition."""
        name, template = f"{key[1]}-0", live["spec"]["template"]
        pod, current = self.pods.get(name), self.made_of.setdefault(key[1], template)
        is_kept = live["spec"]["updateStrategy"]["rollingUpdate"]["partition"] > 0
        if pod is None:
            made = self.made_of[key[1]] = current if is_kept else template
            meta = {"name": name, "labels": made["metadata"]["labels"], "creationTimestamp": _time(self.now)}
            self.pods[name] = {"metadata": meta, "spec": made["spec"], "status": {}}
        elif not is_kept and pod["metadata"]["labels"] != template["metadata"]["labels"] and not _is_ending(pod):
            self.judge_server_pod(pod)
            self.pods[name] = {**pod, "metadata": {**pod["metadata"], "deletionTimestamp": _time(self.now)}}
        ready = int(is_ready(self.pods[name]) and not _is_ending(self.pods[name]))
        self._report_pods(
            key, live, ready, int(self.pods[name]["metadata"]["labels"] == template["metadata"]["labels"])
        )

    def _run_server_pods(self) -> None:
        """The kubelet: a server's pod becomes ready, unless its image is missing, crashes, or no node fits."""
        for name, pod in self.pods.items():
            if label(pod, Label.COMPONENT) not in {Component.DATABASE, Component.CACHE}:
                continue
            away = {"postgres": "no database", "redis": "no cache"}[name.split("-")[-2]]
            cause = "unready" if self.has_fault(away) else ""
            self.pods[name] = {**pod, "status": _status_of(pod, cause)}

    def _claim(self, name: str) -> None:
        meta = {"uid": f"uid-{name}", "generation": 1, "labels": {Label.ENGINE.value: "rtx"}, "name": name}
        self.children.setdefault(
            ("PersistentVolumeClaim", name),
            {"kind": "PersistentVolumeClaim", "metadata": meta, "status": {"phase": "Bound"}},
        )

    def _new_pod(self, owner: str, labels: Object, spec: Object) -> str:
        name = f"{owner}-{next(self.names)}"
        self.pods[name] = {"metadata": {"name": name, "labels": labels}, "spec": spec, "status": {}}
        self.processes[name] = self._process(self.pods[name])
        return name

    def _report_pods(self, key: tuple[str, str], live: Object, ready: int, updated: int) -> None:
        status = {
            "observedGeneration": live["metadata"]["generation"],
            "readyReplicas": ready,
            "updatedReplicas": updated,
        }
        self._store(key, {**live, "status": {**live["status"], **status}})

    def _report_complete(self, key: tuple[str, str]) -> None:
        """All pods of the Deployment's template were ready once: it stays so, whatever becomes of them."""
        complete = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}
        live = self.children[key]
        self._store(key, {**live, "status": {**live["status"], "conditions": [complete]}})

    def run_pods(self) -> None:
        """The kubelet: engine pods become ready, but for the fault `unready`; those that find no fence do not stay so.

        An engine pod that is ready stays so while the database does not answer.
        """
        for name, pod in self.pods.items():
            is_lost = self.fence is None and not self.has_fault("no database")
            if name in self.processes and (is_lost or not is_ready(pod)):
                ready = not is_lost and not self.has_fault("unready", label(pod, Label.APP_VERSION))
                condition = {"type": "Ready", "status": "True" if ready else "False"}
                self.pods[name] = {**pod, "status": {**pod["status"], "conditions": [condition]}}

        self._run_server_pods()

    def end_pods(self) -> None:
        """The kubelet: remove the pods that are being deleted."""
        for name in [name for name, pod in self.pods.items() if _is_ending(pod)]:
            del self.pods[name]
            self.processes.pop(name, None)

    def run_jobs(self) -> None:
        """Jobs complete, or fail with the fault `migration`."""
        for key, job in list(self.children.items()):
            if key[0] != "Job" or job["status"].get("conditions") or self.has_fault("jobs hang"):
                continue
            if "-check-" in key[1] and not self._runs_check(key[1], job):
                continue
            fails = self.has_fault("migration", label(job, Label.APP_VERSION))
            kind = "Failed" if fails else "Complete"
            ended = {"type": kind, "status": "True", "message": "BackoffLimitExceeded"}
            self._run_job_pod(key[1], job["spec"]["template"])
            self._store(key, {**job, "status": {"conditions": [ended]}})

    def _runs_check(self, name: str, job: Object) -> bool:
        """The pod of a Job that tries a server's image and place; whether it runs."""
        labels = {**job["spec"]["template"]["metadata"]["labels"], JOB_LABEL: name}
        pod = {"metadata": {"name": f"{name}-x", "labels": labels}, "spec": job["spec"]["template"]["spec"]}
        status = _status_of(pod, "")
        if status["phase"] == "Pending":
            self.pods[f"{name}-x"] = {**pod, "status": status}
        return bool(status["phase"] != "Pending")

    def _run_job_pod(self, job: str, template: Object) -> None:
        """The pod of a Job whose image the nodes report by an id."""
        (container,) = template["spec"]["containers"]
        if container["image"] in self.image_ids:
            ran = {"name": container["name"], "imageID": self.image_ids[container["image"]]}
            labels = {**template["metadata"]["labels"], JOB_LABEL: job}
            status = {"phase": "Succeeded", "containerStatuses": [ran]}
            self.pods[f"{job}-0"] = {"metadata": {"name": f"{job}-0", "labels": labels}, "spec": {}, "status": status}

    def run_endpoints(self) -> None:
        """The EndpointSlice controller: the live Service has the ready pods of its colour."""
        service = self.children.get(("Service", LIVE_SERVICE))
        if service:
            self.slices[LIVE_SERVICE] = tuple(self.colour_pods(self.selected, ready=True))

    def autoscale(self, size: int) -> None:
        """The autoscaler sets the size of its Deployment, within its bounds."""
        scaler = self.children.get(("HorizontalPodAutoscaler", LIVE_SERVICE))
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
    """Whether the pod may run a process; an evicted pod does not, although its object stays."""
    return pod["status"].get("phase") not in {"Succeeded", "Failed"}


def _status_of(pod: Object, cause: str) -> Object:
    """The status of a pod of database or cache, or of a Job that tries one, by its image and node selector."""
    [container] = pod["spec"]["containers"]
    if "elsewhere" in pod["spec"].get("nodeSelector", {}).values():
        fits = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
        message = "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector."
        return {"phase": "Pending", "conditions": [{**fits, "message": message}]}
    waits = {"nope": ("ImagePullBackOff", "not found"), "crash": ("CrashLoopBackOff", "back-off")}
    for image, (reason, message) in waits.items():
        if image in container["image"] and not (image == "crash" and container["name"] == "check"):
            state = {"waiting": {"reason": reason, "message": message}}
            one = {"name": container["name"], "image": container["image"], "state": state}
            return {"phase": "Pending", "conditions": [], "containerStatuses": [one]}
    ready = {"type": "Ready", "status": "False" if cause else "True"}
    return {"phase": "Running", "conditions": [ready]}


def _is_made_from(pod: Object, template: Object) -> bool:
    return bool(pod["metadata"]["labels"] == template["metadata"]["labels"] and pod["spec"] == template["spec"])


def _is_ending(pod: Object) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def _content(stored: Object) -> Object:
    """The metadata without the fields that each write changes."""
    changing = {"resourceVersion", "generation"}
    return {name: value for name, value in stored["metadata"].items() if name not in changing}


def _time(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")
