"""The client of engine_forkserver.py."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

POLL_INTERVAL_SECONDS = 0.01


class Fork:
    """An engine's process: the part of subprocess.Popen that tests use."""

    def __init__(self, pid: int, exit_file: Path) -> None:
        self.pid = pid
        self._exit_file = exit_file

    def poll(self) -> int | None:
        """The exit code; minus a signal's number when that has ended it; None while it runs."""
        return int(self._exit_file.read_text(encoding="ascii")) if self._exit_file.exists() else None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit code. Raises subprocess.TimeoutExpired."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(f"engine {self.pid}", timeout or 0.0)
            time.sleep(POLL_INTERVAL_SECONDS)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it has ended, and its exit code is about to be written
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class EngineForks:
    """Starts engines."""

    def __init__(self) -> None:
        program = Path(__file__).with_name("engine_forkserver.py")
        self._server = subprocess.Popen(
            [sys.executable, "-u", str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def fork(self, *arguments: str, environment: Mapping[str, str], output: Path, errors: Path | None = None) -> Fork:
        """`rtx-engine` with those arguments and that environment; `errors` is `output` when it is not given."""
        exit_file = output.with_suffix(".exit")
        request = {
            "arguments": arguments,
            "environment": dict(environment),
            "output": str(output),
            "errors": str(errors or output),
            "exit": str(exit_file),
        }
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        return Fork(int(self._server.stdout.readline()), exit_file)

    def stop(self) -> None:
        """End the server, and all engines with it."""
        self._server.communicate()
        self._server.wait()
