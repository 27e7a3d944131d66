"""Control groups: how everything that belongs to a cluster is found again, measured and killed.

Every process of a cluster is born below the group `/INSTANCE`: what runs the cluster in `/INSTANCE/control-plane`, what
runs its pods in `/INSTANCE/daemons`, the pods in `/INSTANCE/nodeN`.
On cgroup v1 the same groups exist in each hierarchy; v2 has one (supported by reasoning, not run by us).
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
# What the nodes' daemons weigh when pods want the CPU, too; an ordinary group weighs 1. Else pods that serve stand
# still for half a second whenever containerd, crun and kube-router bring up a pod, on whatever node.
# The cluster as a whole is an ordinary group: kernel threads compete with it, and a disk answers late when it weighs
# more (ADR 0014).
DAEMONS_CPU_WEIGHT = 0.2


def is_v2(root: Path = ROOT) -> bool:
    return (root / "cgroup.controllers").exists()


def hierarchies(root: Path = ROOT) -> list[Path]:
    """The roots of all hierarchies: one on v2, one per controller on v1 (links like `cpu,cpuacct` once)."""
    return [root] if is_v2(root) else sorted({path.resolve() for path in root.iterdir() if path.is_dir()})


def create(instance: Instance, names: list[str]) -> None:
    """Makes the groups `/INSTANCE/NAME` in every hierarchy."""
    for root in hierarchies():
        top = root / instance.name
        for group in (top, *(top / name for name in names)):
            group.mkdir(exist_ok=True)
            _inherit_cpuset(group)
        if is_v2():
            # Controllers reach a group only where its parent passes them on.
            available = (root / "cgroup.controllers").read_text().split()
            for group in (root, top):
                (group / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in available))
        _set_cpu_weight(top / DAEMONS, DAEMONS_CPU_WEIGHT)


def _inherit_cpuset(group: Path) -> None:
    # A new v1 cpuset is empty, and no process may enter it before it has CPUs and memory nodes.
    for file in ("cpuset.cpus", "cpuset.mems"):
        if not is_v2() and (group / file).exists():
            (group / file).write_text((group.parent / file).read_text())


def _set_cpu_weight(group: Path, weight: float) -> None:
    for file, ordinary in (("cpu.shares", 1024), ("cpu.weight", 100)):  # of v1 and of v2
        if (group / file).exists():
            (group / file).write_text(str(round(weight * ordinary)))


def daemon_procs_files(instance: Instance, machine: str) -> list[Path]:
    """The files into which a process writes 0 to become one of the machine's daemons."""
    group = CONTROL_PLANE if machine == CONTROL_PLANE else DAEMONS
    return [root / instance.name / group / "cgroup.procs" for root in hierarchies()]


def exists(instance: Instance) -> bool:
    return any((root / instance.name).exists() for root in hierarchies())


def processes(instance: Instance) -> set[int]:
    """Every process of the cluster, pods included, by the kernel's records."""
    found: set[int] = set()
    for top in (root / instance.name for root in hierarchies()):
        for group in _groups(top):
            # A group may vanish between listing and reading, with its last process.
            try:
                found.update(int(pid) for pid in (group / "cgroup.procs").read_text().split())
            except OSError:
                continue
    return found - {os.getpid()}


def kill(instance: Instance) -> None:
    """Kills every process of the cluster and returns when the kernel has none left.

    Raises LabError when one survives SIGKILL for 15 s (it waits for a disk or a network file system).
    """
    deadline = time.monotonic() + KILL_DEADLINE_SECONDS
    while left := processes(instance):
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if time.monotonic() > deadline:
            raise LabError(f"Processes {sorted(left)} of {instance.name} survive SIGKILL; see what `ps` says they do.")
        time.sleep(0.02)


def remove(instance: Instance) -> None:
    """Removes the groups, which must have no process left."""
    for top in (root / instance.name for root in hierarchies()):
        for group in reversed(list(_groups(top))):
            _rmdir(group)


def _rmdir(group: Path) -> None:
    # The kernel may still count a process that was reaped an instant ago: EBUSY for some milliseconds.
    for _ in range(100):
        try:
            group.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise LabError(f"The cgroup {group} cannot be removed; some process moved into it, see its cgroup.procs.")


def _groups(top: Path) -> Iterator[Path]:
    """The group and all groups below it, parents first."""
    if top.is_dir():
        for folder, children, _ in os.walk(top):
            children.sort()
            yield Path(folder)


def cpu_seconds(instance: Instance) -> float:
    """CPU time that the cluster has used since it came up, pods included."""
    if is_v2():
        stat = (ROOT / instance.name / "cpu.stat").read_text().split()
        return int(stat[stat.index("usage_usec") + 1]) / 1e6
    return int((ROOT / "cpuacct" / instance.name / "cpuacct.usage").read_text()) / 1e9
