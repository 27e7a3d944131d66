"""Helpers of the cluster tests: kubectl, one TradingEngine, one operator process."""

import copy
import json
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from rtx_operator.api.enums import ConditionStatus, ConditionType, Reason

Value = TypeVar("Value")
WAIT_SECONDS = 90.0  # generous: no test asserts a duration
POLL_INTERVAL_SECONDS = 0.3
KUBECTL_TIMEOUT_SECONDS = 90

ON_FAKE_NODES = {
    "nodeSelector": {"type": "kwok"},
    "tolerations": [{"key": "kwok.x-k8s.io/node", "operator": "Exists", "effect": "NoSchedule"}],
}


def eventually(probe: Callable[[], Value], what: str) -> Value:
    """Wait until `probe` returns something true, and return it; AssertionError after WAIT_SECONDS."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        found = probe()
        if found:
            return found
        assert time.monotonic() < deadline, f"after {WAIT_SECONDS:.0f} s it is not true that {what}; last: {found!r}"
        time.sleep(POLL_INTERVAL_SECONDS)


@dataclass(frozen=True)
class Cluster:
    """kubectl against the test cluster."""

    kubeconfig: Path

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        command = ["kubectl", f"--kubeconfig={self.kubeconfig}", *arguments]
        done = subprocess.run(
            command, check=False, input=stdin, capture_output=True, text=True, timeout=KUBECTL_TIMEOUT_SECONDS
        )
        assert done.returncode == 0, f"kubectl {' '.join(arguments)} failed: {done.stderr}"
        return done.stdout

    def apply(self, manifest: dict[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))

    def get(self, kind: str, name: str, namespace: str) -> dict[str, Any] | None:
        output = self.kubectl("get", kind, name, "-n", namespace, "-o", "json", "--ignore-not-found")
        return json.loads(output) if output else None

    def list(self, kind: str, *arguments: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", kind, "-o", "json", *arguments))["items"]
        return found


@dataclass(frozen=True)
class Engine:
    """One TradingEngine."""

    cluster: Cluster
    manifest: dict[str, Any]

    @property
    def namespace(self) -> str:
        return str(self.manifest["metadata"]["namespace"])

    @property
    def name(self) -> str:
        return str(self.manifest["metadata"]["name"])

    def with_spec(self, **spec: Any) -> "Engine":
        """The same engine with some fields of spec replaced."""
        changed = copy.deepcopy(self.manifest)
        changed["spec"].update(spec)
        return Engine(self.cluster, changed)

    def apply(self) -> None:
        self.cluster.apply(self.manifest)

    def delete(self) -> None:
        self.cluster.kubectl("delete", "te", self.name, "-n", self.namespace, "--timeout=90s")

    def child(self, kind: str, name: str) -> dict[str, Any] | None:
        return self.cluster.get(kind, name, self.namespace)

    def kubectl(self, *arguments: str) -> str:
        return self.cluster.kubectl("-n", self.namespace, *arguments)

    def status(self) -> dict[str, Any]:
        found = self.child("te", self.name) or {}
        return dict(found.get("status") or {})

    def condition(self, kind: ConditionType) -> dict[str, Any]:
        """The condition of that type; empty when there is none."""
        conditions = self.status().get("conditions") or []
        return next((condition for condition in conditions if condition["type"] == kind), {})

    def wait_ready(self) -> None:
        self.wait_condition(ConditionType.READY, ConditionStatus.TRUE)

    def wait_condition(
        self, kind: ConditionType, status: ConditionStatus, reason: Reason | None = None
    ) -> dict[str, Any]:
        """Wait until the condition has that status and, if given, that reason. Returns the condition."""

        def matching() -> dict[str, Any] | None:
            found = self.condition(kind)
            matches = found.get("status") == status and reason in {None, found.get("reason")}
            return found if matches else None

        try:
            return eventually(matching, f"{kind} is {status}" + (f" for the reason {reason}" if reason else ""))
        except AssertionError as error:
            raise AssertionError(f"{error}; status: {json.dumps(self.status(), indent=1)}") from None


@dataclass(frozen=True)
class Operator:
    """An operator process."""

    process: subprocess.Popen[bytes]
    log: Path
    operator_class: str
    port: int

    def lines(self) -> list[str]:
        return self.log.read_text().splitlines()

    def leads(self) -> bool:
        return any('"this replica leads now"' in line for line in self.lines())

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait(10)


def make_engine(cluster: Cluster, namespace: str, operator_class: str, name: str = "rtx") -> Engine:
    """A TradingEngine on fake nodes, which the operator of that class serves; it is not applied yet."""
    server = {"storage": "1Gi", "storageClassName": namespace, "scheduling": ON_FAKE_NODES}
    spec = {
        "version": "1.0.0",
        "image": {"repository": "localhost/rtx-engine"},
        "scaling": {"minReplicas": 2, "maxReplicas": 5},
        "scheduling": ON_FAKE_NODES,
        "database": server,
        "cache": server,
        "backup": {"type": "None"},  # no process runs on fake nodes
    }
    meta = {"name": name, "namespace": namespace, "labels": {"rtx-trading.com/operator": operator_class}}
    manifest = {"apiVersion": "rtx-trading.com/v1alpha1", "kind": "TradingEngine", "metadata": meta, "spec": spec}
    return Engine(cluster, manifest)
