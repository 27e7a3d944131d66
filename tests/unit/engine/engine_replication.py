"""Three real PostgreSQL servers, of which two follow the primary, behind one address that stands for their Service."""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import asyncpg
from cables import Cable
from engine_postgres import SETTINGS, Server, TestDatabase, make_templates, postgres_programs, run_postgres
from engine_servers import as_unprivileged, stop, wait_until
from free_ports import free_port
from rtx_engine.config import Database

TIMEOUT_SECONDS = 30.0
NAMES = ("one", "two", "three")
DATABASE = "migrated"
# A standby asks again this often, so that a test does not wait for it.
_STANDBY = {"wal_retrieve_retry_interval": "100ms", "wal_receiver_timeout": "2s", "max_connections": "100"}


class Node:
    """One server, its data and its process."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.server = Server(free_port(), folder)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        return self.server.port

    def start(self, primary: "Node | None" = None, quorum: str = "") -> None:
        """As the primary, or as a standby of `primary`. Returns when it can be read."""
        folder, data, log = self.server.folder, self.server.folder / "data", self.server.folder / "log"
        follow = _primary_conninfo(primary, self.name) if primary else ""
        settings = {**SETTINGS, **_STANDBY, "port": str(self.port), "unix_socket_directories": str(folder)}
        (data / "postgresql.auto.conf").write_text(f"primary_conninfo = '{follow}'\n" + _quorum(quorum))
        if primary:
            (data / "standby.signal").touch()
        options = [f"--{name}={value}" for name, value in settings.items()]
        with log.open("ab") as output:
            command = as_unprivileged(postgres_programs() / "postgres", "-D", data, *options)
            self._process = subprocess.Popen(command, stdout=output, stderr=output)
        probe = [str(postgres_programs() / "pg_isready"), f"--host={folder}", f"--port={self.port}", "--quiet"]
        wait_until(self._process, probe, log)

    def kill(self) -> None:
        """SIGKILL to all its processes, as where the kernel has no memory left."""
        self._signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()

    def freeze(self) -> None:
        """Its connections stay open, new ones are accepted by the kernel, and nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.thaw()
            stop(self._process, signal.SIGQUIT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for each in (pid, *map(int, children)):
            with suppress(ProcessLookupError):
                os.kill(each, number)

    async def execute(self, sql: str, *arguments: object, database: str = DATABASE) -> list[asyncpg.Record]:
        return await TestDatabase(self.server, database).execute(sql, *arguments)

    async def configure(self, name: str, value: str) -> None:
        await self.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        await self.execute("SELECT pg_reload_conf()")


class ReplicatedServers:
    """A primary and two standbys; each commit waits for one of these. `service` leads to the primary."""

    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = nodes
        self.primary = nodes[0]
        self.service = Cable(nodes[0].port)

    @property
    def engine(self) -> Database:
        """How a pod reaches the primary."""
        return Database("127.0.0.1", self.service.port, DATABASE, "rtx_engine", "engine")

    @property
    def standbys(self) -> list[Node]:
        return [node for node in self.nodes if node is not self.primary]

    @property
    def database(self) -> TestDatabase:
        """The primary's."""
        return TestDatabase(self.primary.server, DATABASE)

    async def fail_over(self) -> Node:
        """What Patroni does: the standby that has most becomes the primary, and then the service leads to it."""
        received = {node: await _received(node) for node in self.standbys}
        new = max(received, key=lambda node: received[node])
        others = [node for node in self.standbys if node is not new]
        for other in others:  # first, so that no commit of the old primary is confirmed from now on
            await other.configure("primary_conninfo", _primary_conninfo(new, other.name))
        await new.configure("synchronous_standby_names", _any_of(others))
        await new.execute("SELECT pg_promote()")
        self.primary = new
        self.service.target = new.port
        return new

    async def until_confirmed(self) -> None:
        """Return when a standby confirms what the primary commits."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await self.primary.execute("SELECT pg_logical_emit_message(true, 'test', '')")


def seed_data(folder: Path) -> Path:
    """A data directory with the roles, and the migrated database whose fence names blue at epoch 1."""
    with run_postgres(folder) as server:
        asyncio.run(make_templates(server))
    return folder / "data"


@asynccontextmanager
async def replicated_servers(seed: Path, folder: Path) -> AsyncIterator[ReplicatedServers]:
    _let_postgres_enter(folder)
    nodes = [_copy(seed, name, folder) for name in NAMES]
    servers = ReplicatedServers(nodes)
    try:
        nodes[0].start(quorum=_any_of(nodes[1:]))
        for standby in nodes[1:]:
            standby.start(nodes[0])
        await servers.service.plug_in()
        await servers.until_confirmed()
        yield servers
    finally:
        await servers.service.cut()
        for node in nodes:
            node.stop()


def _let_postgres_enter(folder: Path) -> None:
    folder.chmod(0o755)


def _copy(seed: Path, name: str, folder: Path) -> Node:
    """A server of its own with the data of a server that was shut down: all copies are at the same place of the log."""
    own = folder / name
    own.mkdir()
    shutil.copytree(seed, own / "data")
    (own / "data").chmod(0o700)
    if os.getuid() == 0:
        for path in _tree(own):
            shutil.chown(path, "postgres", "postgres")
    return Node(name, own)


def _tree(folder: Path) -> Iterator[Path]:
    yield folder
    yield from folder.rglob("*")


def _primary_conninfo(primary: Node, name: str) -> str:
    return f"host=127.0.0.1 port={primary.port} user=rtx_replicator password=replicator application_name={name}"


def _any_of(nodes: list[Node]) -> str:
    return f"ANY 1 ({', '.join(node.name for node in nodes)})"


def _quorum(names: str) -> str:
    return f"synchronous_standby_names = '{names}'\n" if names else ""


async def _received(node: Node) -> int:
    [row] = await node.execute(
        "SELECT greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) - '0/0'::pg_lsn AS position"
    )
    return int(row["position"])
