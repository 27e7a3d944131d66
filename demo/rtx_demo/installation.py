"""Installs the operator with kustomize, as users do."""

import json
from pathlib import Path

import yaml

from .errors import DemoError
from .kubectl import Kubectl, KubectlError, Object

NAMESPACE = "rtx-system"
DEPLOYMENT = "rtx-operator"
ROLLOUT_DEADLINE_SECONDS = 120.0
OVERLAY = Path("manifests/local")


def install(kubectl: Kubectl, root: Path, *, image_id: str) -> None:
    """Apply the operator and wait until it runs; a new `image_id` (a hash) replaces its pods. Raises DemoError."""
    objects = [item for item in yaml.safe_load_all(kubectl.run("kustomize", str(root / OVERLAY))) if item]
    for item in objects:
        if item["kind"] == "Deployment":
            # The tag is always `dev`: without the hash in the pod template a new image would not roll out.
            item["spec"]["template"]["metadata"].setdefault("annotations", {})["rtx-trading.com/image-id"] = image_id
    # Namespace and CRD must exist before the objects that need them.
    first = [item for item in objects if item["kind"] in {"Namespace", "CustomResourceDefinition"}]
    kubectl.apply(*first)
    for item in first:
        if item["kind"] == "CustomResourceDefinition":
            name = item["metadata"]["name"]
            kubectl.run("wait", "--for=condition=Established", f"crd/{name}", "--timeout=30s")
    kubectl.apply(*(item for item in objects if item not in first))
    wait_until_running(kubectl)


def wait_until_running(kubectl: Kubectl) -> None:
    """Wait for the rollout. Raises DemoError with the pods' container states at the deadline."""
    try:
        kubectl.run(
            "rollout", "status", f"deployment/{DEPLOYMENT}", "--namespace", NAMESPACE,
            f"--timeout={ROLLOUT_DEADLINE_SECONDS:.0f}s", deadline=ROLLOUT_DEADLINE_SECONDS + 10,
        )  # fmt: skip
    except KubectlError as error:
        waiting = "; ".join(_waiting(pod) for pod in pods(kubectl))
        raise DemoError(
            f"Deployment {DEPLOYMENT} in {NAMESPACE} does not become ready: {waiting or error.reason}"
        ) from error


def pods(kubectl: Kubectl) -> list[Object]:
    return kubectl.list("pods", NAMESPACE, f"app.kubernetes.io/name={DEPLOYMENT}")


def leader(kubectl: Kubectl) -> str:
    """Name of the leading pod; empty when there is none."""
    lease = kubectl.get("lease", DEPLOYMENT, NAMESPACE)
    holder: str = (lease or {}).get("spec", {}).get("holderIdentity") or ""
    return holder.partition("_")[0]


def _waiting(pod: Object) -> str:
    states = [status.get("state", {}) for status in pod.get("status", {}).get("containerStatuses", [])]
    return f"{pod['metadata']['name']}: {json.dumps(states) if states else pod.get('status', {}).get('phase')}"
