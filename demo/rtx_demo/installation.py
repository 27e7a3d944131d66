"""The operator on the cluster, put there as users put it there: by kustomize."""

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
    """Apply the operator and wait until it runs. Its pods are replaced when `image_id`, the image's content, is new."""
    objects = [item for item in yaml.safe_load_all(kubectl.run("kustomize", str(root / OVERLAY))) if item]
    for item in objects:
        if item["kind"] == "Deployment":
            # The tag stays the same while one develops, so the content has to show in the pod.
            item["spec"]["template"]["metadata"].setdefault("annotations", {})["rtx-trading.com/image-id"] = image_id
    # A namespace and a CRD have to be there before what is in them.
    first = [item for item in objects if item["kind"] in {"Namespace", "CustomResourceDefinition"}]
    kubectl.apply(*first)
    for item in first:
        if item["kind"] == "CustomResourceDefinition":
            name = item["metadata"]["name"]
            kubectl.run("wait", "--for=condition=Established", f"crd/{name}", "--timeout=30s")
    kubectl.apply(*(item for item in objects if item not in first))
    wait_until_running(kubectl)


def wait_until_running(kubectl: Kubectl) -> None:
    """Raises DemoError with the pods' own words when the operator does not come up."""
    try:
        kubectl.run(
            "rollout", "status", f"deployment/{DEPLOYMENT}", "--namespace", NAMESPACE,
            f"--timeout={ROLLOUT_DEADLINE_SECONDS:.0f}s", deadline=ROLLOUT_DEADLINE_SECONDS + 10,
        )  # fmt: skip
    except KubectlError as error:
        waiting = "; ".join(_waiting(pod) for pod in pods(kubectl))
        raise DemoError(f"The operator does not come up: {waiting or error.reason}") from error


def pods(kubectl: Kubectl) -> list[Object]:
    return kubectl.list("pods", NAMESPACE, f"app.kubernetes.io/name={DEPLOYMENT}")


def leader(kubectl: Kubectl) -> str:
    """The name of the pod that leads; empty when none does."""
    lease = kubectl.get("lease", DEPLOYMENT, NAMESPACE)
    holder: str = (lease or {}).get("spec", {}).get("holderIdentity") or ""
    return holder.partition("_")[0]


def _waiting(pod: Object) -> str:
    states = [status.get("state", {}) for status in pod.get("status", {}).get("containerStatuses", [])]
    return f"{pod['metadata']['name']}: {json.dumps(states) if states else pod.get('status', {}).get('phase')}"
