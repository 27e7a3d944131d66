"""A run of the load inside the cluster: the pod, its live lines, and its ledger afterwards."""

import base64
import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from rtx_traffic.ledger import Ledger
from rtx_traffic.main import Line
from rtx_traffic.progress import Progress

from . import manifests
from .engine import Engine
from .errors import DemoError
from .kubectl import Kubectl, KubectlError

LEDGER = "/tmp/ledger.jsonl"  # noqa: S108  inside the pod
SECRET = "rtx-traffic-admin"  # noqa: S105  a name
START_DEADLINE = 60.0
PREPARE_DEADLINE = 200.0
AFTER_DEADLINE = 60.0  # for the last answers and events


@dataclass(frozen=True)
class Settings:
    """As the options of `rtx-traffic run`; duration 0 goes on until `stop`."""

    rate: float = 600
    keep_alive: int = 32
    new_per_second: float = 100
    sockets: int = 100
    accounts: int = 50
    duration: float = 30

    def options(self) -> list[str]:
        return [
            f"--rate={self.rate:g}",
            f"--keep-alive={self.keep_alive}",
            f"--new-per-second={self.new_per_second:g}",
            f"--sockets={self.sockets}",
            f"--accounts={self.accounts}",
            f"--duration={self.duration:g}",
        ]


@dataclass(frozen=True)
class Traffic:
    """One run against one engine. Its pod goes on when this process does not."""

    kubectl: Kubectl
    engine: Engine
    settings: Settings
    namespace: str = manifests.TRAFFIC_NAMESPACE
    name: str = "rtx-traffic"

    def start(self) -> None:
        """Replace the pod of an earlier run and wait until the new one runs. Raises DemoError."""
        self.remove()
        self.kubectl.apply(
            manifests.namespace(self.namespace),
            manifests.secret(SECRET, self.namespace, ADMIN_PASSWORD=self._admin_password()),
        )
        self.kubectl.apply(
            manifests.pod(
                self.name,
                self.namespace,
                image=manifests.TRAFFIC_IMAGE,
                args=["run", f"--url={self.engine.url}", *self.settings.options(), f"--ledger={LEDGER}", "--hold"],
                labels=manifests.TRAFFIC_LABELS,
                env_from=SECRET,
            )
        )
        try:
            self.kubectl.run(
                "wait", "--for=jsonpath={.status.phase}=Running", f"pod/{self.name}", "--namespace", self.namespace,
                f"--timeout={START_DEADLINE:.0f}s", deadline=START_DEADLINE + 10,
            )  # fmt: skip
        except KubectlError as error:
            raise DemoError(f"The traffic pod does not start: {self._why_not_running() or error.reason}") from error

    def follow(self, show: Callable[[Progress], None]) -> None:
        """Show each second's counts until the run has ended. Raises DemoError when it ends otherwise."""
        until = time.monotonic() + PREPARE_DEADLINE + self.settings.duration + AFTER_DEADLINE
        command = ("logs", "--follow", self.name, "--namespace", self.namespace)
        for text in self.kubectl.lines(*command, deadline=until - time.monotonic()):
            line = _line(text)
            if line.progress:
                show(line.progress)
            if line.event == "error":
                raise DemoError(f"The traffic pod gave up: {line.message}")
            if line.event == "end":
                return
        raise DemoError(f"The traffic pod ended before its run did: kubectl logs {self.name} -n {self.namespace}")

    def wait_until_sending(self) -> None:
        """Return once requests are being sent."""
        command = ("logs", "--follow", self.name, "--namespace", self.namespace)
        for text in self.kubectl.lines(*command, deadline=PREPARE_DEADLINE):
            line = _line(text)
            if line.event == "error":
                raise DemoError(f"The traffic pod gave up: {line.message}")
            if line.progress and line.progress.requests > self.settings.sockets:
                return

    def stop(self) -> None:
        """Let the run end: nothing new is sent, what is under way is waited for."""
        self.kubectl.run("exec", self.name, "--namespace", self.namespace, "--", "rtx-traffic", "stop")

    def ledger(self) -> Ledger:
        """The ledger of the run that has ended. Raises IncompleteLedgerError."""
        text = self.kubectl.run_bytes("exec", self.name, "--namespace", self.namespace, "--", "cat", LEDGER)
        return Ledger.parse(text.splitlines())

    def remove(self) -> None:
        self.kubectl.delete("pod", self.name, self.namespace)

    def _admin_password(self) -> str:
        secret = self.kubectl.get("secret", self.engine.credentials, self.engine.namespace)
        encoded = (secret or {}).get("data", {}).get("ADMIN_PASSWORD")
        if not encoded:
            name, namespace = self.engine.credentials, self.engine.namespace
            raise DemoError(f"Secret {name} in {namespace} has no ADMIN_PASSWORD: is the engine there?")
        return base64.b64decode(encoded).decode()

    def _why_not_running(self) -> str:
        pod = self.kubectl.get("pod", self.name, self.namespace) or {}
        for status in pod.get("status", {}).get("containerStatuses", []):
            if waiting := status.get("state", {}).get("waiting"):
                return f"{waiting.get('reason')}: {waiting.get('message', '')}"
        return ""


def _line(text: str) -> Line:
    try:
        return msgspec.json.decode(text, type=Line)
    except msgspec.DecodeError as error:
        raise DemoError(f"The traffic pod printed something else than its lines: {text[:200]}") from error
