"""The operator on the cluster, installed by the commands of the README."""

import json
import os
from pathlib import Path

from .errors import DemoError
from .kubectl import Kubectl, KubectlError, Object

NAMESPACE = "rtx-system"
DEPLOYMENT = "rtx-operator"
CRD = "tradingengines.rtx-trading.com"
ROLLOUT_DEADLINE_SECONDS = 120.0
CRDS = Path("crds")
OVERLAY = Path("manifests/local")
GENERATED_OVERLAY = Path("build/operator")


def commands(crds: str, overlay: str) -> tuple[tuple[str, ...], ...]:
    """The arguments of each kubectl that installs the operator, in order; with the README's folders, the README's."""
    apply = ("apply", "--server-side", "--force-conflicts", "-k")
    return (
        (*apply, crds),
        ("wait", "--for", "condition=Established", "--timeout=30s", f"crd/{CRD}"),
        (*apply, overlay),
        (
            "rollout", "status", f"deployment/{DEPLOYMENT}", "--namespace", NAMESPACE,
            f"--timeout={ROLLOUT_DEADLINE_SECONDS:.0f}s",
        ),
    )  # fmt: skip


def install(kubectl: Kubectl, root: Path, *, image_id: str) -> None:
    """Install the operator and wait until it runs. Its pods are replaced when `image_id`, the image's content, is new.

    Raises KubectlError when a command fails, DemoError when the operator does not start.
    """
    overlay = _generate_overlay(root, image_id)
    *apply, _ = commands(str(root / CRDS), str(overlay))
    for command in apply:
        kubectl.run(*command)
    wait_until_running(kubectl)


def _generate_overlay(root: Path, image_id: str) -> Path:
    """`manifests/local` with `image_id` on the pods: the tag stays the same while one develops."""
    folder = root / GENERATED_OVERLAY
    folder.mkdir(parents=True, exist_ok=True)
    annotated = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": DEPLOYMENT},
        "spec": {"template": {"metadata": {"annotations": {"rtx-trading.com/image-id": image_id}}}},
    }
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [os.path.relpath(root / OVERLAY, folder)],  # kustomize refuses an absolute folder
        "patches": [{"target": {"kind": "Deployment", "name": DEPLOYMENT}, "patch": json.dumps(annotated)}],
    }
    (folder / "kustomization.yaml").write_text(json.dumps(kustomization, indent=2) + "\n")  # JSON is YAML
    return folder


def wait_until_running(kubectl: Kubectl) -> None:
    """Raises DemoError, which names the pods' states, when the operator does not start."""
    *_, rollout_status = commands(str(CRDS), str(OVERLAY))
    try:
        kubectl.run(*rollout_status, deadline=ROLLOUT_DEADLINE_SECONDS + 10)
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
