"""An observation of one TradingEngine: its objects, fence and pods as read in one reconcile, frozen. Pure."""

import base64
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from rtx_operator.api.enums import Colour, Component
from rtx_operator.api.names import Label
from rtx_operator.api.spec import SmokeTest
from rtx_operator.api.status import Release
from rtx_operator.pod_reports import EngineReport, ReachReport, SmokeResult
from rtx_operator.results import Failure

Object = dict[str, Any]

OBSERVATION_GAP_SECONDS = 20.0  # after a longer gap between two whole observations, no deadline fires
HANGS_AFTER = timedelta(seconds=60)  # a running kubelet ends a pod within seconds of its deletionTimestamp
ENGINE_CONTAINER = "engine"  # of engine pods; others may have been injected
ENDED = frozenset({"Succeeded", "Failed"})  # pod phases in which no container runs or restarts
# Reasons of a container that waits for its image.
IMAGE_REASONS = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "InvalidImageName",
        "ImageInspectError",
    }
)


@dataclass(frozen=True, slots=True)
class Owner:
    """The TradingEngine that owns a database; the fence's row has it as `namespace/name/uid`."""

    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}/{self.uid}"

    def owns(self, fence: "Fence") -> bool:
        """Whether this TradingEngine owns the fence.

        True also for an earlier incarnation with another uid: no two engines have one namespace and name at one time.
        """
        return fence.owner.split("/")[:2] == [self.namespace, self.name]


@dataclass(frozen=True, slots=True)
class Fence:
    """The row of the execution fence: the colours in `executors` execute orders since `epoch`."""

    epoch: int
    executors: tuple[str, ...]
    cutover: str  # id of the move
    owner: str  # namespace/name/uid of a TradingEngine
    revisions: tuple[str, ...] | None = None  # the revisions that may execute in these colours; None: any


FENCE_SCHEMA = 5  # version of cluster/postgres/fence.sql and its steps
FENCE_SCHEMA_NEEDS = 1  # the earliest version whose operators can use a schema of FENCE_SCHEMA


@dataclass(frozen=True, slots=True)
class FenceSchema:
    """The version of the fence's tables and functions in a database, and the version that its operators need."""

    version: int
    needs: int

    @property
    def is_older(self) -> bool:
        """Whether this release is to bring it up to date."""
        return self.version < FENCE_SCHEMA

    @property
    def is_too_new(self) -> bool:
        """Whether a later release made it into what this one must not touch."""
        return self.needs > FENCE_SCHEMA


def executes(fence: Fence | None, releases: Collection[Release], *, known_epoch: int = 0) -> bool:
    """Whether exactly these releases may execute, by a fence of epoch `known_epoch` or later.

    False for an unknown fence. A fence without revisions admits every revision of its colours.
    """
    if fence is None or fence.epoch < known_epoch:
        return False
    revisions = {release.revision for release in releases}
    named = fence.revisions is None or set(fence.revisions) == revisions
    return named and set(fence.executors) == {release.colour for release in releases}


def is_recent(seconds_since_last: float) -> bool:
    """Whether the last whole observation is recent enough for a deadline to fire."""
    return seconds_since_last < OBSERVATION_GAP_SECONDS


@dataclass(frozen=True, slots=True)
class PodQueries:
    """What one phase of an operation has read besides: queries to the engine pods, with their colours, and a volume."""

    reports: frozenset[Colour] = frozenset()  # the status reports of their pods
    reach: Colour | None = None  # the reach reports of its pods: do they reach the other colour
    smoke: Colour | None = None  # the smoke tests, on this colour's own Service
    tests: tuple[SmokeTest, ...] = ()
    volume_of: Component | None = None  # database or cache: where its volumes can be

    def beside(self, other: "PodQueries") -> "PodQueries":
        """These, and what `other` asks besides."""
        return PodQueries(
            self.reports | other.reports,
            self.reach or other.reach,
            self.smoke or other.smoke,
            self.tests or other.tests,
            self.volume_of or other.volume_of,
        )

    @property
    def any(self) -> bool:
        """Whether a pod is asked anything."""
        return bool(self.reports or self.reach or self.smoke)


class Freshness(StrEnum):
    """How old an answer of a database may be. Pods are asked anew each time."""

    RECENT = "Recent"  # seconds: the engine is at rest, and a move of the fence names the epoch that it expects
    NEW = "New"  # asked after the operator's last act: an operation's evidence and deadlines rest on it


@dataclass(frozen=True, slots=True)
class BlockingSession:
    """A database session that keeps a migration waiting, by a lock or by an old snapshot."""

    pid: int
    name: str  # its application_name
    role: str
    client: str  # its address; empty: a local socket
    state: str  # active, idle in transaction, …
    since: datetime | None  # begin of its transaction, on the database's clock


