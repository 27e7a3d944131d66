"""What was seen of one TradingEngine at one instant: plain objects of the API server, frozen for the decision. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from rtx_operator.api.enums import Colour
from rtx_operator.api.rollout import SmokeTest
from rtx_operator.pod_reports import EngineReport, ReachReport, SmokeResult

Object = dict[str, Any]

OBSERVATION_GAP_SECONDS = 20.0  # after this long without a whole observation, a deadline that passed proves nothing
ENDED = frozenset({"Succeeded", "Failed"})  # phases of pods whose containers have all ended for good


@dataclass(frozen=True, slots=True)
class Owner:
    """The TradingEngine that a database belongs to; the fence's row has it as `namespace/name/uid`."""

    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}/{self.uid}"

    def owns(self, fence: "Fence") -> bool:
        """True also for an earlier incarnation: namespace and name are unique among the living."""
        return fence.owner.split("/")[:2] == [self.namespace, self.name]


@dataclass(frozen=True, slots=True)
class Fence:
    """The row of the execution fence: the colours in `executors` execute orders, at `epoch`."""

    epoch: int
    executors: tuple[str, ...]
    cutover: str
    owner: str
    since: datetime | None = None  # by the database's clock


def executes(fence: Fence | None, colours: Collection[Colour], *, known_epoch: int = 0) -> bool:
    """Whether the database lets exactly these colours execute, in a row that is not behind `known_epoch`.

    An unknown fence lets nobody: False.
    """
    return fence is not None and set(fence.executors) == set(colours) and fence.epoch >= known_epoch


def is_recent(seconds_since_last: float) -> bool:
    """Whether the last whole observation is recent enough for deadlines to be believed."""
    return seconds_since_last < OBSERVATION_GAP_SECONDS


@dataclass(frozen=True, slots=True)
class PodQueries:
    """What to query of the engine pods, and of which colours."""

    reports: frozenset[Colour] = frozenset()  # reports of their pods
    reach: Colour | None = None  # whether its pods reach the other colour
    smoke: Colour | None = None  # the smoke tests, on this colour's own Service
    tests: tuple[SmokeTest, ...] = ()


@dataclass(frozen=True, slots=True)
class FenceReport:
    """What the database said: the fence (None: none made yet), or the error that kept it from answering."""

    fence: Fence | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Observation:
    """The objects that carry the engine's label, what its database said, and the Secret that its spec names."""

    children: Mapping[tuple[str, str], Object]  # by (kind, name)
    pods: tuple[Object, ...] = ()
    endpoint_slices: tuple[Object, ...] = ()
    warnings: tuple[Object, ...] = ()  # Events of type Warning in the namespace
    credentials: Object | None = None  # the Secret of spec.credentialsSecretRef
    database: FenceReport | None = None  # None: not asked, as no database pod is ready
    orders_metric_served: bool = False  # whether autoscalers can ask for orders per second
    # Asked only while a cutover wants to know; what a pod did not answer well is a sentence that says why.
    engines: Mapping[str, EngineReport | str] = field(default_factory=dict)  # by pod name
    reach: Mapping[str, ReachReport | str] = field(default_factory=dict)  # by pod name
    smoke: tuple[SmokeResult, ...] = ()
    observed_recently: bool = True  # the look before this one was not long ago: deadlines may be believed

    def child(self, kind: str, name: str) -> Object | None:
        """The child as it was seen; None when it does not exist, or is on its way out."""
        found = self.children.get((kind, name))
        return None if found is None or found["metadata"].get("deletionTimestamp") else found

    def children_of(self, kind: str) -> list[Object]:
        """All children of one kind."""
        return [child for (of, _), child in self.children.items() if of == kind]

    def pods_of(self, labels: Mapping[str, str]) -> list[Object]:
        """The pods that carry all of `labels`, those on their way out not counted."""
        return [
            pod
            for pod in self.pods
            if not pod["metadata"].get("deletionTimestamp")
            and labels.items() <= pod["metadata"].get("labels", {}).items()
        ]

    def alive(self, labels: Mapping[str, str]) -> list[Object]:
        """The pods that carry all of `labels` and may still run a process, those on their way out too."""
        return [
            pod
            for pod in self.pods
            if pod.get("status", {}).get("phase") not in ENDED
            and labels.items() <= pod["metadata"].get("labels", {}).items()
        ]

    def serving(self, service: str) -> tuple[str, ...]:
        """The pods that take the Service's traffic, as its EndpointSlices say."""
        return tuple(
            (endpoint.get("targetRef") or {}).get("name", "")
            for slice_ in self.endpoint_slices
            if slice_["metadata"].get("labels", {}).get("kubernetes.io/service-name") == service
            for endpoint in slice_.get("endpoints") or []
            if endpoint.get("conditions", {}).get("ready")
        )


class JobEnd(StrEnum):
    """How a Job ends: the type of the condition that is then true."""

    COMPLETE = "Complete"
    FAILED = "Failed"


def job_ended(job: Object | None, end: JobEnd) -> Object | None:
    """The condition that says that the Job ended so; None while it does not."""
    return _true_condition(job, end)


def is_ready(pod: Object) -> bool:
    """Whether the pod's condition Ready is true."""
    return _true_condition(pod, "Ready") is not None


def _true_condition(thing: Object | None, kind: str) -> Object | None:
    conditions: list[Object] = (thing or {}).get("status", {}).get("conditions") or []
    return next((one for one in conditions if one["type"] == kind and one["status"] == "True"), None)


def replicas(workload: Object | None) -> tuple[int, int]:
    """(desired, ready) pods of a Deployment or StatefulSet, as its controller last said about its *current* spec."""
    if workload is None:
        return 0, 0
    desired = int(workload.get("spec", {}).get("replicas", 1))
    status = workload.get("status", {})
    if status.get("observedGeneration", 0) < workload["metadata"].get("generation", 0):
        return desired, 0
    # A pod of an older template is ready too, but it is not what is asked for.
    return desired, min(int(status.get("readyReplicas", 0)), int(status.get("updatedReplicas", 0)))
