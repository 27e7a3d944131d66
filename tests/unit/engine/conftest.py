"""Fixtures of the engine's tests: a real PostgreSQL and Redis, engine processes on them, stores of pods."""

import asyncio
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from cables import Cable
from engine_forks import EngineForks
from engine_migrations import RunMigrations, runner
from engine_pods import Pod
from engine_postgres import Server, TestDatabase, copy_database, drop_database, make_templates, run_postgres
from engine_processes import Colours, Engines
from engine_redis import RedisServer
from engine_replication import ReplicatedServers, replicated_servers, seed_data
from engine_servers import START_TIMEOUT_SECONDS
from engine_traders import Trader
from fence_mover import OWNER, Mover
from free_ports import free_port
from rtx_engine.config import MIN_CONNECTIONS, Database
from rtx_engine.store.read_admission import PRODUCTION as READ_LIMITS
from rtx_engine.store.read_admission import ReadLimits
from rtx_engine.store.writer import PRODUCTION, Limits


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="rtx-postgres-"))
    try:
        with run_postgres(folder) as server:
            asyncio.run(make_templates(server))
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def replication_seed() -> Iterator[Path]:
    """A data directory of which each test's replicated servers begin with a copy."""
    folder = Path(tempfile.mkdtemp(prefix="rtx-postgres-"))
    try:
        yield seed_data(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest_asyncio.fixture
async def replicated(replication_seed: Path) -> AsyncIterator[ReplicatedServers]:
    """A primary and two standbys with a migrated database; the fence names blue at epoch 1."""
    folder = Path(tempfile.mkdtemp(prefix="rtx-postgres-"))
    try:
        async with replicated_servers(replication_seed, folder) as servers:
            yield servers
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest_asyncio.fixture
async def fenced_database(postgres_server: Server) -> AsyncIterator[TestDatabase]:
    """A database as the first migration finds it: the fence names blue at epoch 1, and there are no tables."""
    database = await copy_database(postgres_server, "trading_engine", f"test_{secrets.token_hex(4)}")
    yield database
    await drop_database(database)


@pytest_asyncio.fixture
async def other_fenced_database(postgres_server: Server) -> AsyncIterator[TestDatabase]:
    """Another one like fenced_database."""
    database = await copy_database(postgres_server, "trading_engine", f"test_{secrets.token_hex(4)}")
    yield database
    await drop_database(database)


@pytest.fixture
def run_migrations(fenced_database: TestDatabase, tmp_path: Path) -> RunMigrations:
    """`await run_migrations("up", …)`: the migrations of engine_migrations.py, on the test's database."""
    return runner(fenced_database, tmp_path)


@pytest_asyncio.fixture
async def mover(fenced_database: TestDatabase) -> AsyncIterator[Mover]:
    """Of a database that is OWNER's; the fence names blue at epoch 1."""
    await fenced_database.execute("UPDATE rtx_operator.execution_fence SET owner = $1", str(OWNER))
    mover = Mover(fenced_database)
    yield mover
    mover.reader.forget(mover.address)


@pytest_asyncio.fixture
async def database(postgres_server: Server) -> AsyncIterator[TestDatabase]:
    """A migrated database; the fence names blue at epoch 1."""
    database = await copy_database(postgres_server, "migrated", f"test_{secrets.token_hex(4)}")
    yield database
    await drop_database(database)


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    if shutil.which("redis-server") is None:
        pytest.skip("needs Redis: apt-get install redis-server")
    server = RedisServer(tmp_path, free_port())
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def engine_forks() -> Iterator[EngineForks]:
    forks = EngineForks()
    yield forks
    forks.stop()


@pytest.fixture
def engines(
    database: TestDatabase, redis_server: RedisServer, tmp_path: Path, engine_forks: EngineForks
) -> Iterator[Engines]:
    """Engine processes of one test, with its own database and Redis."""
    engines = Engines(database, redis_server, tmp_path, engine_forks)
    yield engines
    engines.stop_all()


PodStarter = Callable[..., Awaitable[Pod]]


@pytest_asyncio.fixture
async def start_pod(database: TestDatabase) -> AsyncIterator[PodStarter]:
    """`await start_pod(colour="blue", limits=…)`: a pod of the test's database that knows the fence."""
    pods: list[Pod] = []

    async def start(
        colour: str = "blue",
        address: Database | None = None,
        limits: Limits = PRODUCTION,
        revision: str = "",
        connections: int = MIN_CONNECTIONS,
        read_limits: ReadLimits = READ_LIMITS,
        owner: str = "",
    ) -> Pod:
        pod = Pod(address or database.engine, colour, limits, revision, connections, read_limits, owner=owner)
        pods.append(pod)
        await pod.store.start()
        async with asyncio.timeout(START_TIMEOUT_SECONDS):
            await pod.store.fence.wait_until_known()
        return pod

    yield start
    for pod in pods:
        await pod.store.stop()


@pytest_asyncio.fixture
async def pod(start_pod: PodStarter) -> Pod:
    return await start_pod()


@pytest_asyncio.fixture
async def cable(database: TestDatabase) -> AsyncIterator[Cable]:
    """The network between wired pods and the database."""
    cable = Cable(database.engine.port)
    await cable.plug_in()
    yield cable
    await cable.cut()


@pytest_asyncio.fixture
async def wired_pod(start_pod: PodStarter, database: TestDatabase, cable: Cable) -> Pod:
    """A pod behind the cable."""
    return await start_pod(address=replace(database.engine, port=cable.port))


@pytest.fixture(scope="module")
def shared_engines(
    postgres_server: Server, tmp_path_factory: pytest.TempPathFactory, engine_forks: EngineForks
) -> Iterator[Engines]:
    """One running engine for the tests of a module that do not disturb each other."""
    if shutil.which("redis-server") is None:
        pytest.skip("needs Redis: apt-get install redis-server")
    folder = tmp_path_factory.mktemp("engine")
    database = asyncio.run(copy_database(postgres_server, "migrated", f"test_{secrets.token_hex(4)}"))
    redis = RedisServer(folder, free_port())
    engines = Engines(database, redis, folder, engine_forks)
    try:
        redis.start()
        asyncio.run(engines.start())
        yield engines
    finally:
        engines.stop_all()
        redis.stop()
        asyncio.run(drop_database(database))


@pytest_asyncio.fixture
async def anybody() -> AsyncIterator[Trader]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=30)) as session:
        yield Trader(session)


@pytest_asyncio.fixture
async def colours(engines: Engines) -> Colours:
    return await engines.start_colours()
