"""Runs the load inside the cluster: starts its pods, follows their output, fetches the merged ledger."""

import base64
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import msgspec
from rtx_traffic.ledger import IncompleteLedgerError, Ledger
from rtx_traffic.main import OutputLine
from rtx_traffic.parts import Start
from rtx_traffic.progress import Progress, total

from . import manifests
from .engine import Engine
from .errors import DemoError
from .kubectl import Kubectl, KubectlError

LEDGER = "/tmp/ledger.jsonl"  # noqa: S108  inside the pod
START = "/tmp/start.json"  # noqa: S108  likewise
SECRET = "rtx-traffic-admin"  # noqa: S105  a name
START_DEADLINE_SECONDS = 60.0
PREPARE_DEADLINE_SECONDS = 200.0
END_DEADLINE_SECONDS = 60.0  # for the last answers and events
START_LEAD_SECONDS = 3.0  # from the start file to the first request: the WebSockets open meanwhile
MAX_ATTEMPTS = 3  # to fetch a ledger or to follow a pod's output

T = TypeVar("T")


@dataclass(frozen=True)
class Settings:
    """The options of `rtx-traffic run`; with duration 0 the load runs until `stop`."""

    rate: float = 300  # what two cores sustain while two colours run and pods start; `--rate` raises it
    keep_alive: int = 32
    new_per_second: float = 100
    sockets: int = 100
    accounts: int = 50
    duration: float = 30
    pods: int = 2  # client affinity sends all requests of one address to one engine pod

    def options(self) -> list[str]:
        return [
            f"--rate={self.rate:g}",
            f"--keep-alive={self.keep_alive}",
            f"--new-per-second={self.new_per_second:g}",
            f"--sockets={self.sockets}",
            f"--accounts={self.accounts}",
            f"--duration={self.duration:g}",
            f"--parts={self.pods}",
        ]


@dataclass(frozen=True)
class Traffic:
    """One run against one engine. Its pods keep running when this process ends."""

    kubectl: Kubectl
    engine: Engine
    settings: Settings
    namespace: str = manifests.TRAFFIC_NAMESPACE
    name: str = "rtx-traffic"
    poll_seconds: float = 1.0  # between checks of the pods' output
    retry_seconds: float = 2.0  # before a broken log stream is opened again

    @property
    def pods(self) -> list[str]:
        return [f"{self.name}-{part}" for part in range(self.settings.pods)]

    def start(self) -> float:
        """Replace the pods of an earlier run, log in the accounts, and start all pods at the same time.

        Returns that time in Unix seconds. Raises DemoError.
        """
        self.remove()
        password = self._admin_password()
        self.kubectl.apply(
            manifests.namespace(self.namespace), manifests.secret(SECRET, self.namespace, ADMIN_PASSWORD=password)
        )
        self.kubectl.apply(*(self._pod(part) for part in range(self.settings.pods)))
        try:
            self.kubectl.run(
                "wait", "--for=jsonpath={.status.phase}=Running", *(f"pod/{pod}" for pod in self.pods),
                "--namespace", self.namespace, f"--timeout={START_DEADLINE_SECONDS:.0f}s",
                deadline=START_DEADLINE_SECONDS + 10,
            )  # fmt: skip
        except KubectlError as error:
            raise DemoError(
                f"A traffic pod in {self.namespace} does not start: {self._waiting_reason() or error.reason}"
            ) from error
        prepared = self._prepare()
        at = time.time() + START_LEAD_SECONDS
        start = msgspec.json.encode(msgspec.structs.replace(prepared, at=at)).decode()
        # Renamed into place, so that it is never read incomplete.
        self._on_all_pods(
            lambda pod: self._exec(pod, "sh", "-c", f"cat >{START}.new && mv {START}.new {START}", stdin=start)
        )
        return at

    @contextmanager
    def watching(self) -> Iterator["Watch"]:
        """Follow the pods' output during the block."""
        watch = Watch(self)
        try:
            yield watch
        finally:
            watch.close()

    def follow(self, show: Callable[[Progress], None]) -> None:
        """Pass the counts to `show` until the run has ended. Raises DemoError when it fails."""
        with self.watching() as watch:
            watch.wait_until_ended(
                show, deadline=PREPARE_DEADLINE_SECONDS + self.settings.duration + END_DEADLINE_SECONDS
            )

    def wait_until_sending(self) -> None:
        """Return once requests are being sent. Raises DemoError at the deadline."""
        with self.watching() as watch:
            watch.wait_until_sending()

    def stop(self) -> None:
        """End the run: no new requests; those in flight are awaited."""
        self._on_all_pods(lambda pod: self._exec(pod, "rtx-traffic", "stop"))

    def ledger(self) -> Ledger:
        """The merged ledger of the ended run. Raises IncompleteLedgerError or MismatchedLedgersError."""
        return Ledger.merge(self._on_all_pods(self._ledger_of))

    def remove(self) -> None:
        self.kubectl.run(
            "delete", "pod", *self.pods, "--namespace", self.namespace, "--ignore-not-found", "--wait"
        )  # fmt: skip

    def lines(self, pod: str, *, tail: int, deadline: float) -> Iterator[OutputLine]:
        """The pod's output, starting with its last `tail` lines (-1: all). Raises DemoError."""
        command = ("logs", "--follow", f"--tail={tail}", pod, "--namespace", self.namespace)
        for text in self.kubectl.lines(*command, deadline=deadline):
            try:
                yield msgspec.json.decode(text, type=OutputLine)
            except msgspec.DecodeError as error:
                raise DemoError(f"Traffic pod {pod} printed an unknown line: {text[:200]}") from error

    def _pod(self, part: int) -> manifests.Object:
        return manifests.pod(
            self.pods[part],
            self.namespace,
            image=manifests.TRAFFIC_IMAGE,
            args=[
                "run", f"--url={self.engine.url}", *self.settings.options(), f"--part={part}", f"--start={START}",
                f"--ledger={LEDGER}", "--hold",
            ],
            labels=manifests.TRAFFIC_LABELS,
            env_from=SECRET,
        )  # fmt: skip

    def _prepare(self) -> Start:
        command = ("rtx-traffic", "prepare", f"--url={self.engine.url}", f"--accounts={self.settings.accounts}")
        try:
            output = self._exec(self.pods[0], *command, deadline=PREPARE_DEADLINE_SECONDS)
        except KubectlError as error:
            raise DemoError(f"The load could not log in its accounts: {error.reason}") from error
        return msgspec.json.decode(output, type=Start)

    def _ledger_of(self, pod: str) -> Ledger:
        for attempt in range(MAX_ATTEMPTS):
            try:
                return Ledger.parse(self._exec(pod, "cat", LEDGER).splitlines())
            except (IncompleteLedgerError, msgspec.DecodeError):  # a broken stream, or the run has not ended
                if attempt == MAX_ATTEMPTS - 1:
                    raise
        raise AssertionError

    def _exec(self, pod: str, *command: str, stdin: str | None = None, deadline: float = END_DEADLINE_SECONDS) -> bytes:
        return self.kubectl.run_bytes(
            "exec", "-i", pod, "--namespace", self.namespace, "--", *command, stdin=stdin, deadline=deadline
        )

    def _on_all_pods(self, action: Callable[[str], T]) -> list[T]:
        """The result of `action` for each pod, run concurrently."""
        with ThreadPoolExecutor(len(self.pods)) as pool:
            return list(pool.map(action, self.pods))

    def _admin_password(self) -> str:
        secret = self.kubectl.get("secret", self.engine.credentials, self.engine.namespace)
        encoded = (secret or {}).get("data", {}).get("ADMIN_PASSWORD")
        if not encoded:
            name, namespace = self.engine.credentials, self.engine.namespace
            raise DemoError(
                f"Secret {name} in {namespace} has no ADMIN_PASSWORD: check that the engine exists and is Ready."
            )
        return base64.b64decode(encoded).decode()

    def _waiting_reason(self) -> str:
        for name in self.pods:
            pod = self.kubectl.get("pod", name, self.namespace) or {}
            for status in pod.get("status", {}).get("containerStatuses", []):
                if waiting := status.get("state", {}).get("waiting"):
                    return f"{name}: {waiting.get('reason')}: {waiting.get('message', '')}"
        return ""


