"""A simulated API server: it stores objects, and refuses writes as a real one does."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from rtx_operator.api.enums import Reason
from rtx_operator.desired.state import JOB_LABEL
from rtx_operator.observation import Object, is_ready
from rtx_operator.operations.effects import KeepData, Scale
from rtx_operator.results import Failure, Waiting

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LIVE_SERVICE = "rtx-engine"
BUDGET = "PodDisruptionBudget"


class Conflict(Exception):  # noqa: N818
    """The object, or the fence, has changed since it was observed."""


@dataclass
class SimulatedApi:
    """`faults` stay until removed; each is `name`, or `name:version` for the pods or Jobs of one version.

    With the fault `quota:KIND` no further object of that kind can be made; with `refused:KIND` none can be changed
    either.
    """

    now: datetime = NOON
    version: int = 1  # the last resourceVersion
    children: dict[tuple[str, str], Object] = field(default_factory=dict)
    pods: dict[str, Object] = field(default_factory=dict)
    faults: set[str] = field(default_factory=set)
    refusals: dict[tuple[str, str], Failure] = field(default_factory=dict)  # of the last writes

    def has_fault(self, fault: str, version: str = "") -> bool:
        return fault in self.faults or f"{fault}:{version}" in self.faults

    # --- hooks for the laws in cutover_laws.py ---

    def judge_scale(self, live: Object, replicas: int) -> None:
        """Called before a Deployment gets another size."""

    def judge_template(self, live: Object, wanted: Object) -> None:
        """Called before a Deployment is applied."""

    def judge_service(self, before: Object | None, after: Object) -> None:
        """Called after a change of the live Service."""

    def judge_server_pod(self, pod: Object) -> None:
        """Called before the operator deletes the pod of a database or cache."""

    def judge_delete(self, key: tuple[str, str]) -> None:
        """Called before an object is deleted."""

    # --- writes ---

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
            meta = {"uid": f"uid-{self.next_version()}", "generation": 1, "creationTimestamp": timestamp(self.now)}
            spec = {"replicas": 1} if wanted["kind"] == "Deployment" else {}
            live = {"kind": wanted["kind"], "metadata": meta, "spec": spec, "status": {}}
        elif guard and guard != live["metadata"]["resourceVersion"]:
            raise Conflict(f"{key} has changed")
        merged = {**live, **wanted, "metadata": {**live["metadata"], **wanted["metadata"]}, "status": live["status"]}
        if wanted["kind"] == "ConfigMap":  # Patroni has annotations of its own there
            annotations = {**live["metadata"].get("annotations", {}), **wanted["metadata"].get("annotations", {})}
            merged["metadata"]["annotations"] = annotations
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

    def evict_server(self, observed: Object) -> Waiting | None:
        """Evict the pod of a database or cache with the uid of `observed`, unless a disruption budget keeps it."""
        name = observed["metadata"]["name"]
        live = self.pods.get(name)
        if live and live["metadata"]["uid"] == observed["metadata"]["uid"]:
            if self._is_kept_by_budget(live):
                return Waiting(f"pod {name} stays for now: it would violate the pod's disruption budget")
            self.judge_server_pod(live)
            meta = {**live["metadata"], "deletionTimestamp": timestamp(self.now)}
            self.pods[name] = {**live, "metadata": meta}
        return None

    def _is_kept_by_budget(self, pod: Object) -> bool:
        """As the API server decides, for budgets of one pod."""
        budget = next((one for (kind, _), one in self.children.items() if kind == BUDGET and _selects(one, pod)), None)
        if budget is None or pod["status"].get("phase") == "Pending":
            return False
        spec = budget["spec"]
        if spec["unhealthyPodEvictionPolicy"] == "AlwaysAllow" and not is_ready(pod):
            return False
        selected = [one for one in self.pods.values() if _selects(budget, one)]
        healthy = [one for one in selected if is_ready(one) and "deletionTimestamp" not in one["metadata"]]
        spare = len(healthy) - (len(selected) - int(spec["maxUnavailable"]))
        return spare < (1 if is_ready(pod) else 0)

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


def label(labelled: Object, key: str) -> str:
    return str(labelled["metadata"].get("labels", {}).get(str(key), ""))


def _content(stored: Object) -> Object:
    """The metadata without the fields that each write changes."""
    changing = {"resourceVersion", "generation"}
    return {name: value for name, value in stored["metadata"].items() if name not in changing}


def timestamp(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def _selects(budget: Object, pod: Object) -> bool:
    wanted = budget["spec"]["selector"]["matchLabels"]
    return bool(wanted.items() <= pod["metadata"].get("labels", {}).items())
