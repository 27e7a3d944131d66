"""Processes as the nodes' kernel sees them: a container's, the control plane's. Only where the cluster is native."""

import itertools
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rtx_demo.engine import Engine
from rtx_demo.kubectl import Object
from rtx_demo.waiting import eventually
from rtx_lab import cgroups
from rtx_lab.instance import CONTROL_PLANE, Instance
from rtx_lab.processes import start_daemon

ESTABLISHED = "01"  # as the kernel's table of connections has it


def processes(pod: Object, program: str) -> list[int]:
    """The ids, on this machine, of the pod's processes whose command line has `program` in it."""
    uid = pod["metadata"]["uid"]
    found: set[int] = set()
    for root in cgroups.hierarchies():
        # Both spellings of the uid: the kubelet's drivers differ.
        for folder in (root / Instance().name).rglob(f"*{uid}*/**/cgroup.procs"):
            found.update(_members(folder))
        for folder in (root / Instance().name).rglob(f"*{uid.replace('-', '_')}*/**/cgroup.procs"):
            found.update(_members(folder))
    return sorted(pid for pid in found if program in _command(pid))


def send(pod: Object, program: str, number: signal.Signals) -> None:
    """Send a signal to a pod's program, without the kubelet; at least one process has to be there."""
    pids = processes(pod, program)
    assert pids, f"pod {pod['metadata']['name']} has no process of {program}"
    for pid in pids:
        os.kill(pid, number)


def connections(pod: Object, program: str, port: int) -> int:
    """How many clients are connected to a port of the pod."""
    pid = processes(pod, program)[0]
    tables = [Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:] for table in ("tcp", "tcp6")]
    rows = [line.split() for line in itertools.chain(*tables)]
    return sum(row[1].endswith(f":{port:04X}") and row[3] == ESTABLISHED for row in rows)


def busiest(pods: list[Object]) -> Object:
    """The pod that serves most clients: one address is served by one pod, so that there may be pods without any."""
    by_connections = {connections(pod, "rtx-engine", 7999): pod for pod in pods}
    assert max(by_connections) > 0
    return by_connections[max(by_connections)]


def has_restarted(engine: Engine, pod: Object) -> bool:
    """Whether the pod's container was started anew and is ready."""
    found = engine.kubectl.get("pod", pod["metadata"]["name"], engine.namespace) or {}
    (container,) = found["status"]["containerStatuses"]
    return bool(container["restartCount"] and container["ready"])


def pod_of(engine: Engine, component: str) -> Object:
    """The one pod of a component."""
    found: Object = engine.kubectl.list("pods", engine.namespace, f"app.kubernetes.io/component={component}")[0]
    return found


def replace_pod(engine: Engine, part: str) -> None:
    """Kill the one pod of a StatefulSet without a word, and wait until its successor is ready."""
    kubectl, name = engine.kubectl, f"{engine.name}-{part}"
    where = ("--namespace", engine.namespace)
    kubectl.run("delete", "pod", f"{name}-0", *where, "--grace-period=0", "--force", "--wait")
    eventually(lambda: kubectl.get("pod", f"{name}-0", engine.namespace), f"the next pod of {name}")
    kubectl.run("wait", "--for=condition=Ready", f"pod/{name}-0", *where, "--timeout=120s", deadline=130)


@contextmanager
def frozen(pod: Object, program: str) -> Iterator[None]:
    """The pod's program stands still inside the block: its connections stay open and nothing answers."""
    send(pod, program, signal.SIGSTOP)
    try:
        yield
    finally:
        # The container may have been replaced meanwhile: what is still there goes on.
        for pid in processes(pod, program):
            os.kill(pid, signal.SIGCONT)


@contextmanager
def daemon_frozen(name: str) -> Iterator[None]:
    """A daemon of the cluster (`lab status` lists them) stands still inside the block."""
    pid = int((Instance().run / "daemons" / name).read_text())
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def daemon_stopped(name: str) -> Iterator[None]:
    """A daemon of the control plane is ended, and started again after the block."""
    instance = Instance()
    pid = int((instance.run / "daemons" / name).read_text())
    command = Path(f"/proc/{pid}/cmdline").read_bytes().decode().rstrip("\0").split("\0")
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: not Path(f"/proc/{pid}/cwd").exists(), f"the end of {name}")  # a zombie has none, either
    try:
        yield
    finally:
        start_daemon(instance, CONTROL_PLANE, name, command)


@contextmanager
def api_server_away() -> Iterator[None]:
    """The API server answers nobody inside the block.

    The controller manager ends meanwhile, as one does that cannot renew its Lease: the next one takes no node for lost
    just because it could not report. The lab's has no Lease, as it is the only one.
    """
    with daemon_stopped("kube-controller-manager"):
        with daemon_frozen("kube-apiserver"):
            yield
        time.sleep(5)  # until nodes have reported again


def _members(file: Path) -> Iterator[int]:
    try:
        yield from map(int, file.read_text().split())
    except OSError:  # the group went while it was looked at
        return


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""
