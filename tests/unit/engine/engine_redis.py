"""A real Redis for the engine's tests."""

import signal
import subprocess
from pathlib import Path

from engine_servers import stop, wait_until
from rtx_engine.config import Redis

PASSWORD = "redis"


class RedisServer:
    """A Redis that can be stopped and started again, as an outage does."""

    def __init__(self, folder: Path, port: int) -> None:
        self.settings = Redis("127.0.0.1", port, PASSWORD)
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = (
            f"--port {self.settings.port} --bind 127.0.0.1 --requirepass {PASSWORD} --save --dir {self._folder}".split()
        )
        log = self._folder / "log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(["redis-server", *options], stdout=output, stderr=output)
        wait_until(self._process, self._command(PASSWORD, "ping"), log)

    def stop(self) -> None:
        if self._process is not None:
            self.thaw()
            stop(self._process, signal.SIGTERM)
            self._process = None

    def freeze(self) -> None:
        """Accept connections, as the kernel does, and answer nothing."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def empty(self) -> None:
        """Lose all data and every connection, as a restart without its volume does."""
        self._call(PASSWORD, "flushall")
        self._call(PASSWORD, "client", "kill", "skipme", "yes")

    def change_password(self, before: str, after: str) -> None:
        """And end every session that logged in with the one before."""
        self._call(before, "config", "set", "requirepass", after)
        for kind in ("normal", "pubsub"):
            self._call(after, "client", "kill", "type", kind, "skipme", "yes")

    def _call(self, password: str, *words: str) -> None:
        subprocess.run(self._command(password, *words), check=True, capture_output=True)

    def _command(self, password: str, *words: str) -> list[str]:
        return ["redis-cli", "-p", str(self.settings.port), "-a", password, "--no-auth-warning", "-e", *words]
