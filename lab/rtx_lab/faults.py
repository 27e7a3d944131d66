"""Breaks a native cluster on purpose: signals to processes of pods and daemons, nodes without their cable.

Each context manager repairs what it broke, also after an exception.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rtx_lab import cgroups, cluster, network
from rtx_lab.instance import CONTROL_PLANE, Instance
from rtx_lab.processes import start_daemon, wait_for

NODE_REPORT_SECONDS = 5
END_DEADLINE_SECONDS = 60.0


def pod_processes(uid: str, program: str) -> list[int]:
    """The process ids, on this machine, of the pod's processes whose command line contains `program`."""
    return [pid for pid in _pod_processes(uid) if program in _read(pid, "cmdline").replace("\0", " ")]


def pod_processes_of(uid: str, executable: str) -> list[int]:
    """The same of the processes that run this executable, whatever title they give themselves."""
    return [pid for pid in _pod_processes(uid) if _read(pid, "comm").strip() == executable]


def signal_all(pids: list[int], number: signal.Signals) -> None:
    """Signal processes; those that have ended meanwhile are left out."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


@contextmanager
def daemon_frozen(name: str) -> Iterator[None]:
    """Inside the block a daemon of the cluster (`lab status` lists them) is stopped, and keeps its connections open."""
    pid = int((Instance().run / "daemons" / name).read_text())
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def daemon_stopped(name: str) -> Iterator[None]:
    """Inside the block a daemon of the control plane does not run; it is started again after the block."""
    instance = Instance()
    pid = int((instance.run / "daemons" / name).read_text())
    command = Path(f"/proc/{pid}/cmdline").read_bytes().decode().rstrip("\0").split("\0")
    os.kill(pid, signal.SIGTERM)
    # A zombie has no working directory, either.
    wait_for(f"the end of {name}", END_DEADLINE_SECONDS, lambda: not Path(f"/proc/{pid}/cwd").exists())
    try:
        yield
    finally:
        start_daemon(instance, CONTROL_PLANE, name, command)


@contextmanager
def api_server_unavailable() -> Iterator[None]:
    """Inside the block the API server answers nobody.

    The controller manager does not run meanwhile. In production it ends itself when it cannot renew its Lease; the
    lab's has none. One that kept running would take nodes for lost because they could not report.
    """
    with daemon_stopped("kube-controller-manager"):
        with daemon_frozen("kube-apiserver"):
            yield
        time.sleep(NODE_REPORT_SECONDS)  # until the nodes have reported again


@contextmanager
def node_cut_off(name: str) -> Iterator[None]:
    """Inside the block a node has no network, as where its cable is pulled; its processes go on."""
    node = cluster.node_named(Instance(), name)
    network.plug(node, connected=False)
    try:
        yield
    finally:
        network.plug(node, connected=True)


def _pod_processes(uid: str) -> list[int]:
    found: set[int] = set()
    for root in cgroups.hierarchies():
        # The kubelet's cgroup drivers spell the uid differently.
        for spelling in (uid, uid.replace("-", "_")):
            for file in (root / Instance().name).rglob(f"*{spelling}*/**/cgroup.procs"):
                with suppress(OSError):  # the group was removed meanwhile
                    found.update(map(int, file.read_text().split()))
    return sorted(found)


def _read(pid: int, file: str) -> str:
    try:
        return Path(f"/proc/{pid}/{file}").read_text()
    except OSError:  # it has ended
        return ""
