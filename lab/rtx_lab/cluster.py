"""The native cluster as a whole: up, down, and what it is now."""

import contextlib
import datetime as dt
import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from rtx_lab import addons, binaries, cgroups, control_plane, network, nodes, packages, pki, processes, system_images
from rtx_lab.api import Api, connect
from rtx_lab.errors import LabError
from rtx_lab.instance import CONTROL_PLANE, Instance, Node
from rtx_lab.paths import cache_home
from rtx_lab.progress import Reporter

READY_DEADLINE_SECONDS = 90.0
MAX_NODES = 9


@dataclass(frozen=True)
class Record:
    """What `up` leaves on disk as its last step; without it the cluster is half-built and worth nothing."""

    nodes: int
    since: str


def up(instance: Instance, node_count: int, fake_nodes: int, reporter: Reporter) -> None:
    """Brings the cluster up, or adds fake nodes to one that is up. Leaves nothing behind when it fails.

    Raises LabError when the machine lacks something, or a cluster of another size is up.
    """
    require_root()
    if not 0 <= node_count <= MAX_NODES:
        raise LabError(f"--nodes {node_count} is out of range; a cluster here has 0 to {MAX_NODES} nodes.")
    if running := find(instance):
        if running.nodes != node_count:
            raise LabError(f"{instance.name} is up with {running.nodes} nodes; run `lab down` first.")
        reporter.print_line(f"{instance.name} is up already")
        _add_fake_nodes(instance, binaries.ensure(binaries.PROGRAMS, reporter), fake_nodes)
        return
    packages.ensure(packages.CLUSTER, reporter)
    commands = binaries.ensure(binaries.PROGRAMS, reporter)
    down(instance)  # what a crash may have left
    with _cleanup_on_failure(instance), reporter.step(f"starting {instance.name}, {node_count} nodes"):
        _start(instance, commands, node_count)
        _add_fake_nodes(instance, commands, fake_nodes)
        since = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        _record_path(instance).write_text(json.dumps(asdict(Record(node_count, since))))


def down(instance: Instance) -> None:
    """Removes the cluster, whole or half-built, down to the last process, mount, namespace and cgroup."""
    if os.geteuid() != 0:
        raise LabError("Taking the native cluster down needs root.")
    _record_path(instance).unlink(missing_ok=True)
    if cgroups.exists(instance):
        cgroups.kill(instance)
        cgroups.remove(instance)
    network.detach_host(instance)
    for folder in (instance.run, instance.state):
        if folder.exists():
            shutil.rmtree(folder)


def find(instance: Instance) -> Record | None:
    """The cluster that is up and answers; None when there is none, or only the rest of one."""
    try:
        record = Record(**json.loads(_record_path(instance).read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return record if connect(instance).is_ready() else None


def require(instance: Instance) -> Record:
    """The running cluster; raises LabError when there is none."""
    record = find(instance)
    if not record:
        raise LabError(f"No cluster {instance.name} is up; run `lab up`.")
    return record


def require_root() -> None:
    """Raises LabError without the rights that a native cluster takes."""
    if os.geteuid() != 0:
        raise LabError("The native cluster needs root (namespaces, cgroups); run as root, or use --provider kind.")


def all_nodes(instance: Instance) -> list[Node]:
    return [instance.node(number) for number in range(1, require(instance).nodes + 1)]


def node_named(instance: Instance, name: str) -> Node:
    """The real node of that name; raises LabError naming those that exist."""
    names = {node.name: node for node in all_nodes(instance)}
    if name not in names:
        raise LabError(f"There is no node {name}; {instance.name} has {', '.join(names) or 'no real nodes'}.")
    return names[name]


def _start(instance: Instance, commands: dict[str, Path], count: int) -> None:
    pods = [instance.node(number).name for number in range(1, count + 1)]
    cgroups.create(instance, [CONTROL_PLANE, cgroups.DAEMONS, *pods])
    pki.create_all(instance, count)
    instance.kubectl.symlink_to(commands["kubectl"])
    workers = [instance.node(number) for number in range(1, count + 1)]
    images = system_images.ensure_archive(commands) if workers else Path()
    control_plane.start_store(instance, commands, count)
    with ThreadPoolExecutor(max(1, count)) as pool:
        # The nodes' runtimes start while the API server does.
        runtimes = [pool.submit(nodes.start_runtime, node, count, images) for node in workers]
        api = connect(instance)
        control_plane.start_controllers(instance, commands, api)
        for node in workers:
            nodes.register(node, api)
        for node, runtime in zip(workers, runtimes, strict=True):
            runtime.result()
            nodes.start_agents(node, commands)
    if workers:
        _start_addons(instance, commands, api, count)


def _start_addons(instance: Instance, commands: dict[str, Path], api: Api, count: int) -> None:
    addons.apply(instance, count)
    addons.start_metrics_server(instance, commands)
    addons.start_volume_provisioner(instance, commands, api)
    _wait_for_nodes(api, count)
    processes.wait_for("cluster DNS", READY_DEADLINE_SECONDS, lambda: addons.dns_is_ready(api))
    for name, alive in processes.daemons(instance).items():
        if not alive:
            raise LabError(f"{name} ended soon after its start: {processes.last_line(instance, name)}")


def _add_fake_nodes(instance: Instance, commands: dict[str, Path], count: int) -> None:
    if count:
        api = connect(instance)
        addons.add_fake_nodes(instance, commands, api, count)
        _wait_for_nodes(api, count)


def _wait_for_nodes(api: Api, at_least: int) -> None:
    def all_ready() -> bool:
        ready = api.ready_nodes()
        return len(ready) >= at_least and all(ready.values())

    processes.wait_for("all nodes to be Ready", READY_DEADLINE_SECONDS, all_ready)


@contextlib.contextmanager
def _cleanup_on_failure(instance: Instance) -> Iterator[None]:
    try:
        yield
    except BaseException:
        # Logs say what went wrong; they are all that stays.
        kept = cache_home() / "logs" / instance.name
        shutil.rmtree(kept, ignore_errors=True)
        if instance.logs.exists():
            shutil.copytree(instance.logs, kept)
        down(instance)
        raise


def _record_path(instance: Instance) -> Path:
    return instance.run / "cluster.json"
