"""The cause that keeps a workload's pods from starting, with a remedy for the person on call. Pure.

The checks follow the start of a pod: creation, volume, node, mounts, image, container. The first failure counts. No
failure means that the pods only need time.
"""

import re
from collections.abc import Callable, Iterator
from datetime import datetime

from rtx_operator.api.enums import Component, Reason
from rtx_operator.api.names import Label
from rtx_operator.desired.state import Workload
from rtx_operator.observation import IMAGE_REASONS, Object, Observation, hangs
from rtx_operator.results import Failure


def lost_pod(observation: Observation, workload: Workload, now: datetime) -> Failure | None:
    """A pod of the workload that does not end, so that no other takes its place: its node does not answer.

    StatefulSets and Jobs replace a pod only when it is gone, and only a person can tell whether the node is.
    """
    for pod in observation.alive(workload.pods):
        if hangs(pod, now):
            name, namespace = _name(pod), pod["metadata"].get("namespace", "")
            node, until = pod.get("spec", {}).get("nodeName", "unknown"), pod["metadata"]["deletionTimestamp"]
            return Failure(
                f"pod {name} should have ended at {until}, and node {node} does not answer. If the node is powered off "
                f"for good: kubectl taint nodes {node} node.kubernetes.io/out-of-service=nodeshutdown:NoExecute, which "
                "also detaches its volumes; or for this pod alone: kubectl delete pod "
                f"{name} -n {namespace} --force. Risk: a node that is only cut off still runs the pod, and then two "
                "processes write the same data",
                Reason.NODE_LOST,
            )
    return None


def diagnose(observation: Observation, workload: Workload) -> Failure | None:
    """The first failure that keeps the workload's pods from being ready; None without one."""
    for check in _CHECKS:
        failure = check(observation, workload)
        if failure is not None:
            return failure
    return None


def _not_created(observation: Observation, workload: Workload) -> Failure | None:
    """The API server refuses the pods: mostly because of a quota, sometimes of Pod Security."""
    message = ""
    live = observation.child(workload.kind, workload.name) or {}
    wanted = int(live.get("spec", {}).get("replicas", 1))
    if len(observation.pods_of(workload.pods)) >= wanted:
        return None  # Events stay for an hour: once the pods exist, the warnings are outdated
    for condition in live.get("status", {}).get("conditions") or []:
        if (condition["type"], condition["status"]) == ("ReplicaFailure", "True") or condition.get(
            "reason"
        ) == "ReplicaSetCreateError":
            message = condition.get("message", "")
    for warning in _warnings(observation, workload.name, "FailedCreate"):
        message = message or warning
    if not message:
        return None
    if "exceeded quota" in message:
        return Failure(
            f"{workload.kind} {workload.name} cannot create its pods: {message}; raise the namespace's ResourceQuota "
            f"or lower {_resources_of(workload)}",
            Reason.QUOTA_EXCEEDED,
        )
    return Failure(
        f"{workload.kind} {workload.name} cannot create its pods: {message}; correct the policy or LimitRange that "
        f"refuses them, or {_resources_of(workload)}",
        Reason.PODS_REFUSED,
    )


def _resources_of(workload: Workload) -> str:
    """The field of spec with the resources of the workload's pods."""
    if workload.kind == "Job":
        return "spec.rollout.migrationResources"
    if workload.kind == "StatefulSet":
        return f"spec.{workload.pods.get(Label.COMPONENT.value, Component.DATABASE.value)}.resources"
    return "spec.resources"


def _volume_unbound(observation: Observation, workload: Workload) -> Failure | None:
    """An unbound PersistentVolumeClaim. One that waits for its pod's node only needs time."""
    for claim in observation.children_of("PersistentVolumeClaim"):
        name = claim["metadata"]["name"]
        is_theirs = re.search(rf"-{re.escape(workload.name)}-[0-9]+$", name)
        if claim.get("status", {}).get("phase") == "Bound" or not is_theirs:
            continue
        storage_class = claim["spec"].get("storageClassName") or "the cluster's default"
        for reason in ("ProvisioningFailed", "FailedBinding"):
            for cause in _warnings(observation, name, reason):
                return Failure(
                    f"PersistentVolumeClaim {name} cannot be bound (storage class {storage_class}): {cause}; repair "
                    "the storage class, or name another one in a new TradingEngine",
                    Reason.VOLUME_UNBOUND,
                )
    return None


