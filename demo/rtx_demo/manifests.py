"""Manifests that the demo and the tests create beside the operator's. Pure."""

from typing import Any

Object = dict[str, Any]

TRAFFIC_NAMESPACE = "rtx-traffic"
TRAFFIC_LABELS = {"app.kubernetes.io/name": "rtx-traffic"}
TRAFFIC_IMAGE = "localhost/rtx-traffic:dev"

_RESTRICTED_POD = {
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "runAsGroup": 1000,
    "seccompProfile": {"type": "RuntimeDefault"},
}
_RESTRICTED_CONTAINER = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def namespace(name: str) -> Object:
    """A namespace that enforces Pod Security "restricted"."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def secret(name: str, namespace_name: str, **values: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace_name},
        "stringData": values,
    }


def pod(
    name: str,
    namespace_name: str,
    *,
    image: str,
    command: list[str] | None = None,
    args: list[str] | None = None,
    labels: dict[str, str] | None = None,
    env_from: str = "",
) -> Object:
    """A pod that passes Pod Security "restricted", with a writable /tmp; `env_from` names a Secret."""
    container: Object = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "resources": {"requests": {"cpu": "250m", "memory": "64Mi"}, "limits": {"cpu": "2", "memory": "512Mi"}},
        "securityContext": _RESTRICTED_CONTAINER,
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108  the pod's own
    }
    if command:
        container["command"] = command
    if args:
        container["args"] = args
    if env_from:
        container["envFrom"] = [{"secretRef": {"name": env_from}}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace_name, "labels": labels or {}},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 1,
            "securityContext": _RESTRICTED_POD,
            "containers": [container],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
        },
    }
