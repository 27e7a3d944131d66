"""Control groups: find, measure and kill all processes of a cluster.

Every process of a cluster starts below the group `/INSTANCE`: the control plane in `/INSTANCE/control-plane`, the
nodes' daemons in `/INSTANCE/daemons`, pods in `/INSTANCE/nodeN`.
On cgroup v1 the same groups exist in each hierarchy; v2 has one hierarchy (never run by us).
"""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from rtx_lab.errors import LabError
from rtx_lab.instance import CONTROL_PLANE, Instance

ROOT = Path("/sys/fs/cgroup")
DAEMONS = "daemons"  # of the nodes
KILL_DEADLINE_SECONDS = 15.0
# CPU weight of the nodes' daemons against pods; an ordinary group has 1. With 1, serving pods stall for half a second
# whenever containerd, crun and kube-router start a pod on any node.
# The whole cluster is an ordinary group: with more weight it delays kernel threads, and with them the disk (ADR 0014).
DAEMONS_CPU_WEIGHT = 0.2


def is_v2(root: Path = ROOT) -> bool:
    return (root / "cgroup.controllers").exists()


def hierarchies(root: Path = ROOT) -> list[Path]:
    """The roots of all hierarchies: one on v2, one per controller on v1 (links such as `cpu,cpuacct` count once)."""
    return [root] if is_v2(root) else sorted({path.resolve() for path in root.iterdir() if path.is_dir()})


def create(instance: Instance, names: list[str]) -> None:
    """Creates the groups `/INSTANCE/NAME` in every hierarchy."""
    for root in hierarchies():
        top = root / instance.name
        for group in (top, *(top / name for name in names)):
            group.mkdir(exist_ok=True)
            _inherit_cpuset(group)
        if is_v2():
            # A group has only the controllers that its parent enables.
            available = (root / "cgroup.controllers").read_text().split()
            for group in (root, top):
                (group / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in available))
        _set_cpu_weight(top / DAEMONS, DAEMONS_CPU_WEIGHT)


def _inherit_cpuset(group: Path) -> None:
    # A new v1 cpuset is empty: no process can enter it before it has CPUs and memory nodes.
    for file in ("cpuset.cpus", "cpuset.mems"):
        if not is_v2() and (group / file).exists():
            (group / file).write_text((group.parent / file).read_text())


def _set_cpu_weight(group: Path, weight: float) -> None:
    for file, ordinary in (("cpu.shares", 1024), ("cpu.weight", 100)):  # of v1 and of v2
        if (group / file).exists():
            (group / file).write_text(str(round(weight * ordinary)))


def daemon_procs_files(instance: Instance, machine: str) -> list[Path]:
    """The cgroup.procs files to which a daemon of the machine writes 0 to enter its groups."""
    group = CONTROL_PLANE if machine == CONTROL_PLANE else DAEMONS
    return [root / instance.name / group / "cgroup.procs" for root in hierarchies()]


def exists(instance: Instance) -> bool:
    return any((root / instance.name).exists() for root in hierarchies())


def processes(instance: Instance) -> set[int]:
    """The ids of all processes of the cluster, pods included, without this process."""
    found: set[int] = set()
    for top in (root / instance.name for root in hierarchies()):
        for group in _groups(top):
            # A group may vanish with its last process between listing and reading.
            try:
                found.update(int(pid) for pid in (group / "cgroup.procs").read_text().split())
            except OSError:
                continue
    return found - {os.getpid()}


def kill(instance: Instance) -> None:
    """Kills every process of the cluster and returns once none is left.

    Raises LabError when one survives SIGKILL for KILL_DEADLINE_SECONDS (it waits for a disk or network file system).
    """
    deadline = time.monotonic() + KILL_DEADLINE_SECONDS
    while left := processes(instance):
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if time.monotonic() > deadline:
            raise LabError(f"Processes {sorted(left)} of {instance.name} survive SIGKILL: see their state in `ps`.")
        time.sleep(0.02)


def remove(instance: Instance) -> None:
    """Removes the groups, which must be empty. Raises LabError."""
    for top in (root / instance.name for root in hierarchies()):
        for group in reversed(list(_groups(top))):
            _rmdir(group)


def _rmdir(group: Path) -> None:
    # The kernel may still count a process that has just been reaped: EBUSY for some milliseconds.
    for _ in range(100):
        try:
            group.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise LabError(f"The cgroup {group} cannot be removed: a process is in it, see its cgroup.procs.")


def _groups(top: Path) -> Iterator[Path]:
    """The group and all groups below it, parents first."""
    if top.is_dir():
        for folder, children, _ in os.walk(top):
            children.sort()
            yield Path(folder)


def cpu_seconds(instance: Instance) -> float:
    """CPU time of the cluster since its start in seconds, pods included."""
    if is_v2():
        stat = (ROOT / instance.name / "cpu.stat").read_text().split()
        return int(stat[stat.index("usage_usec") + 1]) / 1e6
    return int((ROOT / "cpuacct" / instance.name / "cpuacct.usage").read_text()) / 1e9