class Watch:
    """Follows the output of all pods of a run, one thread per pod."""

    def __init__(self, traffic: Traffic) -> None:
        """Starts reading."""
        self._traffic = traffic
        self._progress: dict[str, Progress] = {}
        self._ended: set[str] = set()
        self._error = ""
        self._closed = threading.Event()
        self._threads = [threading.Thread(target=self._read, args=(pod,), daemon=True) for pod in traffic.pods]
        for thread in self._threads:
            thread.start()

    def progress(self) -> Progress:
        """The newest counts, summed over all pods. Raises DemoError when a pod failed."""
        if self._error:
            raise DemoError(self._error)
        return total(list(self._progress.values()))

    def progress_at(self, second: float) -> Progress:
        """The counts once every pod has ended or reported that second of the run. Raises DemoError at the deadline."""
        until = time.monotonic() + END_DEADLINE_SECONDS
        while not all(self._has_reported(pod, second) for pod in self._traffic.pods):
            self.progress()  # raises when a pod failed
            self._wait(until, f"not every pod has reported second {second:.0f}")
        return self.progress()

    def _has_reported(self, pod: str, second: float) -> bool:
        reported = self._progress.get(pod)
        return pod in self._ended or (reported is not None and reported.second >= second)

    def wait_until_sending(self) -> None:
        until = time.monotonic() + PREPARE_DEADLINE_SECONDS
        while self.progress().requests <= self._traffic.settings.sockets:
            self._wait(until, "no requests are sent")

    def wait_until_ended(
        self, show: Callable[[Progress], None] = lambda _: None, *, deadline: float = END_DEADLINE_SECONDS
    ) -> None:
        until = time.monotonic() + deadline
        while len(self._ended) < len(self._threads):
            show(self.progress())
            self._wait(until, "the run has not ended")
        show(self.progress())

    def close(self) -> None:
        """Stop following; each thread ends at its pod's next line."""
        self._closed.set()

    def _wait(self, until: float, what: str) -> None:
        if time.monotonic() > until:
            raise DemoError(
                f"The load is late: {what}. See kubectl logs {self._traffic.name}-0 -n {self._traffic.namespace}."
            )
        time.sleep(self._traffic.poll_seconds)

    def _read(self, pod: str) -> None:
        tail = -1
        for _ in range(MAX_ATTEMPTS):
            try:
                for line in self._traffic.lines(pod, tail=tail, deadline=24 * 3600):
                    if line.progress:
                        self._progress[pod] = line.progress
                    if line.event == "end":
                        self._ended.add(pod)
                    if line.event == "error":
                        self._error = f"Traffic pod {pod} failed: {line.message}"
                    if self._closed.is_set() or line.event in {"end", "error"}:
                        return
            except KubectlError:
                pass
            except DemoError as error:
                self._error = str(error)
                return
            if self._closed.wait(self._traffic.retry_seconds):
                return
            tail = 2  # its end line, in case it has ended meanwhile
        self._error = f"Traffic pod {pod} ended before its run: see kubectl logs {pod} -n {self._traffic.namespace}."