@dataclass(frozen=True, slots=True)
class FenceReport:
    """The answer of the database: the fence (None: not created yet), or why it is unknown, as text."""

    fence: Fence | None = None
    error: str = ""
    silent_since: datetime | None = None  # of an error: the first time that the database did not answer
    age_seconds: float = 0.0  # since it was asked
    blocking: tuple[BlockingSession, ...] = ()  # for which a migration waits; queried while one runs
    schema: FenceSchema | None = None  # None: there is no fence
    standbys: int | None = None  # that confirm commits, as the primary knows; None: unknown, or none is asked to
    # The begin of the oldest statement of an engine that outlives its time limit by far: the server does not get on.
    stuck_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """The whole input of a decision about one engine, besides its spec and status."""

    children: Mapping[tuple[str, str], Object]  # by (kind, name)
    pods: tuple[Object, ...] = ()
    endpoint_slices: tuple[Object, ...] = ()
    warnings: tuple[Object, ...] = ()  # Events of type Warning in the namespace
    credentials: Object | None = None  # the Secret of spec.credentialsSecretRef
    database: FenceReport | None = None  # None: not queried, as no database pod is ready
    orders_metric_served: bool = False  # a metrics adapter serves orders per second to autoscalers
    # Queried only in the phases of a cutover that need it; a pod without a valid answer has the error as text.
    engines: Mapping[str, EngineReport | str] = field(default_factory=dict)  # by pod name
    reach: Mapping[str, ReachReport | str] = field(default_factory=dict)  # by pod name
    smoke: tuple[SmokeResult, ...] = ()
    # PersistentVolumes of PodQueries.volume_of by claim; {}: not bound yet. None: not read.
    volumes: Mapping[str, Object] | None = None
    maintenance_slot: bool = False  # this engine has, or may have, one of the fleet's slots for maintenance
    refusals: Mapping[tuple[str, str], Failure] = field(default_factory=dict)  # of the last writes, by (kind, name)
    cutover_slot: bool = False  # it has, or may have, one of those for cutovers; counted while its cutover is Pending
    cutovers_elsewhere: int | None = None  # cutovers of other engines that have one; None: not counted yet
    observed_recently: bool = True  # no gap before this observation, so a deadline that has passed may fire
    is_whole: bool = True  # all that was asked has answered, be it with an error; else no deadline fires yet

    def child(self, kind: str, name: str) -> Object | None:
        """The child; None when it does not exist or is being deleted."""
        found = self.children.get((kind, name))
        return None if found is None or found["metadata"].get("deletionTimestamp") else found

    def refusal_of(self, *objects: Object) -> Failure | None:
        """What the API server said when it refused the first of these objects; None when it refused none."""
        keys = ((wanted["kind"], wanted["metadata"]["name"]) for wanted in objects)
        return next((self.refusals[key] for key in keys if key in self.refusals), None)

    def children_of(self, kind: str) -> list[Object]:
        """All children of one kind, those being deleted included."""
        return [child for (of, _), child in self.children.items() if of == kind]

    def pods_of(self, labels: Mapping[str, str]) -> list[Object]:
        """The pods with all of `labels` that are not being deleted."""
        return [
            pod
            for pod in self.pods
            if not pod["metadata"].get("deletionTimestamp")
            and labels.items() <= pod["metadata"].get("labels", {}).items()
        ]

    def alive(self, labels: Mapping[str, str]) -> list[Object]:
        """The pods with all of `labels` that may still run a process, those being deleted included."""
        return [
            pod
            for pod in self.pods
            if pod.get("status", {}).get("phase") not in ENDED
            and labels.items() <= pod["metadata"].get("labels", {}).items()
        ]

    def serving(self, service: str) -> tuple[str, ...]:
        """The names of the pods that are ready in the Service's EndpointSlices."""
        return tuple(
            (endpoint.get("targetRef") or {}).get("name", "")
            for slice_ in self.endpoint_slices
            if slice_["metadata"].get("labels", {}).get("kubernetes.io/service-name") == service
            for endpoint in slice_.get("endpoints") or []
            if endpoint.get("conditions", {}).get("ready")
        )


DEADLINE_EXCEEDED = "DeadlineExceeded"  # reason of the condition Failed of a Job that its deadline ended


class JobEnd(StrEnum):
    """How a Job ended: the type of its condition that is true."""

    COMPLETE = "Complete"
    FAILED = "Failed"


def job_ended(job: Object | None, end: JobEnd) -> Object | None:
    """The Job's condition `end` if it is true; None otherwise, also for a Job that does not exist."""
    return _true_condition(job, end)


