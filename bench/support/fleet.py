"""A cluster without nodes of its own for many engines: a real API server and PostgreSQL, kwok's pods, one double.

kwok's pods are ready and run nothing. What the operator asks of them, `doubles.py` answers: SQL and HTTP of all engines
come to that one process, which leads SQL on to the engine's own database in one real PostgreSQL. Operator, double and
PostgreSQL run in the network of the control plane, so nothing of this reaches the machine's own.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from rtx_lab import cluster, packages
from rtx_lab.api import Api, connect
from rtx_lab.instance import CONTROL_PLANE, Instance
from rtx_lab.processes import inside
from rtx_lab.progress import Reporter

Object = dict[str, Any]
T = TypeVar("T")

ROOT = Path(__file__).parents[2]
INSTANCE = Instance(os.environ.get("BENCH_CLUSTER", "rtx-lab-scale"))  # another name runs beside it
DOUBLE = Path(__file__).with_name("doubles.py")
HOME = "rtx-system"  # the operator's namespace
STORAGE_CLASS = "fleet"  # of no provisioner: volumes exist beforehand
NAMESPACES = 10
ENGINES_PER_NODE = 125  # kwok's nodes take 1,000 pods each
POSTGRES_PORT = 5433  # the double has 5432, to which the operator connects
POD_NETWORK = "10.0.0.0/16"  # kwok takes the addresses of its pods from it
SILENT_ADDRESS = "127.2.0.1"  # connections to it are accepted by the double, and then get no answer
NO_IMAGES = "no-images"  # a node whose pods never get their images
CRASH_FILE = "crash"
START_DEADLINE_SECONDS = 60.0
POLL_SECONDS = 0.5
PROGRAM_DEADLINE_SECONDS = 600


class FleetError(Exception):
    """The benchmark cannot go on. The message is one sentence."""


class Fault(StrEnum):
    """What is wrong with an engine."""

    NONE = "none"
    DEAD_DATABASE = "dead database"  # its pod is ready, and connections get no answer
    MISSING_IMAGE = "missing image"  # of the engine


@dataclass(frozen=True)
class Engine:
    """The name and the place of the engine `number`, from 0."""

    number: int
    fault: Fault = Fault.NONE

    @property
    def name(self) -> str:
        return f"engine-{self.number:04}"

    @property
    def namespace(self) -> str:
        return f"fleet-{self.number % NAMESPACES}"

    @property
    def path(self) -> str:
        return f"/apis/rtx-trading.com/v1alpha1/namespaces/{self.namespace}/tradingengines/{self.name}"

    @property
    def address(self) -> str:
        """Where its database and its colours' Services are: the double knows an engine by it."""
        return f"127.1.{self.number // 250}.{self.number % 250 + 1}"

    @property
    def hosts(self) -> str:
        """Its lines of /etc/hosts."""
        postgres, *colours = (
            f"{self.name}-{part}.{self.namespace}.svc" for part in ("postgres", "engine-blue", "engine-green")
        )
        database = SILENT_ADDRESS if self.fault is Fault.DEAD_DATABASE else self.address
        return f"{database} {postgres}\n{self.address} {' '.join(colours)}"

    def manifest(self) -> Object:
        """The TradingEngine: with an autoscaler, on kwok's nodes, and with short times."""
        fake = {
            "nodeSelector": {"type": "kwok"},
            "tolerations": [{"key": "kwok.x-k8s.io/node", "operator": "Exists", "effect": "NoSchedule"}],
        }
        no_images = {"nodeSelector": {"kubernetes.io/hostname": NO_IMAGES}, "tolerations": [{"operator": "Exists"}]}
        small = {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "256Mi"}}
        server = {"storage": "1Gi", "storageClassName": STORAGE_CLASS, "scheduling": fake, "resources": small}
        return {
            "apiVersion": "rtx-trading.com/v1alpha1",
            "kind": "TradingEngine",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": {
                "version": "1.0.0",
                "image": {"repository": "localhost/rtx-engine"},
                "resources": small,
                "scaling": {"minReplicas": 2, "maxReplicas": 5},
                "rollout": {
                    "drainTimeout": "1s",
                    "monitor": {"duration": "10s", "minimumRequests": 20},
                    "migrationResources": small,
                },
                "scheduling": no_images if self.fault is Fault.MISSING_IMAGE else fake,
                "database": server,
                "cache": server,
                "backup": {"type": "None"},
            },
        }


@dataclass
class Operator:
    """One replica of the operator."""

    process: subprocess.Popen[bytes]
    log: Path
    crash_file: Path

    @property
    def leads(self) -> bool:
        return '"this replica leads now"' in self.log.read_text()

    @property
    def cpu_seconds(self) -> float:
        """Processor time used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def said(self, *, since: int) -> dict[str, int]:
        """Message and error → how often the log has it, from byte `since` on."""
        entries = (json.loads(line) for line in self.log.read_bytes()[since:].splitlines() if line.startswith(b"{"))
        return dict(Counter(f"{entry.get('message')} {entry.get('error', '')}".rstrip() for entry in entries))

    def memory_mb(self, field_name: str) -> float:
        """VmRSS (now) or VmHWM (the most so far), in MB."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(f"{field_name}:"):
                return int(line.split()[1]) / 1000
        raise FleetError(f"the kernel does not report {field_name} of the operator")

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)