def _unschedulable(observation: Observation, workload: Workload) -> Failure | None:
    for pod in observation.pods_of(workload.pods):
        for condition in pod.get("status", {}).get("conditions") or []:
            if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
                cause = condition.get("message", "no node fits")
                unbound = "persistentvolumeclaim" in cause.lower()
                return Failure(
                    f"pod {_name(pod)} fits on no node: {cause}",
                    Reason.VOLUME_UNBOUND if unbound else Reason.UNSCHEDULABLE,
                )
    return None


def _not_mounted(observation: Observation, workload: Workload) -> Failure | None:
    """A volume that the kubelet cannot mount: the pod waits for it without any state that says so, only Events do."""
    for pod, waiting in _waiting(observation, workload):
        if waiting["reason"] not in {"ContainerCreating", "PodInitializing"}:
            continue
        for reason in ("FailedMount", "FailedAttachVolume"):
            for cause in _warnings(observation, _name(pod), reason):
                remedy = (
                    "see its volume, and the node that had it last"
                    if workload.kind == "StatefulSet"
                    else "create what is missing, or correct spec.extraVolumes or spec.trustedCA"
                )
                return Failure(f"pod {_name(pod)} waits for a volume: {cause}; {remedy}", Reason.VOLUME_NOT_MOUNTED)
    return None


def _image_unavailable(observation: Observation, workload: Workload) -> Failure | None:
    for pod, waiting in _waiting(observation, workload):
        if waiting["reason"] in IMAGE_REASONS:
            cause = _pull_error(waiting["message"])
            return Failure(
                f"pod {_name(pod)} cannot pull image {waiting['image']}{f' ({cause})' if cause else ''}; check "
                "spec.version, spec.image and spec.imagePullSecrets",
                Reason.IMAGE_UNAVAILABLE,
            )
    return None


def _pull_error(message: str) -> str:
    """The innermost error of a pull; empty if unknown. The kubelet alternates two texts; the message must not."""
    _, _, chain = message.rpartition("ErrImagePull: ")
    if chain.startswith("Back-off"):
        return ""
    return chain.rpartition('": ')[2]


def _misconfigured(observation: Observation, workload: Workload) -> Failure | None:
    for pod, waiting in _waiting(observation, workload):
        if waiting["reason"] in {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}:
            return Failure(
                f"container {waiting['container']} of pod {_name(pod)} cannot start: {waiting['message']}",
                Reason.CONTAINER_CANNOT_START,
            )
    return None


def _crash_looping(observation: Observation, workload: Workload) -> Failure | None:
    for pod, waiting in _waiting(observation, workload):
        if waiting["reason"] == "CrashLoopBackOff":
            return Failure(
                f"container {waiting['container']} of pod {_name(pod)} keeps crashing ({waiting['last']}); see "
                f"kubectl logs --previous {_name(pod)} -c {waiting['container']}",
                Reason.CRASH_LOOPING,
            )
    return None


_CHECKS: tuple[Callable[[Observation, Workload], Failure | None], ...] = (
    _not_created,
    _volume_unbound,
    _unschedulable,
    _not_mounted,
    _image_unavailable,
    _misconfigured,
    _crash_looping,
)


def _waiting(observation: Observation, workload: Workload) -> Iterator[tuple[Object, dict[str, str]]]:
    """(pod, details) of each waiting container; init containers first, because they run first."""
    for pod in observation.pods_of(workload.pods):
        status = pod.get("status", {})
        for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
            waiting = container.get("state", {}).get("waiting")
            if waiting and waiting.get("reason"):
                ended = container.get("lastState", {}).get("terminated") or {}
                yield (
                    pod,
                    {
                        "container": container["name"],
                        "image": container.get("image", ""),
                        "reason": waiting["reason"],
                        "message": _one_line(waiting.get("message", "")),
                        "last": _last_end(ended),
                    },
                )


def _last_end(ended: Object) -> str:
    if not ended:
        return "no exit code known"
    end = f"exit code {ended.get('exitCode')}, {ended.get('reason', 'no reason given')}"
    message = _one_line(ended.get("message", ""))
    return f"{end}: {message}" if message else end


def _warnings(observation: Observation, name: str, reason: str) -> Iterator[str]:
    """Messages of warnings about the object `name`, or about a ReplicaSet of the Deployment `name`; newest first."""
    matching = [
        event
        for event in observation.warnings
        if event.get("reason") == reason
        and re.fullmatch(rf"{re.escape(name)}(-[a-z0-9]+)?", event["involvedObject"].get("name", ""))
    ]
    for event in sorted(matching, key=lambda event: event.get("lastTimestamp") or "", reverse=True):
        yield _one_line(event.get("message", ""))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _name(pod: Object) -> str:
    return str(pod["metadata"]["name"])
