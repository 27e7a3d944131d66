"""Engine processes, as pods have them."""

import asyncio
import http.client
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from engine_forks import EngineForks, Fork
from engine_postgres import TestDatabase
from engine_redis import RedisServer
from free_ports import free_port

ADMIN_PASSWORD = "admin-password"
ADMIN_PASSWORD_HASH = (
    "$argon2id$v=19$m=8192,t=1,p=1$k1n2o1ePZb+jX3Zyskc79A$2bYhOG6WhhBdGaK/2d6EgEVijLeoqjSzX5knkCQdwrI"  # of the above
)
READY_TIMEOUT_SECONDS = 60.0
QUICK_END = '{"quiet_seconds": 0.1, "websocket_close_seconds": 1.0}'  # for TIMEOUTS, when nobody asks any more
COMMAND = (str(Path(sys.executable).with_name("rtx-engine")), "serve")  # as in the image
Process = Fork | subprocess.Popen[bytes]


class Engine:
    """A running engine process, as a pod has it."""

    def __init__(self, process: Process, port: int, metrics_port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.metrics_url = f"http://127.0.0.1:{metrics_port}/metrics"
        self.log = log

    def probe(self, path: str) -> int:
        """The status that a probe of `path` gets; 0 when nothing listens."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()

    async def wait_for(self, path: str, status: int = 200) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_SECONDS
        while await asyncio.to_thread(self.probe, path) != status:
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{path} never answered {status}: {self.log.read_text(errors='replace')[-3000:]}")
            await asyncio.sleep(0.02)

    def vanish(self) -> None:
        """What a node that fails does: the pod is gone, without a word."""
        self.process.kill()
        self.process.wait()

    async def terminate(self, deadline: float = 40.0) -> int:
        """What the kubelet does; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(self.process.wait, deadline)


@dataclass(frozen=True)
class Colours:
    """A running pod of each colour."""

    blue: Engine
    green: Engine


class Engines:
    """Starts engine processes on one database and one Redis."""

    def __init__(self, database: TestDatabase, redis: RedisServer, folder: Path, forks: EngineForks) -> None:
        self.database = database
        self.redis = redis
        self._forks = forks
        self._folder = folder
        self.running: list[Engine] = []

    def environment(self, **changes: str) -> dict[str, str]:
        database, redis = self.database.engine, self.redis.settings
        return {
            "PATH": os.environ["PATH"],
            "PYTHONUNBUFFERED": "1",
            "DB_HOST": database.host,
            "DB_PORT": str(database.port),
            "DB_NAME": database.name,
            "DB_USER": database.user,
            "DB_PASSWORD": database.password,
            "REDIS_HOST": redis.host,
            "REDIS_PORT": str(redis.port),
            "REDIS_PASSWORD": redis.password or "",
            "JWT_SECRET": "a secret of the tests, long enough for HS256",
            "ADMIN_PASSWORD_HASH": ADMIN_PASSWORD_HASH,
            "PEER_SECRET": "peer",
            "COLOUR": "blue",
            "POD_NAME": f"pod-{len(self.running)}",
            **changes,
        }

    def launch(self, *command: str, **changes: str) -> Engine:
        """Start a process; it need not become ready. `command` instead of a fork of engine_forkserver.py."""
        port, metrics_port = int(changes.get("PORT", free_port())), free_port()
        environment = self.environment(**{"PORT": str(port), "METRICS_PORT": str(metrics_port), **changes})
        log = self._folder / f"engine-{len(self.running)}.log"
        process: Process
        if command:
            with log.open("wb") as output:
                process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
        else:
            process = self._forks.fork("serve", environment=environment, output=log)
        engine = Engine(process, port, metrics_port, log)
        self.running.append(engine)
        return engine

    async def start(self, *command: str, **changes: str) -> Engine:
        """Start a process and wait until it is ready."""
        engine = self.launch(*command, **changes)
        await engine.wait_for("/ready")
        return engine

    async def start_colours(self, *, forwarding: bool = True, **changes: str) -> "Colours":
        """A pod of each colour; each finds the other by a Service that selects it."""
        ports = {colour: free_port() for colour in ("blue", "green")}
        services = ",".join(f"{colour}={port}" for colour, port in ports.items())
        service = {"PEER_SERVICE": "rtx-engine-{colour}"} if forwarding else {}
        started = [
            self.launch(COLOUR=colour, PORT=str(port), SERVICES=services, **service, **changes)
            for colour, port in ports.items()
        ]
        for engine in started:
            await engine.wait_for("/ready")
        return Colours(*started)

    def stop_all(self) -> None:
        for engine in self.running:
            if engine.process.poll() is None:
                engine.process.kill()
                engine.process.wait()
