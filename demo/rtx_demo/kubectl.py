"""Runs kubectl against the local cluster, each call with a deadline."""

import json
import os
import selectors
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import DemoError

LOCAL_CONTEXTS = frozenset({"rtx-lab", "kind-rtx-lab"})
DEADLINE_SECONDS = 60.0

Object = dict[str, Any]


class KubectlError(DemoError):
    """kubectl failed; `reason` is its standard error."""

    def __init__(self, command: Sequence[str], reason: str) -> None:
        super().__init__(f"kubectl {' '.join(command)}: {reason}")
        self.reason = reason


@dataclass(frozen=True)
class Kubectl:
    """kubectl whose context was checked to be the local cluster."""

    program: tuple[str, ...]

    @classmethod
    def of_local_cluster(cls, program: Sequence[str]) -> "Kubectl":
        """Check the context. Raises DemoError when it is not the local cluster's."""
        kubectl = cls(tuple(program))
        context = kubectl.run("config", "current-context").strip()
        if context not in LOCAL_CONTEXTS:
            raise DemoError(
                f"The context is {context}, which is not the local cluster ({' or '.join(sorted(LOCAL_CONTEXTS))}): "
                "nothing was changed. Run `lab up` and use its kubeconfig."
            )
        return kubectl

    def run(self, *args: str, stdin: str | None = None, deadline: float = DEADLINE_SECONDS) -> str:
        """The command's output. Raises KubectlError."""
        return self.run_bytes(*args, stdin=stdin, deadline=deadline).decode()

    def run_bytes(self, *args: str, stdin: str | None = None, deadline: float = DEADLINE_SECONDS) -> bytes:
        try:
            done = subprocess.run(
                [*self.program, *args],
                input=stdin.encode() if stdin is not None else None,
                stdin=subprocess.DEVNULL if stdin is None else None,
                capture_output=True,
                timeout=deadline,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise KubectlError(args, f"did not end within {deadline:.0f} s") from None
        if done.returncode:
            raise KubectlError(args, done.stderr.decode(errors="replace").strip() or f"exit code {done.returncode}")
        return done.stdout

    def apply(self, *objects: Object, manager: str = "rtx-demo") -> None:
        """Server-side apply of all objects. Raises KubectlError."""
        document = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        self.run("apply", "--server-side", f"--field-manager={manager}", "--force-conflicts", "-f-", stdin=document)

    def get(self, kind: str, name: str, namespace: str | None = None) -> Object | None:
        """The object; None when it does not exist."""
        found = self.run("get", kind, name, *_in(namespace), "--ignore-not-found", "-o", "json")
        return json.loads(found) if found.strip() else None

    def list(self, kind: str, namespace: str | None = None, selector: str = "") -> "list[Object]":
        where = _in(namespace) if namespace else ("--all-namespaces",)
        found = self.run("get", kind, *where, f"--selector={selector}", "-o", "json")
        items: list[Object] = json.loads(found)["items"]
        return items

    def delete(self, kind: str, name: str, namespace: str | None = None, *, deadline: float = DEADLINE_SECONDS) -> None:
        """Delete the object and wait until it is gone; a missing one is no error."""
        self.run("delete", kind, name, *_in(namespace), "--ignore-not-found", "--wait", deadline=deadline)

    def lines(self, *args: str, deadline: float) -> Iterator[str]:
        """Lines of a long-running command (watch, logs -f) until it ends. Raises KubectlError."""
        until = time.monotonic() + deadline
        process = subprocess.Popen(
            [*self.program, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdout  # noqa: S101  a pipe, see Popen
        assert process.stderr  # noqa: S101  likewise
        try:
            with selectors.DefaultSelector() as ready:
                ready.register(process.stdout, selectors.EVENT_READ)
                pending = b""
                while True:
                    if not ready.select(timeout=max(0.0, until - time.monotonic())):
                        raise KubectlError(args, f"did not end within {deadline:.0f} s")
                    chunk = os.read(process.stdout.fileno(), 1 << 16)
                    if not chunk:
                        break
                    *whole, pending = (pending + chunk).split(b"\n")
                    yield from (line.decode() for line in whole)
            errors = process.stderr.read()
            if process.wait():
                raise KubectlError(args, errors.decode(errors="replace").strip() or f"exit code {process.returncode}")
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
            process.stderr.close()


def _in(namespace: str | None) -> tuple[str, ...]:
    return ("--namespace", namespace) if namespace else ()
