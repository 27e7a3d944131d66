"""kubectl as the way to the cluster: its kubeconfig, its logins, its proxies (ADR 0190)."""

import argparse
import contextlib
import json
import os
import selectors
import shlex
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

from rtx_operator.api.names import GROUP, PLURAL

from rtx_cli.decide.refusals import Explanation, Refusal, explain, forbidden_kinds
from rtx_cli.exits import CliError, ExitCode

Object = dict[str, Any]

ENGINES = f"{PLURAL}.{GROUP}"
REQUEST_TIMEOUT, REQUEST_SECONDS = "--request-timeout", 30  # kubectl has none unless the user gives one
# A person's preferences for kubectl, such as another default output, are not meant for its output to this program.
_WITHOUT_PREFERENCES = {"KUBECTL_KUBERC": "false", "KUBERC": "off"}


class KubectlError(CliError):
    """kubectl failed; `refusal` says why."""

    def __init__(self, explanation: Explanation) -> None:
        super().__init__(explanation.message)
        self.refusal = explanation.refusal


@dataclass(frozen=True, slots=True)
class Listing:
    """What was found, and the kinds that may not be listed."""

    items: tuple[Object, ...]
    unreadable: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Kubectl:
    """kubectl with the flags that the user gave."""

    program: tuple[str, ...]
    flags: tuple[str, ...]
    namespace: str  # empty: the context's

    @classmethod
    def of(cls, arguments: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> "Kubectl":
        """By the command line; the variable KUBECTL names another program, such as `oc`."""
        named = {
            "--context": arguments.context,
            "--kubeconfig": arguments.kubeconfig,
            "--as": arguments.as_user,
            "--as-group": arguments.as_group,
            REQUEST_TIMEOUT: arguments.request_timeout,
        }
        flags = tuple(f"{flag}={value}" for flag, value in named.items() if value is not None)
        program = tuple(shlex.split(environment.get("KUBECTL", ""))) or ("kubectl",)
        return cls(program, flags, arguments.namespace or "")

    def within(self, namespace: str) -> "Kubectl":
        return Kubectl(self.program, self.flags, namespace)

    def run(self, *words: str, stdin: str | None = None) -> str:
        """Standard output. Raises KubectlError."""
        out, err, code = self._communicate(words, stdin)
        if code:
            raise KubectlError(explain(err))
        return out

    def get(self, *words: str) -> Object:
        """The object, or the List. Raises KubectlError."""
        return self._object(self.run("get", *words, "-o", "json"))

    def list(self, kinds: Sequence[str], *words: str) -> Listing:
        """All objects of these kinds that may be listed. Raises KubectlError when it is not rights that are missing."""
        out, err, code = self._communicate(("get", ",".join(kinds), *words, "-o", "json"), None)
        unreadable = forbidden_kinds(err)
        if code and not unreadable:
            raise KubectlError(explain(err))
        found = self._object(out) if out.strip() else {}
        return Listing(tuple(found.get("items") or ()), unreadable)

    def patch(self, name: str, change: Object, *words: str) -> Object:
        """Merge the change into a TradingEngine; returns the object. Raises KubectlError."""
        text = json.dumps(change)
        return self._object(self.run("patch", ENGINES, name, "--type=merge", f"--patch={text}", *words, "-o", "json"))

    def apply(self, manifest: Object, *words: str) -> Object:
        """Apply one object; returns it as it is stored then. Raises KubectlError."""
        return self._object(self.run("apply", *words, "-f", "-", "-o", "json", stdin=json.dumps(manifest)))

    def _object(self, text: str) -> Object:
        try:
            found: Object = json.loads(text)
        except ValueError:
            raise CliError(f"{self.program[0]} answered with no JSON: set the variable KUBECTL to a kubectl") from None
        return found

    def watch(self, *words: str, pulse: float, deadline: float | None = None) -> "Iterator[Object | None]":
        """The events of a watch as {"type", "object"}, until the server ends it; None after `pulse` s without one.

        Raises KubectlError, and TimedOutError at the deadline (of time.monotonic).
        """
        with self.process("get", *words, "--watch", "--output-watch-events", "-o", "json") as running:
            for line in running.pulses(pulse, deadline):
                yield self._object(line) if line else None  # kubectl writes an event in one line

    @contextlib.contextmanager
    def process(self, *words: str) -> "Iterator[Process]":
        """A kubectl that runs until the block ends."""
        running = Process(self._start(words, None))
        try:
            yield running
        finally:
            running.end()

    def _communicate(self, words: Sequence[str], stdin: str | None) -> tuple[str, str, int]:
        limited = any(flag.startswith(REQUEST_TIMEOUT) for flag in self.flags)
        limit = () if limited else (f"{REQUEST_TIMEOUT}={REQUEST_SECONDS}s",)
        process = self._start(words, stdin, *limit)
        out, err = process.communicate(stdin.encode() if stdin is not None else None)
        return out.decode(errors="replace"), err.decode(errors="replace"), process.returncode

    def _start(self, words: Sequence[str], stdin: str | None, *more: str) -> "subprocess.Popen[bytes]":
        here = (f"--namespace={self.namespace}",) if self.namespace else ()
        try:
            return subprocess.Popen(
                [*self.program, words[0], *self.flags, *more, *here, *words[1:]],
                stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, **_WITHOUT_PREFERENCES},
            )
        except FileNotFoundError:
            raise CliError(
                f"there is no program {self.program[0]!r}: install kubectl, or name yours in the variable KUBECTL"
            ) from None


class Process:
    """A kubectl that runs: a watch, a log that is followed, a forwarded port."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self._errors: list[bytes] = []
        assert process.stderr  # noqa: S101 - a pipe
        # Read all the time: a process whose standard error is full stops.
        self._reader = threading.Thread(target=self._collect, args=(process.stderr,), daemon=True)
        self._reader.start()

    def _collect(self, stderr: IO[bytes]) -> None:
        with contextlib.suppress(ValueError, OSError):  # closed at the end
            for line in stderr:
                self._errors.append(line)

    def lines(self) -> Iterator[str]:
        """Its lines until it ends. Raises KubectlError when it fails."""
        return (line for line in self.pulses() if line is not None)

    def pulses(self, pulse: float | None = None, deadline: float | None = None) -> Iterator[str | None]:
        """Likewise, and None after `pulse` s without output. Raises TimedOutError at the deadline, too."""
        pipe = self._process.stdout
        assert pipe  # noqa: S101 - a pipe
        pending = b""
        with selectors.DefaultSelector() as ready:
            ready.register(pipe, selectors.EVENT_READ)
            while True:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise TimedOutError
                if not ready.select(min([one for one in (left, pulse) if one is not None], default=None)):
                    yield None
                    continue
                chunk = os.read(pipe.fileno(), 1 << 16)
                if not chunk:
                    break
                *whole, pending = (pending + chunk).split(b"\n")
                yield from (line.decode(errors="replace") for line in whole)
        if pending:
            yield pending.decode(errors="replace")
        if self._process.wait():
            self._reader.join(1.0)
            raise KubectlError(explain(b"".join(self._errors).decode(errors="replace")))

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe:
                pipe.close()


class TimedOutError(CliError):
    """The time that the user gave is over."""

    def __init__(self) -> None:
        super().__init__("the time is over", ExitCode.TIMED_OUT)


def is_worth_retrying(error: KubectlError) -> bool:
    return error.refusal is Refusal.UNREACHABLE
