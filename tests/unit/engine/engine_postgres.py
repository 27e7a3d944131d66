"""A real PostgreSQL for the engine's tests: the roles and the fence of production, a database for each test."""

import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from engine_servers import as_unprivileged, stop, wait_until
from free_ports import free_port
from rtx_engine.config import Database
from rtx_engine.store.migrate import Migrator

ROOT = Path(__file__).parents[3]
FENCE = ROOT / "operator/rtx_operator/cluster/postgres/fence.sql"
ROLES = ROOT / "database/roles.sql"
PASSWORDS = {
    "DB_SUPERUSER_PASSWORD": "superuser",
    "DB_OPERATOR_PASSWORD": "operator",
    "DB_MIGRATOR_PASSWORD": "migrator",
    "DB_REPLICATION_PASSWORD": "replicator",
    "DB_PASSWORD": "engine",
}
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

    async def move_fence(self, *executors: str, revisions: Sequence[str] | None = None) -> int:
        """What the operator does: the fence names `executors` from a new epoch on, which is returned."""
        connection = await self.connect("rtx_operator")
        try:
            async with connection.transaction():
                await connection.execute("LOCK TABLE rtx_operator.execution_fence IN EXCLUSIVE MODE")
                epoch = await connection.fetchval(
                    "UPDATE rtx_operator.execution_fence SET epoch = epoch + 1, executors = $1, revisions = $2"
                    " RETURNING epoch",
                    list(executors),
                    None if revisions is None else list(revisions),
                )
                await connection.execute("SELECT pg_notify('execution_fence', $1)", str(epoch))
                return int(epoch)
        finally:
            await connection.close()


def postgres_programs() -> Path:
    """The folder of the newest PostgreSQL's programs. Skips the test where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if not found:
        pytest.skip("needs PostgreSQL: apt-get install postgresql")
    return found[-1]


@contextmanager
def run_postgres(folder: Path) -> Iterator[Server]:
    """A server with the roles that the database image makes, and the database trading_engine."""
    binaries, data, log = postgres_programs(), folder / "data", folder / "log"
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


async def make_templates(server: Server) -> None:
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


@asynccontextmanager
async def missing_standby(database: TestDatabase) -> AsyncIterator[None]:
    """A server whose commits wait for a standby that is not there."""
    await database.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    await database.execute("SELECT pg_reload_conf()")
    try:
        await _until_commits_wait(database)
        yield
    finally:
        await database.execute("ALTER SYSTEM RESET synchronous_standby_names")
        await database.execute("SELECT pg_reload_conf()")


async def _until_commits_wait(database: TestDatabase) -> None:
    connection = await database.connect("postgres")
    try:
        while True:
            await connection.execute("SELECT pg_logical_emit_message(true, 'test', '')", timeout=0.2)
    except TimeoutError:
        return
    finally:
        await connection.close()
