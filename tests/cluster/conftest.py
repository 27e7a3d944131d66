"""A real API server with fake nodes, a real PostgreSQL, and the operator as a process. Refuses any other cluster.

kwok's pods are ready without running anything. So an engine's database is a PostgreSQL on this machine, and the
operator gets its address from DATABASE_HOST and DATABASE_PORT. Each operator serves a class of its own, so that it
leaves the engines of other operators in the cluster alone.
"""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster_support import Cluster, Engine, Operator, eventually, make_engine
from fake_patroni import running_patroni
from rtx_lab.provider import Provider
from rtx_operator.api.kinds import KINDS
from rtx_operator.api.names import GROUP

CONTEXTS = {"rtx-lab", "kind-rtx-lab"}
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def kubeconfig(local_cluster: Provider) -> Path:
    """The local cluster's kubeconfig; any other cluster is refused."""
    path = local_cluster.kubeconfig()
    context = yaml.safe_load(path.read_text())["current-context"]
    if context not in CONTEXTS:
        pytest.fail(f"{path} is for {context!r}; these tests delete objects and run on {sorted(CONTEXTS)} only")
    return path


@pytest.fixture(scope="session")
def cluster(kubeconfig: Path) -> Cluster:
    cluster = Cluster(kubeconfig)
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-k", str(ROOT / "crds"))
    definitions = [f"crd/{kind.plural}.{GROUP}" for kind in KINDS]
    cluster.kubectl("wait", "--for=condition=Established", *definitions, "--timeout=90s")
    return cluster


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace that enforces the restricted Pod Security Standard, with volumes for a cache and three databases.

    As a parameter it takes the length of its name.
    """
    name = f"test-{secrets.token_hex(4)}".ljust(getattr(request, "param", 0), "n")
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    volumes = [f"{name}-{number}" for number in range(4)]
    for volume in volumes:
        cluster.apply(_volume(volume, storage_class=name))
    yield name
    # Before its namespace, which goes slowly: an engine that is still there would claim the next test's database.
    cluster.kubectl("delete", "te", "--all", "-n", name, "--timeout=90s")
    cluster.kubectl("delete", "namespace", name, "--wait=false")
    cluster.kubectl("delete", "pv", *volumes, "--wait=false")


def _volume(name: str, storage_class: str) -> dict[str, Any]:
    # kwok runs no provisioner, so volumes must exist beforehand.
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "storageClassName": storage_class,
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "hostPath": {"path": "/nowhere"},
            "persistentVolumeReclaimPolicy": "Delete",
        },
    }


@pytest.fixture(scope="session")
def postgres() -> Iterator[int]:
    """The port on 127.0.0.1 of a PostgreSQL with an engine's roles."""
    binaries = _postgres_binaries()
    with tempfile.TemporaryDirectory(prefix="rtx-test-postgres-") as folder:
        shutil.chown(folder, "postgres")
        data, port = f"{folder}/data", free_port()
        run = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        subprocess.run(
            [*run, binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust"], check=True, capture_output=True
        )
        command = [*run, binaries / "postgres", "-D", data, "-k", folder, "-p", str(port), "-c", "fsync=off"]
        with (Path(folder) / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
            try:
                eventually(lambda: _psql(port, "-c", "SELECT 1").returncode == 0, "PostgreSQL answers queries")
                roles = _psql(port, "-f", str(ROOT / "database/roles.sql"))
                assert roles.returncode == 0, roles.stderr
                yield port
            finally:
                server.terminate()


def _postgres_binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if not found:
        pytest.skip("no PostgreSQL on this machine: apt-get install postgresql")
    return found[-1]


def _psql(port: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    passwords = {f"DB_{of}PASSWORD": "unused" for of in ("SUPERUSER_", "OPERATOR_", "MIGRATOR_", "REPLICATION_", "")}
    command = [
        "psql",
        "-h",
        "127.0.0.1",
        "-p",
        str(port),
        "-U",
        "postgres",
        "-v",
        "ON_ERROR_STOP=1",
        "-qAt",
        *arguments,
    ]
    return subprocess.run(
        command, check=False, env={**os.environ, **passwords}, capture_output=True, text=True, timeout=30
    )


@pytest.fixture
def sql(postgres: int) -> Callable[[str], str]:
    """Runs SQL as superuser in the engine's database. The database has no fence when a test starts."""

    def run(statement: str) -> str:
        done = _psql(postgres, "-d", "trading_engine", "-c", statement)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    run("DROP SCHEMA IF EXISTS rtx_operator CASCADE")
    return run


@pytest.fixture
def standby(postgres: int, tmp_path: Path) -> Iterator[None]:
    """Every commit is confirmed by a standby during the test: pg_receivewal reports what it has flushed."""
    confirming = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'quorum'"
    command = [_postgres_binaries() / "pg_receivewal", "--synchronous", "--no-password", "-D", tmp_path]
    with subprocess.Popen([*command, "-d", f"host=127.0.0.1 port={postgres} user=postgres"]) as process:
        try:
            _wait_for_standbys(postgres, "ANY 1 (*)")
            eventually(lambda: _psql(postgres, "-c", confirming).stdout.strip() == "1", "a standby confirms commits")
            yield
        finally:
            _wait_for_standbys(postgres, "")
            process.terminate()


def _wait_for_standbys(port: int, names: str) -> None:
    setting = f"ALTER SYSTEM SET synchronous_standby_names = '{names}'"
    done = _psql(port, "-c", setting, "-c", "SELECT pg_reload_conf()")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def start_operator(
    cluster: Cluster, postgres: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Operator]]:
    """Starts operator processes, and kills those that run after the last test."""
    started: list[Operator] = []
    folder = tmp_path_factory.mktemp("operators")

    def start(
        namespace: str,
        operator_class: str,
        *,
        kubeconfig: Path | None = None,
        postgres_image: str = "localhost/rtx-postgres:17",
    ) -> Operator:
        environment = {
            **os.environ,
            "KUBECONFIG": str(kubeconfig or cluster.kubeconfig),
            "POD_NAMESPACE": namespace,
            "OPERATOR_CLASS": operator_class,
            "POSTGRES_IMAGE": postgres_image,
            "REDIS_IMAGE": "localhost/rtx-redis:8",
            "DATABASE_HOST": "127.0.0.1",
            "DATABASE_PORT": str(postgres),
            "LISTEN_PORT": str(free_port()),
        }
        log = folder / f"operator-{len(started)}.log"
        command = [sys.executable, "-c", "from rtx_operator.main import run; run()"]
        with log.open("wb") as out:
            process = subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.STDOUT)
        operator = Operator(process, log, operator_class, int(environment["LISTEN_PORT"]))
        started.append(operator)
        return operator

    yield start
    for operator in started:
        operator.kill()


@pytest.fixture(scope="session", autouse=True)
def _patroni(kubeconfig: Path) -> Iterator[None]:
    with running_patroni(kubeconfig):
        yield


@pytest.fixture(scope="session")
def operator(cluster: Cluster, start_operator: Callable[..., Operator]) -> Iterator[Operator]:
    """One operator, shared by all tests that do not stop it."""
    home = f"test-operator-{secrets.token_hex(4)}"
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": home}})
    yield start_operator(home, home)
    cluster.kubectl("delete", "namespace", home, "--wait=false")


@pytest.fixture
def engine(cluster: Cluster, namespace: str, operator: Operator, sql: Callable[[str], str]) -> Engine:
    """A TradingEngine on fake nodes, which `operator` serves; it is not applied yet."""
    return make_engine(cluster, namespace, operator.operator_class)


@pytest.fixture
def own_operator(
    cluster: Cluster, namespace: str, start_operator: Callable[..., Operator], sql: Callable[[str], str]
) -> tuple[Engine, Operator]:
    """An engine that is not applied yet, and an operator for it alone, which a test may stop."""
    return make_engine(cluster, namespace, namespace), start_operator(namespace, namespace)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
