"""A run of the load inside the cluster: its pods, their live lines, and the one ledger afterwards."""

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
START_LEAD_SECONDS = 3.0  # seconds from when the pods are told to begin until they do: the WebSockets open meanwhile
MAX_ATTEMPTS = 3  # to fetch a ledger, or to find lines again that broke off

T = TypeVar("T")


@dataclass(frozen=True)
class Settings:
    """As the options of `rtx-traffic run`; duration 0 goes on until `stop`."""

    rate: float = 300  # two cores bear it while two colours run and pods start; `--rate` asks for more
    keep_alive: int = 32
    new_per_second: float = 100
    sockets: int = 100
    accounts: int = 50
    duration: float = 30
    pods: int = 2  # the live Service sends all that one address asks for to one engine pod

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
    """One run against one engine. Its pods go on when this process does not."""

    kubectl: Kubectl
    engine: Engine
    settings: Settings
    namespace: str = manifests.TRAFFIC_NAMESPACE
    name: str = "rtx-traffic"
    poll_seconds: float = 1.0  # between two looks at what the pods have said
    retry_seconds: float = 2.0  # until lines that broke off are asked for again

    @property
    def pods(self) -> list[str]:
        return [f"{self.name}-{part}" for part in range(self.settings.pods)]

    def start(self) -> float:
        """Replace the pods of an earlier run, log the accounts in, and let all pods begin at once; when (Unix seconds).

        Raises DemoError.
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
            raise DemoError(f"A traffic pod does not start: {self._waiting_reason() or error.reason}") from error
        prepared = self._prepare()
        at = time.time() + START_LEAD_SECONDS
        start = msgspec.json.encode(msgspec.structs.replace(prepared, at=at)).decode()
        # Moved into place, so that it is never read half written.
        self._on_all_pods(
            lambda pod: self._exec(pod, "sh", "-c", f"cat >{START}.new && mv {START}.new {START}", stdin=start)
        )
        return at

    @contextmanager
    def watching(self) -> Iterator["Watch"]:
        """The pods' lines, while the block goes on."""
        watch = Watch(self)
        try:
            yield watch
        finally:
            watch.close()

    def follow(self, show: Callable[[Progress], None]) -> None:
        """Show each second's counts until the run has ended. Raises DemoError when it ends otherwise."""
        with self.watching() as watch:
            watch.wait_until_ended(
                show, deadline=PREPARE_DEADLINE_SECONDS + self.settings.duration + END_DEADLINE_SECONDS
            )

    def wait_until_sending(self) -> None:
        """Return once requests are being sent."""
        with self.watching() as watch:
            watch.wait_until_sending()

    def stop(self) -> None:
        """Let the run end: nothing new is sent, what is under way is waited for."""
        self._on_all_pods(lambda pod: self._exec(pod, "rtx-traffic", "stop"))

    def ledger(self) -> Ledger:
        """The ledger of the run that has ended. Raises IncompleteLedgerError."""
        return Ledger.merge(self._on_all_pods(self._ledger_of))

    def remove(self) -> None:
        self.kubectl.run(
            "delete", "pod", *self.pods, "--namespace", self.namespace, "--ignore-not-found", "--wait"
        )  # fmt: skip

    def lines(self, pod: str, *, tail: int, deadline: float) -> Iterator[OutputLine]:
        """What the pod prints from its last `tail` lines on (-1: from the first)."""
        command = ("logs", "--follow", f"--tail={tail}", pod, "--namespace", self.namespace)
        for text in self.kubectl.lines(*command, deadline=deadline):
            try:
                yield msgspec.json.decode(text, type=OutputLine)
            except msgspec.DecodeError as error:
                raise DemoError(f"Traffic pod {pod} printed something else than its lines: {text[:200]}") from error

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
            said = self._exec(self.pods[0], *command, deadline=PREPARE_DEADLINE_SECONDS)
        except KubectlError as error:
            raise DemoError(f"The load could not log its accounts in: {error.reason}") from error
        return msgspec.json.decode(said, type=Start)

    def _ledger_of(self, pod: str) -> Ledger:
        for attempt in range(MAX_ATTEMPTS):
            try:
                return Ledger.parse(self._exec(pod, "cat", LEDGER).splitlines())
            except (IncompleteLedgerError, msgspec.DecodeError):  # a stream that broke off, or a run that goes on
                if attempt == MAX_ATTEMPTS - 1:
                    raise
        raise AssertionError

    def _exec(self, pod: str, *command: str, stdin: str | None = None, deadline: float = END_DEADLINE_SECONDS) -> bytes:
        return self.kubectl.run_bytes(
            "exec", "-i", pod, "--namespace", self.namespace, "--", *command, stdin=stdin, deadline=deadline
        )

    def _on_all_pods(self, action: Callable[[str], T]) -> list[T]:
        """What `action` gives for each pod, all at once."""
        with ThreadPoolExecutor(len(self.pods)) as pool:
            return list(pool.map(action, self.pods))

    def _admin_password(self) -> str:
        secret = self.kubectl.get("secret", self.engine.credentials, self.engine.namespace)
        encoded = (secret or {}).get("data", {}).get("ADMIN_PASSWORD")
        if not encoded:
            name, namespace = self.engine.credentials, self.engine.namespace
            raise DemoError(f"Secret {name} in {namespace} has no ADMIN_PASSWORD: is the engine there?")
        return base64.b64decode(encoded).decode()

    def _waiting_reason(self) -> str:
        for name in self.pods:
            pod = self.kubectl.get("pod", name, self.namespace) or {}
            for status in pod.get("status", {}).get("containerStatuses", []):
                if waiting := status.get("state", {}).get("waiting"):
                    return f"{name}: {waiting.get('reason')}: {waiting.get('message', '')}"
        return ""