@dataclass
class Fleet:
    """The running cluster."""

    api: Api
    engines: list[Engine]
    folder: Path
    reporter: Reporter
    operators: list[Operator] = field(default_factory=list)

    def start_operator(self, environment: Mapping[str, str]) -> Operator:
        number = len(self.operators)
        log, crash_file = self.folder / f"operator-{number}.log", self.folder / f"{CRASH_FILE}-{number}"
        variables = {
            "KUBECONFIG": str(self.folder / "operator.kubeconfig"),
            "POD_NAMESPACE": HOME,
            "POD_NAME": f"operator-{number}",
            "POSTGRES_IMAGE": "localhost/rtx-postgres:17",
            "REDIS_IMAGE": "localhost/rtx-redis:8",
            "LISTEN_PORT": str(8080 + number),
            "CRASH_HOOK_FILE": str(crash_file),
            **environment,
        }
        command = [sys.executable, "-c", "from rtx_operator.main import run; run()"]
        process = _spawn(command, log, variables)
        operator = Operator(process, log, crash_file)
        self.operators.append(operator)
        return operator

    def stop_operators(self) -> None:
        for operator in self.operators:
            operator.stop()

    def leader(self) -> Operator:
        """The replica that leads; the last one that said so."""
        alive = [operator for operator in self.operators if operator.process.poll() is None and operator.leads]
        if not alive:
            raise FleetError("no replica of the operator leads")
        return alive[-1]

    def statuses(self) -> dict[str, Object]:
        """The status of each engine, by name."""
        listed = self.api.get("/apis/rtx-trading.com/v1alpha1/tradingengines?resourceVersion=0")
        return {one["metadata"]["name"]: one.get("status") or {} for one in listed["items"]}

    def wait(self, what: str, seconds: float, probe: Callable[[], T]) -> T:
        """What `probe` returns once it is true; raises FleetError after `seconds`."""
        until = time.monotonic() + seconds
        while not (found := probe()):
            if time.monotonic() > until:
                raise FleetError(f"after {seconds:.0f} s it is not true that {what}")
            time.sleep(POLL_SECONDS)
        return found


