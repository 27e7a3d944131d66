"""A real PostgreSQL and a real Redis for the engine's tests, each started once and gone afterwards."""

import asyncio
import datetime as dt
import http.client
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
import uuid_utils.compat
from rtx_engine.config import Database, Redis
from rtx_engine.domain.accounts import NewAccount
from rtx_engine.domain.events import AccountEvent
from rtx_engine.domain.orders import MarketOrder, Side
from rtx_engine.domain.pricing import Quote
from rtx_engine.domain.symbols import SYMBOLS
from rtx_engine.store import Placed, Store
from rtx_engine.store.migrate import Migrator

ROOT = Path(__file__).parents[3]
FENCE = ROOT / "operator/rtx_operator/cluster/fence.sql"
ROLES = ROOT / "database/roles.sql"
PASSWORDS = {
    "DB_SUPERUSER_PASSWORD": "superuser",
    "DB_OPERATOR_PASSWORD": "operator",
    "DB_MIGRATOR_PASSWORD": "migrator",
    "DB_PASSWORD": "engine",
}
START_DEADLINE = 20.0  # seconds
SETTINGS = {  # those of database/postgresql.conf that the engine's promises rest on, and small sizes
    "synchronous_commit": "on",
    "track_commit_timestamp": "on",
    "jit": "off",
    "fsync": "off",  # nobody pulls the plug on a test
    "timezone": "UTC",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "listen_addresses": "127.0.0.1",
}


@dataclass(frozen=True)
class Server:
    """A PostgreSQL server: where it listens and, for each role, how to connect."""

    port: int
    folder: Path

    def database(self, name: str, user: str) -> Database:
        password = {"postgres": "superuser"}.get(user, user.removeprefix("rtx_"))
        return Database("127.0.0.1", self.port, name, user, password)

    async def connect(self, name: str, user: str, **settings: str) -> asyncpg.Connection:
        database = self.database(name, user)
        return await asyncpg.connect(
            host=database.host,
            port=database.port,
            user=user,
            password=database.password,
            database=name,
            server_settings=settings,
            timeout=5,
        )


@dataclass(frozen=True)
class TestDatabase:
    """A database of its own for one test."""

    server: Server
    name: str

    __test__ = False
    fence_sql = FENCE.read_text(encoding="utf-8")

    def as_role(self, user: str) -> Database:
        return self.server.database(self.name, user)

    @property
    def engine(self) -> Database:
        return self.as_role("rtx_engine")

    async def connect(self, user: str, **settings: str) -> asyncpg.Connection:
        return await self.server.connect(self.name, user, **settings)

    async def execute(self, sql: str, *arguments: object, user: str = "postgres") -> list[asyncpg.Record]:
        connection = await self.connect(user)
        try:
            return await connection.fetch(sql, *arguments)
        finally:
            await connection.close()

    async def move_fence(self, *executors: str) -> int:
        """What the operator does: the fence names `executors` from a new epoch on, which is returned."""
        connection = await self.connect("rtx_operator")
        try:
            async with connection.transaction():
                await connection.execute("LOCK TABLE rtx_operator.execution_fence IN EXCLUSIVE MODE")
                epoch = await connection.fetchval(
                    "UPDATE rtx_operator.execution_fence SET epoch = epoch + 1, executors = $1 RETURNING epoch",
                    list(executors),
                )
                await connection.execute("SELECT pg_notify('execution_fence', $1)", str(epoch))
                return int(epoch)
        finally:
            await connection.close()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def as_unprivileged(*command: str | Path) -> list[str]:
    """PostgreSQL refuses to run as root."""
    words = [str(word) for word in command]
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *words] if os.getuid() == 0 else words


def wait_until(process: "subprocess.Popen[bytes]", probe: list[str], log: Path) -> None:
    deadline = time.monotonic() + START_DEADLINE
    while subprocess.run(probe, capture_output=True, check=False).returncode != 0:
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"{process.args!r} did not start: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.05)


