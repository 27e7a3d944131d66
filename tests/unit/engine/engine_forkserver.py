"""Starts engines as forks of itself: most of an engine's start is the import of its modules, which is done here once.

Reads requests from standard input, one a line, and answers each with the engine's process id. The exit code of an
engine is written to the file that its request names. All engines end with this process.

Six things may differ from the command `rtx-engine`, by the environment of the engine:
SERVICES, like blue=7001,green=7002: the colours' Services are these ports of this machine.
PRICES_STOPPED_AT, a time in ISO format: all prices are of then.
LIMITS, a JSON object: the fields of rtx_engine.api.limits.Limits that are not production's.
READ_LIMITS, a JSON object: the fields of rtx_engine.store.read_admission.ReadLimits that are not production's.
WRITER_FAILS: the order writer ends after its first batch.
TIMEOUTS, a JSON object: the fields of rtx_engine.timeouts.Timeouts that are not production's.
"""

import json
import os
import signal
import sys
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TypedDict

from rtx_engine import main, server
from rtx_engine.api.peer_client import PeerClient
from rtx_engine.feed.source import SimulatedSource
from rtx_engine.store.read_admission import ReadLimits
from rtx_engine.timeouts import Timeouts


class Request(TypedDict):
    """An engine to start. The last three are paths of files, of which `output` and `errors` may be the same."""

    arguments: list[str]
    environment: dict[str, str]
    output: str
    errors: str
    exit: str


class ForkServer:
    """The process that forks. Has no threads: a fork would not have them."""

    def __init__(self) -> None:
        self._exits: dict[int, Path] = {}  # by process id, of the engines that run
        signal.signal(signal.SIGCHLD, lambda *_: self._reap())

    def run(self) -> Request | None:
        """Returns the request to serve in each child, and None in this process when nobody asks any more."""
        for line in sys.stdin:
            request: Request = json.loads(line)
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
            pid = os.fork()
            if pid == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
                return request
            self._exits[pid] = Path(request["exit"])
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
            os.write(1, f"{pid}\n".encode())
        for pid in list(self._exits):
            os.kill(pid, signal.SIGKILL)
        return None

    def _reap(self) -> None:
        """Note the exit codes of those that have ended. One that is not among them yet has its own signal to come."""
        for pid, exit_file in list(self._exits.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self._exits[pid]
                unfinished = exit_file.with_suffix(".unfinished")
                unfinished.write_text(str(os.waitstatus_to_exitcode(status)), encoding="ascii")
                unfinished.rename(exit_file)


def serve(request: Request) -> None:
    """Be the engine of `request`, as the console script `rtx-engine` is."""
    for target, path in enumerate((os.devnull, request["output"], request["errors"])):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644), target)
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["rtx-engine", *request["arguments"]]
    if services := os.environ.get("SERVICES"):
        ports = dict(service.split("=") for service in services.split(","))
        PeerClient._host = lambda _, colour: f"127.0.0.1:{ports[colour]}"  # type: ignore[method-assign]
    if stopped_at := os.environ.get("PRICES_STOPPED_AT"):
        main.SimulatedSource = partial(SimulatedSource, clock=lambda: datetime.fromisoformat(stopped_at))
    server.LIMITS = replace(server.LIMITS, **json.loads(os.environ.get("LIMITS", "{}")))
    read_limits = ReadLimits(**json.loads(os.environ.get("READ_LIMITS", "{}")))
    server.Store = partial(server.Store, read_limits=read_limits)  # type: ignore[misc]  # called once
    if os.environ.get("WRITER_FAILS"):
        server.metrics.BATCH_SIZE = SimpleNamespace(observe=_fail)  # type: ignore[assignment]  # called after each batch
    timeouts = Timeouts(**json.loads(os.environ.get("TIMEOUTS", "{}")))
    main.run_server = partial(server.serve, timeouts=timeouts)
    main.run()


def _fail(_size: float) -> None:
    raise RuntimeError("a bug of the tests")


if __name__ == "__main__" and (wanted := ForkServer().run()):
    serve(wanted)