class Watch:
    """The lines of all pods of a run, each read by a thread of its own."""

    def __init__(self, traffic: Traffic) -> None:
        """Begins to read."""
        self._traffic = traffic
        self._progress: dict[str, Progress] = {}
        self._ended: set[str] = set()
        self._error = ""
        self._leave = threading.Event()
        self._threads = [threading.Thread(target=self._read, args=(pod,), daemon=True) for pod in traffic.pods]
        for thread in self._threads:
            thread.start()

    def progress(self) -> Progress:
        """The newest counts of all pods together; raises DemoError when one gave up."""
        if self._error:
            raise DemoError(self._error)
        return total(list(self._progress.values()))

    def progress_at(self, second: float) -> Progress:
        """The counts once every pod has told those of that second of the run, or of a later one, or has ended."""
        until = time.monotonic() + END_DEADLINE_SECONDS
        while not all(self._has_reported(pod, second) for pod in self._traffic.pods):
            self.progress()  # raises when one gave up
            self._wait(until, f"not every pod has told the counts of second {second:.0f}")
        return self.progress()

    def _has_reported(self, pod: str, second: float) -> bool:
        told = self._progress.get(pod)
        return pod in self._ended or (told is not None and told.second >= second)

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
        """Leave the pods alone; a thread ends with its pod's next line."""
        self._leave.set()

    def _wait(self, until: float, what: str) -> None:
        if time.monotonic() > until:
            raise DemoError(f"The load does not keep its time: {what}; see kubectl logs {self._traffic.name}-0.")
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
                        self._error = f"Traffic pod {pod} gave up: {line.message}"
                    if self._leave.is_set() or line.event in {"end", "error"}:
                        return
            except KubectlError:
                pass
            except DemoError as error:
                self._error = str(error)
                return
            if self._leave.wait(self._traffic.retry_seconds):
                return
            tail = 2  # the last words, should it have ended meanwhile
        self._error = f"Traffic pod {pod} ended before its run did: kubectl logs {pod} -n {self._traffic.namespace}"