def stop(process: "subprocess.Popen[bytes]", number: int) -> None:
    process.send_signal(number)
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def run_postgres(folder: Path) -> Iterator[Server]:
    """A server with the roles that the database image makes, and the database trading_engine."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if not found:
        pytest.skip("needs PostgreSQL: apt-get install postgresql")
    binaries, data, log = found[-1], folder / "data", folder / "log"
    if os.getuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    initdb = ["--username=postgres", "--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8", "--no-sync"]
    subprocess.run(as_unprivileged(binaries / "initdb", f"--pgdata={data}", *initdb), check=True, capture_output=True)
    port = free_port()
    settings = {**SETTINGS, "port": str(port), "unix_socket_directories": str(folder)}
    options = [f"--{name}={value}" for name, value in settings.items()]
    with log.open("wb") as output:
        process = subprocess.Popen(
            as_unprivileged(binaries / "postgres", "-D", data, *options), stdout=output, stderr=output
        )
    try:
        where = [f"--host={folder}", f"--port={port}"]
        wait_until(process, [str(binaries / "pg_isready"), *where, "--quiet"], log)
        psql = [
            str(binaries / "psql"),
            *where,
            "--username=postgres",
            "--no-psqlrc",
            "--quiet",
            "--set=ON_ERROR_STOP=1",
        ]
        subprocess.run([*psql, f"--file={ROLES}"], check=True, capture_output=True, env={**os.environ, **PASSWORDS})
        yield Server(port, folder)
    finally:
        stop(process, signal.SIGINT)  # fast shutdown


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="rtx-postgres-"))
    try:
        with run_postgres(folder) as server:
            asyncio.run(_make_templates(server))
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _make_templates(server: Server) -> None:
    """`fenced`: the fence at epoch 1 names blue, as the operator leaves it before the first migration; `migrated`."""
    fenced = TestDatabase(server, "trading_engine")
    connection = await fenced.connect("rtx_operator")
    try:
        await connection.execute(fenced.fence_sql)
        await connection.execute(
            "INSERT INTO rtx_operator.execution_fence (epoch, executors, cutover, owner) VALUES (1, $1, '', 'tests')",
            ["blue"],
        )
    finally:
        await connection.close()
    await copy_database(server, "trading_engine", "migrated")
    await migrate(server.database("migrated", "rtx_migrator"))


async def migrate(database: Database) -> None:
    async with Migrator.connected(database) as migrator:
        await migrator.up()


async def copy_database(server: Server, template: str, name: str) -> TestDatabase:
    connection = await server.connect("postgres", "postgres")
    try:
        await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" OWNER rtx_migrator')
        await connection.execute(
            f'GRANT CREATE ON DATABASE "{name}" TO rtx_operator'
        )  # a copy has no grants of its own
    finally:
        await connection.close()
    return TestDatabase(server, name)


async def drop_database(database: TestDatabase) -> None:
    connection = await database.server.connect("postgres", "postgres")
    try:
        await connection.execute(f'DROP DATABASE "{database.name}" WITH (FORCE)')
    finally:
        await connection.close()


@pytest_asyncio.fixture
async def fenced_database(postgres_server: Server) -> AsyncIterator[TestDatabase]:
    """A database as the first migration finds it: the fence names blue at epoch 1, and there are no tables."""
    database = await copy_database(postgres_server, "trading_engine", f"test_{secrets.token_hex(4)}")
    yield database
    await drop_database(database)


@pytest_asyncio.fixture
async def database(postgres_server: Server) -> AsyncIterator[TestDatabase]:
    """A migrated database; the fence names blue at epoch 1."""
    database = await copy_database(postgres_server, "migrated", f"test_{secrets.token_hex(4)}")
    yield database
    await drop_database(database)


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


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    if shutil.which("redis-server") is None:
        pytest.skip("needs Redis: apt-get install redis-server")
    server = RedisServer(tmp_path, free_port())
    server.start()
    yield server
    server.stop()


ADMIN_PASSWORD = "admin-password"
ADMIN_PASSWORD_HASH = (
    "$argon2id$v=19$m=8192,t=1,p=1$k1n2o1ePZb+jX3Zyskc79A$2bYhOG6WhhBdGaK/2d6EgEVijLeoqjSzX5knkCQdwrI"  # of the above
)
READY_DEADLINE = 20.0  # seconds


class Engine:
    """A running engine process, as a pod has it."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, metrics_port: int, log: Path) -> None:
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
        deadline = time.monotonic() + READY_DEADLINE
        while await asyncio.to_thread(self.probe, path) != status:
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{path} never answered {status}: {self.log.read_text(errors='replace')[-3000:]}")
            await asyncio.sleep(0.05)

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

    def __init__(self, database: TestDatabase, redis: RedisServer, folder: Path) -> None:
        self.database = database
        self.redis = redis
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
        """Start a process; it need not become ready. `command` instead of `rtx-engine serve`."""
        port, metrics_port = int(changes.get("PORT", free_port())), free_port()
        environment = self.environment(**{"PORT": str(port), "METRICS_PORT": str(metrics_port), **changes})
        words = command or (str(Path(sys.executable).with_name("rtx-engine")), "serve")
        log = self._folder / f"engine-{len(self.running)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(words, stdout=output, stderr=output, env=environment)
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
        program = [sys.executable, str(Path(__file__).with_name("engine_of_a_colour.py"))]
        service = {"PEER_SERVICE": "rtx-engine-{colour}"} if forwarding else {}
        started = [
            self.launch(*program, COLOUR=colour, PORT=str(port), SERVICES=services, **service, **changes)
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


@pytest.fixture
def engines(database: TestDatabase, redis_server: RedisServer, tmp_path: Path) -> Iterator[Engines]:
    """Engine processes of one test, with its own database and Redis."""
    engines = Engines(database, redis_server, tmp_path)
    yield engines
    engines.stop_all()


class Prices:
    """A market that stands still: every symbol at one price, quoted now."""

    def __init__(self) -> None:
        self.age = dt.timedelta(0)
        self.bid, self.ask = Decimal("1.10000"), Decimal("1.10010")

    def quotes(self) -> Mapping[str, Quote]:
        time = dt.datetime.now(dt.UTC) - self.age
        return {name: Quote(name, self.bid, self.ask, time) for name in SYMBOLS}


class Pod:
    """The store of one pod, its prices, and the events that it would publish."""

    def __init__(self, database: Database, colour: str = "blue") -> None:
        self.prices = Prices()
        self.events: list[AccountEvent] = []
        self.store = Store(database, colour, self.prices, self.events.extend)

    async def open_account(self, username: str, balance: str = "10000.00", leverage: int = 100) -> int:
        account = await self.store.accounts.create(NewAccount(username, "hash", Decimal(balance), leverage))
        return account.id

    async def place(self, account_id: int, client_order_id: str, **wanted: str) -> Placed:
        return await self.store.orders.submit(market_order(account_id, client_order_id, **wanted))


def market_order(
    account_id: int, client_order_id: str, *, symbol: str = "EURUSD", side: str = "buy", quantity: str = "0.10"
) -> MarketOrder:
    order_id = uuid_utils.compat.uuid7()
    return MarketOrder(order_id, account_id, client_order_id, symbol, Side(side), Decimal(quantity))


PodStarter = Callable[..., Awaitable[Pod]]


@pytest_asyncio.fixture
async def start_pod(database: TestDatabase) -> AsyncIterator[PodStarter]:
    """`await start_pod(colour="blue")`: a pod of the test's database that knows the fence."""
    pods: list[Pod] = []

    async def start(colour: str = "blue", address: Database | None = None) -> Pod:
        pod = Pod(address or database.engine, colour)
        pods.append(pod)
        await pod.store.start()
        async with asyncio.timeout(START_DEADLINE):
            await pod.store.fence.known()
        return pod

    yield start
    for pod in pods:
        await pod.store.stop()


@pytest_asyncio.fixture
async def pod(start_pod: PodStarter) -> Pod:
    return await start_pod()


@pytest.fixture(scope="module")
def shared_engines(postgres_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    """One running engine for the tests of a module that do not disturb each other."""
    if shutil.which("redis-server") is None:
        pytest.skip("needs Redis: apt-get install redis-server")
    folder = tmp_path_factory.mktemp("engine")
    database = asyncio.run(copy_database(postgres_server, "migrated", f"test_{secrets.token_hex(4)}"))
    redis = RedisServer(folder, free_port())
    engines = Engines(database, redis, folder)
    try:
        redis.start()
        asyncio.run(engines.start())
        yield engines
    finally:
        engines.stop_all()
        redis.stop()
        asyncio.run(drop_database(database))
