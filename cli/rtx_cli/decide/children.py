"""The objects of an engine as commands see them: pods, workloads, claims."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from rtx_operator.api.enums import Colour, Component
from rtx_operator.api.names import Label, Names

from rtx_cli.decide.engine import Object, instant

# What a tree and a diagnosis need; all of them can be listed with the role view.
KINDS = (
    "deployments.apps",
    "statefulsets.apps",
    "jobs.batch",
    "horizontalpodautoscalers.autoscaling",
    "persistentvolumeclaims",
    "pods",
)


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod. `problem` says why it is not ready; empty: it is, or only needs time."""

    name: str
    uid: str
    component: str
    colour: str
    is_ready: bool
    is_ending: bool
    phase: str
    problem: str
    detail: str
    restarts: int
    node: str
    created: datetime | None
    containers_started: int

    @property
    def state(self) -> str:
        if self.is_ending:
            return "terminating"
        if self.is_ready:
            return "ready"
        return self.problem or self.phase.lower()

    @classmethod
    def of(cls, manifest: Object) -> "Pod":
        meta, status = manifest["metadata"], manifest.get("status") or {}
        labels = meta.get("labels") or {}
        containers = status.get("containerStatuses") or []
        problem, detail = _problem(manifest)
        return cls(
            name=meta["name"],
            uid=meta.get("uid", ""),
            component=labels.get(Label.COMPONENT.value, ""),
            colour=labels.get(Label.COLOUR.value, ""),
            is_ready=any((one["type"], one["status"]) == ("Ready", "True") for one in status.get("conditions") or []),
            is_ending="deletionTimestamp" in meta,
            phase=status.get("phase", "Pending"),
            problem=problem,
            detail=detail,
            restarts=sum(one.get("restartCount", 0) for one in containers),
            node=(manifest.get("spec") or {}).get("nodeName", ""),
            created=instant(meta.get("creationTimestamp")),
            containers_started=sum(1 for one in containers if {"running", "terminated"} & set(one.get("state") or {})),
        )


def _problem(manifest: Object) -> tuple[str, str]:
    status = manifest.get("status") or {}
    if status.get("reason"):  # Evicted, NodeLost
        return status["reason"], status.get("message", "")
    for one in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        waiting = (one.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") not in {None, "ContainerCreating", "PodInitializing"}:
            ended = (one.get("lastState") or {}).get("terminated") or {}
            last = f"; it ended with {ended.get('reason', 'an error')} ({ended.get('exitCode')})" if ended else ""
            return waiting["reason"], waiting.get("message", "") + last
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return condition.get("reason", "Unschedulable"), condition.get("message", "")
    return "", ""


@dataclass(frozen=True, slots=True)
class Workload:
    """A Deployment or StatefulSet."""

    kind: str
    name: str
    wanted: int
    ready: int
    image: str

    @classmethod
    def of(cls, manifest: Object) -> "Workload":
        spec, status = manifest.get("spec") or {}, manifest.get("status") or {}
        containers = spec.get("template", {}).get("spec", {}).get("containers") or [{}]
        return cls(
            kind=manifest["kind"],
            name=manifest["metadata"]["name"],
            wanted=spec.get("replicas", 1),
            ready=status.get("readyReplicas", 0),
            image=containers[0].get("image", ""),
        )


@dataclass(frozen=True, slots=True)
class Children:
    """What belongs to an engine, and the kinds that may not be listed."""

    items: tuple[Object, ...]
    unreadable: tuple[str, ...] = ()

    def of_kind(self, kind: str) -> Iterator[Object]:
        return (one for one in self.items if one.get("kind") == kind)

    def find(self, kind: str, name: str) -> Object | None:
        return next((one for one in self.of_kind(kind) if one["metadata"]["name"] == name), None)

    def workload(self, kind: str, name: str) -> Workload | None:
        found = self.find(kind, name)
        return Workload.of(found) if found else None

    def colour(self, engine: str, colour: Colour) -> Workload | None:
        return self.workload("Deployment", Names(engine).colour(colour))

    def server(self, engine: str, component: Component) -> Workload | None:
        return self.workload("StatefulSet", Names(engine).server(component))

    def pods(self, component: str = "", colour: str = "") -> list[Pod]:
        """The pods of a component and colour; empty: of any. Finished ones of Jobs are left out."""
        return sorted(_chosen(map(Pod.of, self.of_kind("Pod")), component, colour), key=lambda pod: pod.name)


def _chosen(pods: Iterable[Pod], component: str, colour: str) -> Iterator[Pod]:
    for pod in pods:
        if component in {"", pod.component} and colour in {"", pod.colour} and pod.phase != "Succeeded":
            yield pod
