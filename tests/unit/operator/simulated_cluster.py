"""A simulated cluster: the API server, controllers, the database with its fence, and engine pods.

Nothing happens by itself: each controller acts once per call of its method, so a test controls which one is late.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from rtx_operator.api.enums import Component
from rtx_operator.api.names import Label
from rtx_operator.desired.state import JOB_LABEL
from rtx_operator.observation import Object, is_ready
from simulated_api import LIVE_SERVICE, label, timestamp
from simulated_engines import is_ending
from simulated_restores import Restores


@dataclass
class Cluster(Restores):
    """The controllers of Kubernetes, one method each."""

    ran: float = 0.0  # seconds in which the engine was not known to be paused
    image_ids: dict[str, str] = field(default_factory=dict)  # that nodes report, by image
    names: Iterator[int] = field(default_factory=itertools.count)

    @property
    def selected(self) -> str:
        """The colour that the live Service selects."""
        service = self.children.get(("Service", LIVE_SERVICE))
        return str(service["spec"]["selector"][Label.COLOUR.value]) if service else ""

    def is_paused(self) -> bool:
        """Whether the engine's status says that it is paused."""
        return False

    def tick(self, seconds: float = 1) -> None:
        """Advance the time, let every controller act, and let clients send requests."""
        self.now += timedelta(seconds=seconds)
        self.ran += 0.0 if self.is_paused() else seconds
        self.end_pods()
        self.run_deployments()
        self.run_pods()
        self.run_patroni()
        self.run_deployments()
        self.run_jobs()
        self.run_backups()
        self.run_restores()
        self.run_endpoints()
        self.traffic()

    def run_deployments(self) -> None:
        """The Deployment controller: RollingUpdate with maxSurge 1 and maxUnavailable 0."""
        for key, live in list(self.children.items()):
            if key[0] == "StatefulSet":
                self._run_stateful_set(key, live)
            if key[0] != "Deployment":
                continue
            size, labels = live["spec"]["replicas"], live["spec"]["template"]["metadata"]["labels"]
            owned = self.colour_pods(labels[Label.COLOUR.value])
            current = [name for name in owned if _is_made_from(self.pods[name], live["spec"]["template"])]
            others = [name for name in owned if name not in current]
            while len(current) < size and len(current) + len(others) < size + 1:
                current.append(self._new_pod(key[1], live["spec"]["template"]))
            ready = [name for name in current if is_ready(self.pods[name])]
            spare = max(0, len(ready) + len(others) - size)
            for name in [*others[:spare], *current[size:]]:
                meta = {**self.pods[name]["metadata"], "deletionTimestamp": timestamp(self.now)}
                self.pods[name] = {**self.pods[name], "metadata": meta}
            left = [name for name in current[:size] if name in ready]
            kept = [name for name in others[spare:] if is_ready(self.pods[name])]
            self._report_pods(key, self.children[key], len(left) + len(kept), len(current[:size]))
            if size == len(left) == len(owned):
                self._report_complete(key)

    def run_backups(self) -> None:
        """The controller of TradingEngineBackups."""
        for key, live in list(self.children.items()):
            if key[0] != "TradingEngineBackup" or live["status"].get("phase") in {"Succeeded", "Failed"}:
                continue
            if self.has_fault("backup hangs"):
                self._store(key, {**live, "status": {"phase": "Running", "message": "waiting for its Job"}})
                continue
            ended, summary = timestamp(self.now), {"count": 1, "storedBytes": 1}
            place = self.children["ConfigMap", "rtx-backup"]["data"]["place"]
            repository = {**summary, "oldest": ended, "newest": ended, "place": place}
            made = {"phase": "Succeeded", "endedAt": ended, "made": {"finishedAt": ended}, "repository": repository}
            failed = {"phase": "Failed", "endedAt": ended, "message": "the repository is full"}
            self._store(key, {**live, "status": failed if self.has_fault("backup") else made})

    def _run_stateful_set(self, key: tuple[str, str], live: Object) -> None:
        """The StatefulSet controller, Parallel and OnDelete: a pod that is missing is made from the template."""
        template, size = live["spec"]["template"], live["spec"]["replicas"]
        names = [f"{key[1]}-{ordinal}" for ordinal in range(size)]
        for name in names:
            self._claim(f"data-{name}")
            if name not in self.pods:
                meta = {**template["metadata"], "name": name, "uid": f"uid-{self.next_version()}"}
                meta |= {"creationTimestamp": timestamp(self.now)}
                self.pods[name] = {"kind": "Pod", "metadata": meta, "spec": template["spec"], "status": {}}
        for name in [name for name in self.pods if name.rpartition("-")[0] == key[1] and name not in names]:
            self._end(name)
        there = [self.pods[name] for name in names if not is_ending(self.pods[name])]
        revision = label(template, Label.REVISION)
        updated = [pod for pod in there if label(pod, Label.REVISION) == revision]
        self._report_pods(key, live, sum(map(is_ready, there)), len(updated))

    def _end(self, name: str) -> None:
        """A pod is to end; the kubelet removes it (`end_pods`)."""
        pod = self.pods[name]
        self.pods[name] = {**pod, "metadata": {**pod["metadata"], "deletionTimestamp": timestamp(self.now)}}

    def _run_server_pods(self) -> None:
        """The kubelet: a server's pod becomes ready, unless its image is missing, crashes, or no node fits."""
        for name, pod in self.pods.items():
            if label(pod, Label.COMPONENT) not in {Component.DATABASE, Component.CACHE, Component.REPOSITORY}:
                continue
            away = {"postgres": "no database", "redis": "no cache", "backup": "no repository"}[name.split("-")[-2]]
            cause = "unready" if self.has_fault(away) or self.has_fault("dead", name) else ""
            self.pods[name] = {**pod, "status": _status_of(pod, cause)}

    def _claim(self, name: str) -> None:
        meta = {"uid": f"uid-{name}", "generation": 1, "labels": {Label.ENGINE.value: "rtx"}, "name": name}
        self.children.setdefault(
            ("PersistentVolumeClaim", name),
            {"kind": "PersistentVolumeClaim", "metadata": meta, "status": {"phase": "Bound"}},
        )

    def _new_pod(self, owner: str, template: Object) -> str:
        name = f"{owner}-{next(self.names)}"
        self.pods[name] = {"metadata": {**template["metadata"], "name": name}, "spec": template["spec"], "status": {}}
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
        for name in [name for name, pod in self.pods.items() if is_ending(pod)]:
            del self.pods[name]
            self.processes.pop(name, None)

    def run_jobs(self) -> None:
        """Jobs complete, or fail with the fault `migration`."""
        for key, job in list(self.children.items()):
            if key[0] != "Job" or job["status"].get("conditions") or self.has_fault("jobs hang"):
                continue
            if "-check-" in key[1] and not self._runs_check(key[1], job):
                continue
            if label(job, Label.COMPONENT) == Component.RESTORE:
                self.run_restore_job(job)
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


def _status_of(pod: Object, cause: str) -> Object:
    """The status of a pod of database or cache, or of a Job that tries one, by its image and node selector."""
    container, *_ = pod["spec"]["containers"]
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
    made = (pod["metadata"]["labels"], pod["metadata"].get("annotations"), pod["spec"])
    return made == (template["metadata"]["labels"], template["metadata"].get("annotations"), template["spec"])