def hangs(pod: Object, now: datetime) -> bool:
    """Whether the pod's deletionTimestamp passed more than HANGS_AFTER ago: its node is lost, or cannot end it.

    Both by the operator's clock (controllers/clock.py).
    """
    until = pod["metadata"].get("deletionTimestamp")
    return bool(until) and now > datetime.fromisoformat(until) + HANGS_AFTER


def is_younger(pod: Object, than: timedelta, now: datetime) -> bool:
    """Whether the pod was made less than that ago, by the operator's clock. False for one that does not say when."""
    created = pod["metadata"].get("creationTimestamp")
    return bool(created) and now - datetime.fromisoformat(created) < than


def secret_text(secret: Object | None, key: str) -> str | None:
    """The value of `key` in a Secret: empty when it is missing, None when its bytes are no text."""
    try:
        return base64.b64decode(((secret or {}).get("data") or {}).get(key) or "").decode()
    except UnicodeDecodeError:
        return None


def age(thing: Object) -> str:
    """Since when a pod or a Job is to end, or else runs, as words for a message."""
    meta = thing["metadata"]
    if until := meta.get("deletionTimestamp"):
        held = f", held by {', '.join(meta['finalizers'])}" if meta.get("finalizers") else ""
        return f"being deleted since {until}{held}"
    since = thing.get("status", {}).get("startTime") or meta.get("creationTimestamp")
    return f"running since {since}" if since else "running"


def restarts(pod: Object) -> int:
    """How often the engine's container of the pod was started again, by the kubelet's count."""
    containers = pod.get("status", {}).get("containerStatuses") or []
    return sum(int(one.get("restartCount", 0)) for one in containers if one["name"] == ENGINE_CONTAINER)


def ends(pod: Object) -> int:
    """How often the engine of the pod has ended: its restarts, and its eviction, after which it is not restarted.

    A pod that ends with its node, or gives way to others, is no fault of what it runs.
    """
    return restarts(pod) + is_evicted(pod)


def is_evicted(pod: Object) -> bool:
    """Whether the kubelet ended the pod for what it used, or it failed without any reason being given."""
    status = pod.get("status", {})
    return status.get("phase") == "Failed" and status.get("reason", "") in {"", "Evicted"}


def revision_of(labelled: Object) -> str:
    """The revision in the labels of a pod or a workload; empty when it has none."""
    return str((labelled["metadata"].get("labels") or {}).get(Label.REVISION.value, ""))


def is_out_of_reach(pod: Object) -> bool:
    """Whether the node controller made the pod not ready, as its kubelet is silent: its containers were ready at last.

    A pod with readiness gates may be so for other reasons, and counts as within reach.
    """
    if is_ready(pod) or (pod.get("spec") or {}).get("readinessGates"):
        return False
    return _true_condition(pod, "ContainersReady") is not None


def engine_container(template: Object) -> Object:
    """The engine's container in a template of its pods; somebody may have put others beside it."""
    return next(one for one in template["spec"]["containers"] if one["name"] == ENGINE_CONTAINER)


def waits_for_image(pod: Object) -> bool:
    """Whether a container of the pod cannot start because its image cannot be pulled."""
    statuses = pod.get("status", {}).get("containerStatuses") or []
    waiting = ((one.get("state") or {}).get("waiting") or {} for one in statuses)
    return any(one.get("reason") in IMAGE_REASONS for one in waiting)


def is_ready(pod: Object) -> bool:
    """Whether the pod's condition Ready is true."""
    return _true_condition(pod, "Ready") is not None


def _true_condition(thing: Object | None, kind: str) -> Object | None:
    conditions: list[Object] = (thing or {}).get("status", {}).get("conditions") or []
    return next((one for one in conditions if one["type"] == kind and one["status"] == "True"), None)


def is_applied(stateful_set: Object | None, revision: str) -> bool:
    """Whether pods that its controller makes from now on are of the revision."""
    if stateful_set is None or revision_of(stateful_set) != revision:
        return False
    observed = stateful_set.get("status", {}).get("observedGeneration", 0)
    return bool(observed >= stateful_set["metadata"].get("generation", 0))


def replicas(workload: Object | None) -> tuple[int, int]:
    """(desired, ready) pods of a Deployment or StatefulSet, of its current spec and template.

    (0, 0) when it does not exist; 0 ready until its controller has observed the current spec.
    """
    if workload is None:
        return 0, 0
    desired = int(workload.get("spec", {}).get("replicas", 1))
    status = workload.get("status", {})
    if status.get("observedGeneration", 0) < workload["metadata"].get("generation", 0):
        return desired, 0
    if workload.get("kind") == "StatefulSet":
        return desired, int(status.get("readyReplicas", 0))  # its pods stay, also when its template is edited
    # readyReplicas also counts pods of an older template.
    return desired, min(int(status.get("readyReplicas", 0)), int(status.get("updatedReplicas", 0)))