@contextmanager
def running(engines: Sequence[Engine], reporter: Reporter, *, keep: bool) -> Iterator[Fleet]:
    """The cluster, with CRD, volumes, PostgreSQL and the double for the engines; gone afterwards unless `keep`."""
    count = len(engines)
    packages.ensure(packages.SERVERS, reporter)
    cluster.down(INSTANCE)
    with ExitStack() as stack:
        cluster.up(INSTANCE, 0, 1 + count // ENGINES_PER_NODE, reporter)
        if not keep:
            stack.callback(cluster.down, INSTANCE)
        folder = INSTANCE.run / "fleet"
        folder.mkdir()
        fleet = Fleet(connect(INSTANCE), list(engines), folder, reporter)
        stack.callback(fleet.stop_operators)
        with reporter.step(f"preparing {count} databases and volumes"):
            _network(folder, engines)
            stack.enter_context(_postgres(folder, engines))
            _objects(fleet)
        stack.enter_context(_process(folder, "doubles", [sys.executable, str(DOUBLE)]))
        yield fleet


def _network(folder: Path, engines: Sequence[Engine]) -> None:
    """Pods' addresses are local ones there, and engines' names lead to the double."""
    hosts = folder / "hosts"
    hosts.write_text("\n".join(["127.0.0.1 localhost", *(engine.hosts for engine in engines), ""]))
    _run(["ip", "route", "add", "local", POD_NETWORK, "dev", "lo"])
    _run(["mount", "--bind", str(hosts), "/etc/hosts"])


@contextmanager
def _postgres(folder: Path, engines: Sequence[Engine]) -> Iterator[None]:
    """A PostgreSQL with a database for each engine. It trusts the double: what passwords cost is not measured."""
    binaries = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    data = INSTANCE.state / "postgres"
    data.mkdir()
    shutil.chown(data, "postgres")
    run = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    _run([*run, str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust"])
    options = ["fsync=off", "max_connections=1200", "shared_buffers=256MB", "autovacuum=off"]
    flags = [part for option in options for part in ("-c", option)]
    server = [*run, str(binaries / "postgres"), "-D", str(data), "-k", str(data), "-p", str(POSTGRES_PORT), *flags]
    with _process(folder, "postgres", server):
        _wait_for_port(data / f".s.PGSQL.{POSTGRES_PORT}")
        passwords = [f"DB_{of}PASSWORD" for of in ("SUPERUSER_", "OPERATOR_", "MIGRATOR_", "REPLICATION_", "")]
        _psql(data, f"\\i {ROOT / 'database/roles.sql'}", dict.fromkeys(passwords, "unused"))
        create = "CREATE DATABASE engine_{:04} OWNER rtx_operator STRATEGY file_copy;"
        _psql(data, "\n".join(create.format(engine.number) for engine in engines))
        yield


def _psql(socket_folder: Path, script: str, environment: Mapping[str, str] | None = None) -> None:
    command = ["psql", "-h", str(socket_folder), "-p", str(POSTGRES_PORT), "-U", "postgres", "-v", "ON_ERROR_STOP=1"]
    _run([*command, "-qAt"], stdin=script, environment=environment)


def _wait_for_port(socket: Path) -> None:
    until = time.monotonic() + START_DEADLINE_SECONDS
    while not socket.exists():
        if time.monotonic() > until:
            raise FleetError(f"PostgreSQL did not start within {START_DEADLINE_SECONDS:.0f} s")
        time.sleep(POLL_SECONDS)


def _objects(fleet: Fleet) -> None:
    """The CRD, the operator's rights as they are installed, namespaces, and a volume for each claim."""
    _kubectl("apply", "--server-side", "-k", str(ROOT / "crds"))
    for manifest in ("namespace.yaml", "rbac.yaml"):
        _kubectl("apply", "--server-side", "-n", HOME, "-f", str(ROOT / "manifests/operator" / manifest))
    _kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    token = _kubectl("create", "token", "rtx-operator", "-n", HOME, "--duration=24h").strip()
    _write_kubeconfig(fleet.folder / "operator.kubeconfig", token)
    for number in range(NAMESPACES):
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"fleet-{number}"}}
        fleet.api.create("/api/v1/namespaces", namespace)
    fleet.api.create("/api/v1/nodes", _node_without_images())
    with ThreadPoolExecutor(4) as pool:
        volumes = map(_volume, range(2 * len(fleet.engines)))
        list(pool.map(lambda volume: fleet.api.create("/api/v1/persistentvolumes", volume), volumes))


def _node_without_images() -> Object:
    """A node that neither kwok nor a kubelet manages: its pods stay as `lose_images` leaves them."""
    capacity = {"cpu": "32", "memory": "256Gi", "pods": "1000"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": NO_IMAGES, "labels": {"kubernetes.io/hostname": NO_IMAGES}},
        "status": {"allocatable": capacity, "capacity": capacity},
    }


def lose_images(fleet: Fleet) -> int:
    """Have the pods without images report it, as a kubelet would; returns how many there are."""
    pods = fleet.api.get(f"/api/v1/pods?fieldSelector=spec.nodeName={NO_IMAGES}")["items"]
    waiting = {"reason": "ImagePullBackOff", "message": "Back-off pulling image: not found"}
    for pod in pods:
        if not pod["status"].get("containerStatuses"):
            [container] = pod["spec"]["containers"]
            status = {"name": container["name"], "image": container["image"], "imageID": "", "ready": False}
            states = [{**status, "restartCount": 0, "state": {"waiting": waiting}}]
            path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}/status"
            fleet.api.merge_patch(path, {"status": {"containerStatuses": states}})
    return len(pods)


def _volume(number: int) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"fleet-{number}"},
        "spec": {
            "storageClassName": STORAGE_CLASS,
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "hostPath": {"path": "/nowhere"},
        },
    }


def _write_kubeconfig(path: Path, token: str) -> None:
    config = json.loads(_kubectl("config", "view", "--raw", "-o", "json"))
    config["users"] = [{"name": "operator", "user": {"token": token}}]
    config["contexts"][0]["context"]["user"] = "operator"
    path.write_text(json.dumps(config))
    path.chmod(0o600)


def _kubectl(*arguments: str) -> str:
    command = [str(INSTANCE.kubectl), f"--kubeconfig={INSTANCE.kubeconfig}", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise FleetError(f"kubectl {' '.join(arguments)} failed: {done.stderr.strip()}")
    return done.stdout


@contextmanager
def _process(folder: Path, name: str, command: Sequence[str]) -> Iterator[None]:
    variables = {"KUBECONFIG": str(INSTANCE.kubeconfig)}
    process = _spawn(command, folder / f"{name}.log", variables)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def _spawn(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Starts a program in the network of the control plane."""
    with log.open("wb") as out:
        return subprocess.Popen(
            inside(INSTANCE, CONTROL_PLANE, command),
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )


def _run(command: Sequence[str], *, stdin: str = "", environment: Mapping[str, str] | None = None) -> None:
    """Runs a program in the network of the control plane to its end; raises FleetError when it fails."""
    done = subprocess.run(
        inside(INSTANCE, CONTROL_PLANE, command),
        check=False,
        input=stdin,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=PROGRAM_DEADLINE_SECONDS,
    )
    if done.returncode:
        raise FleetError(f"{command[0]} failed: {done.stderr.strip()[-500:]}")
