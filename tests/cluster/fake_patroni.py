"""Patroni of pods that only kwok runs: what real members write of themselves, and whose the state of their cluster is.

NAME-0 leads, and the others follow it. The pods, their labels and the Services that select them are real objects.
"""

import contextlib
import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cluster_state
from rtx_operator.api.enums import MemberRole
from rtx_operator.api.names import Label
from rtx_operator.members import REPORT

FAKE_NODE = "fake"  # begins the names of kwok's nodes
POSITION = 2**24  # in the log, in bytes: no server of these tests writes


@contextlib.contextmanager
def running_patroni(kubeconfig: Path) -> Iterator[None]:
    """Reports for every database pod on a fake node, in all namespaces, during the block."""
    kubectl = ["kubectl", f"--kubeconfig={kubeconfig}"]
    watch = [*kubectl, "get", "pods", "--all-namespaces", "--watch", "--output=json", f"-l={Label.DATABASE_CLUSTER}"]
    with subprocess.Popen(watch, stdout=subprocess.PIPE, text=True) as process:
        thread = threading.Thread(target=_report_all, args=(process, kubectl), daemon=True)
        thread.start()
        try:
            yield
        finally:
            process.terminate()
            thread.join()


def _report_all(watch: subprocess.Popen[str], kubectl: list[str]) -> None:
    for pod in _objects(watch):
        meta, patch = pod["metadata"], report_of(pod)
        if patch is not None:
            of_namespace = [*kubectl, f"--namespace={meta['namespace']}"]
            _own_the_state(of_namespace, meta["name"])
            _patch(of_namespace, "pod", meta["name"], patch)


def _own_the_state(kubectl: list[str], pod: str) -> None:
    """The volume claim of the pod becomes an owner of what is Patroni's and that the operator made."""
    claim = _get(kubectl, "pvc", f"data-{pod}")
    for suffix in cluster_state.NAMES:
        name = f"{pod.rpartition('-')[0]}-{suffix}"
        live = _get(kubectl, "configmap", name)
        owner = cluster_state.owner(claim) if claim else None
        if owner and live and owner not in live["metadata"].get("ownerReferences", []):
            _patch(kubectl, "configmap", name, cluster_state.owned(live, owner))


def _get(kubectl: list[str], kind: str, name: str) -> dict[str, Any] | None:
    command = [*kubectl, "get", kind, name, "--output=json", "--ignore-not-found"]
    found = subprocess.run(command, check=False, capture_output=True, text=True).stdout
    return json.loads(found) if found else None


def _patch(kubectl: list[str], kind: str, name: str, patch: dict[str, Any]) -> None:
    """What is to be patched may be gone by now."""
    command = [*kubectl, "patch", kind, name, "--type=merge", f"--patch={json.dumps(patch)}"]
    subprocess.run(command, check=False, capture_output=True)


def report_of(pod: dict[str, Any]) -> dict[str, Any] | None:
    """The patch with which a member that runs reports; None for one that has, does not run, or is a real one."""
    meta = pod["metadata"]
    is_fake = str(pod["spec"].get("nodeName", "")).startswith(FAKE_NODE)
    has_reported = REPORT in meta.get("annotations", {})
    if not is_fake or has_reported or pod.get("status", {}).get("phase") != "Running" or meta.get("deletionTimestamp"):
        return None
    leads = meta["name"].endswith("-0")
    role = MemberRole.PRIMARY if leads else MemberRole.REPLICA
    follows = {} if leads else {"replication_state": "streaming"}
    status = {"state": "running", "role": role.value, "timeline": 1, "xlog_location": POSITION, **follows}
    return {"metadata": {"labels": {Label.ROLE.value: role.value}, "annotations": {REPORT: json.dumps(status)}}}


def _objects(watch: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """The JSON documents that kubectl prints one after the other."""
    assert watch.stdout is not None
    lines: list[str] = []
    for line in watch.stdout:
        lines.append(line)
        if line == "}\n":
            yield json.loads("".join(lines))
            lines = []
