"""The account of a database's pods may say which server leads, and not whose server it is."""

from pathlib import Path
from typing import Any

import pytest
from cluster_support import Cluster, eventually
from rtx_operator.api.enums import Colour, Component
from rtx_operator.api.names import Label

POLICY = Path(__file__).parents[2] / "manifests/operator/podidentity.yaml"
ACCOUNT, POD = "rtx-postgres", "rtx-postgres-0"


@pytest.fixture
def pod(cluster: Cluster, namespace: str) -> str:
    """A pod of the engine rtx, whose account may change it. Returns the account's user name."""
    cluster.kubectl("apply", "-f", str(POLICY))
    cluster.kubectl("create", "serviceaccount", ACCOUNT, "-n", namespace)
    cluster.kubectl("create", "role", ACCOUNT, "--verb=get,patch", "--resource=pods", "-n", namespace)
    cluster.kubectl(
        "create",
        "rolebinding",
        ACCOUNT,
        f"--role={ACCOUNT}",
        f"--serviceaccount={namespace}:{ACCOUNT}",
        "-n",
        namespace,
    )
    labels = {Label.ENGINE.value: "rtx", Label.COMPONENT.value: Component.DATABASE.value}
    cluster.apply(_pod(namespace, labels))
    return f"system:serviceaccount:{namespace}:{ACCOUNT}"


def _pod(namespace: str, labels: dict[str, str]) -> dict[str, Any]:
    container = {
        "name": "postgres",
        "image": "example.com/rtx-postgres:17",
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    secure = {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": POD, "namespace": namespace, "labels": labels},
        "spec": {"serviceAccountName": ACCOUNT, "securityContext": secure, "containers": [container]},
    }


def refusal(cluster: Cluster, namespace: str, user: str, change: str) -> str:
    """Why the user may not change the pod's labels so; empty if they may."""
    try:
        cluster.kubectl("label", "pod", POD, change, "--overwrite", f"--as={user}", "-n", namespace)
    except AssertionError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    "change",
    [
        f"{Label.ENGINE}=other",
        f"{Label.ENGINE}-",
        f"{Label.COMPONENT}={Component.ENGINE}",
        f"{Label.COLOUR}={Colour.BLUE}",
    ],
)
def test_pod_cannot_become_that_of_another_engine(cluster: Cluster, namespace: str, pod: str, change: str) -> None:
    # A policy takes effect some seconds after it was made.
    says = "cannot become another engine's"
    eventually(lambda: says in refusal(cluster, namespace, pod, change), "a refusal")


def test_pod_says_that_it_leads(cluster: Cluster, namespace: str, pod: str) -> None:
    eventually(lambda: refusal(cluster, namespace, pod, f"{Label.ENGINE}=other"), "a refusal")

    assert refusal(cluster, namespace, pod, f"{Label.ROLE}=primary") == ""


def test_person_may_take_a_pod_out_of_its_service(cluster: Cluster, namespace: str, pod: str) -> None:
    eventually(lambda: refusal(cluster, namespace, pod, f"{Label.ENGINE}=other"), "a refusal")

    cluster.kubectl("label", "pod", POD, f"{Label.ENGINE}-", "-n", namespace)
