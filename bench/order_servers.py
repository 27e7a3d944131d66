"""The servers of the benchmark: PostgreSQL that writes to disk, Redis, and an engine process."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # ships no types
from rtx_engine.config import Database
from rtx_engine.store.migrate import Migrator
from rtx_lab import packages
from rtx_lab.progress import Reporter

ROOT = Path(__file__).parents[1]
PASSWORDS = {
    "DB_SUPERUSER_PASSWORD": "superuser",
    "DB_OPERATOR_PASSWORD": "operator",
    "DB_MIGRATOR_PASSWORD": "migrator",
    "DB_REPLICATION_PASSWORD": "replicator",
    "DB_PASSWORD": "engine",
}
SETTINGS = {  # as in database/postgresql.conf
    "synchronous_commit": "on",
    "track_commit_timestamp": "on",
    "max_wal_size": "2GB",
    "shared_buffers": "128MB",
    "jit": "off",
    "listen_addresses": "127.0.0.1",
}
REDIS_PASSWORD = "redis"  # noqa: S105  # of a server that runs during the benchmark only
ENGINE = "bench/rtx"  # as tokens name it
JWT_SECRET = "a secret that lives as long as the benchmark"  # noqa: S105
UNUSED_HASH = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$5uNYSDmw2nvWpUu8zJBBdQ"  # nobody logs in
START_DEADLINE_SECONDS = 30.0
STOP_DEADLINE_SECONDS = 30.0


class BenchmarkError(Exception):
    """The benchmark cannot run. The message is one sentence."""


@dataclass(frozen=True)
class Servers:
    """The running servers: the database's port and an engine's environment."""

    database_port: int
    environment: dict[str, str]

    def database(self, role: str) -> Database:
        return Database("127.0.0.1", self.database_port, "trading_engine", role, role.removeprefix("rtx_"))


@contextmanager
def running(connections: int) -> Iterator[Servers]:
    """PostgreSQL with roles, fence and tables as in production, and Redis, in a temporary folder.

    An engine opens so many `connections` to PostgreSQL.

    Installs missing packages. Raises LabError when it cannot, and BenchmarkError when a server does not start.
    """
    packages.ensure(packages.SERVERS, Reporter())
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="rtx-bench-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        port = stack.enter_context(_postgres(folder))
        redis_port = stack.enter_context(_redis(folder))
        environment = {
            "PATH": os.environ["PATH"],
            "DB_HOST": "127.0.0.1",
            "DB_PORT": str(port),
            "DB_PASSWORD": PASSWORDS["DB_PASSWORD"],
            "DB_CONNECTIONS": str(connections),
            "REDIS_HOST": "127.0.0.1",
            "REDIS_PORT": str(redis_port),
            "REDIS_PASSWORD": REDIS_PASSWORD,
            "JWT_SECRET": JWT_SECRET,
            "ADMIN_PASSWORD_HASH": UNUSED_HASH,
            "PEER_SECRET": "nobody forwards",
            "COLOUR": "blue",
            "LOG_LEVEL": "WARNING",
        }
        servers = Servers(port, environment)
        asyncio.run(_prepare(servers))
        yield servers


@contextmanager
def serving(servers: Servers, command: Sequence[str]) -> Iterator[int]:
    """Runs `command` as the engine; yields its port once it is ready. Raises BenchmarkError."""
    port = _free_port()
    environment = servers.environment | {"PORT": str(port), "METRICS_PORT": str(_free_port())}
    with subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL) as process:
        try:
            _wait(process, lambda: _answers(port))
            yield port
        finally:
            _stop(process, signal.SIGTERM)


def engine_command() -> list[str]:
    return [str(Path(sys.executable).with_name("rtx-engine")), "serve"]


async def open_accounts(servers: Servers, count: int) -> list[int]:
    """Insert accounts as rtx_migrator, which the fence permits, without hashing passwords; returns their ids."""
    database = servers.database("rtx_migrator")
    connection = await _connect(database)
    try:
        rows = await connection.fetch(
            "INSERT INTO accounts (currency, balance, leverage) "
            "SELECT 'USD', 1000000000, 100 FROM generate_series(1, $1::int) RETURNING id",
            count,
        )
    finally:
        await connection.close()
    return [row["id"] for row in rows]


async def count_fills(servers: Servers) -> int:
    connection = await _connect(servers.database("rtx_engine"))
    try:
        return int(await connection.fetchval("SELECT count(*) FROM fills"))
    finally:
        await connection.close()


async def _prepare(servers: Servers) -> None:
    connection = await _connect(servers.database("rtx_operator"))
    try:
        fence = ROOT / "operator/rtx_operator/cluster/postgres/fence.sql"
        await connection.execute(fence.read_text(encoding="utf-8"))
        await connection.execute(
            "INSERT INTO rtx_operator.execution_fence (epoch, executors, cutover, owner) VALUES (1, '{blue}', '', $1)",
            f"{ENGINE}/uid",
        )
    finally:
        await connection.close()
    async with Migrator.connected(servers.database("rtx_migrator")) as migrator:
        await migrator.up()


async def _connect(database: Database) -> asyncpg.Connection:
    return await asyncpg.connect(
        host=database.host,
        port=database.port,
        user=database.user,
        password=database.password,
        database=database.name,
        timeout=10,
    )


@contextmanager
def _postgres(folder: Path) -> Iterator[int]:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    binaries, data, port = found[-1], folder / "data", _free_port()
    user: list[str] = []
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        shutil.chown(folder, "postgres", "postgres")
        user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    initdb = [*user, str(binaries / "initdb"), f"--pgdata={data}", "--username=postgres", "--encoding=UTF8"]
    _run([*initdb, "--auth-local=trust", "--auth-host=scram-sha-256"])
    settings = {**SETTINGS, "port": str(port), "unix_socket_directories": str(folder)}
    options = [f"--{name}={value}" for name, value in settings.items()]
    with (folder / "postgres.log").open("wb") as log:
        process = subprocess.Popen([*user, str(binaries / "postgres"), "-D", data, *options], stdout=log, stderr=log)
    try:
        where = [f"--host={folder}", f"--port={port}"]
        probe = [str(binaries / "pg_isready"), *where, "--quiet"]
        _wait(process, lambda: subprocess.run(probe, check=False, timeout=10).returncode == 0)
        roles = ROOT / "database/roles.sql"
        psql = [str(binaries / "psql"), *where, "--username=postgres", "--no-psqlrc", "--set=ON_ERROR_STOP=1"]
        _run([*psql, f"--file={roles}"], os.environ | PASSWORDS)
        yield port
    finally:
        _stop(process, signal.SIGINT)


@contextmanager
def _redis(folder: Path) -> Iterator[int]:
    port = _free_port()
    options = f"--port {port} --bind 127.0.0.1 --requirepass {REDIS_PASSWORD} --appendonly yes --dir {folder}".split()
    process = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
    try:
        _wait(process, lambda: _answers(port))
        yield port
    finally:
        _stop(process, signal.SIGTERM)


def _wait(process: "subprocess.Popen[bytes]", ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_DEADLINE_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise BenchmarkError(
                f"{process.args!r} did not start within {START_DEADLINE_SECONDS:.0f} s; see its output above"
            )
        time.sleep(0.1)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _run(command: list[str], environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise BenchmarkError(f"{command[0]} failed: {done.stderr.strip()}")


def _stop(process: "subprocess.Popen[bytes]", number: int) -> None:
    process.send_signal(number)
    try:
        process.wait(timeout=STOP_DEADLINE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
