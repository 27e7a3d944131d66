"""A real Redis for the engine's tests."""

import signal
import subprocess
from pathlib import Path

from engine_servers import stop, wait_until
from rtx_engine.config import Redis


class RedisServer:
    """A Redis that can be stopped and started again, as an outage does."""

    def __init__(self, folder: Path, port: int) -> None:
        self.settings = Redis("127.0.0.1", port, "redis")
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = (
            f"--port {self.settings.port} --bind 127.0.0.1 --requirepass redis --save --dir {self._folder}".split()
        )
        log = self._folder / "log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(["redis-server", *options], stdout=output, stderr=output)
        ping = ["redis-cli", "-p", str(self.settings.port), "-a", "redis", "--no-auth-warning", "-e", "ping"]
        wait_until(self._process, ping, log)

    def stop(self) -> None:
        if self._process is not None:
            stop(self._process, signal.SIGTERM)
            self._process = None
