"""The native cluster as a whole: start, stop and state."""

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
    """Written by `up` as its last step; without it the cluster is incomplete and unusable."""

    nodes: int
    since: str


def up(instance: Instance, node_count: int, fake_nodes: int, reporter: Reporter) -> None:
    """Starts the cluster, or adds fake nodes to a running one. Removes everything again when it fails.

    Raises LabError when the machine lacks a requirement, or a cluster of another size is running.
    """
    require_root()
    if not 0 <= node_count <= MAX_NODES:
        raise LabError(f"--nodes {node_count} is out of range: a cluster has 0 to {MAX_NODES} nodes.")
    if running := find(instance):
        if running.nodes != node_count:
            raise LabError(f"{instance.name} is running with {running.nodes} nodes: run `lab down` first.")
        reporter.print_line(f"{instance.name} is already running")
        _add_fake_nodes(instance, binaries.ensure(binaries.PROGRAMS, reporter), fake_nodes)
        return
    packages.ensure(packages.CLUSTER, reporter)
    commands = binaries.ensure(binaries.PROGRAMS, reporter)
    down(instance)  # removes the rest of a crashed cluster
    with _cleanup_on_failure(instance), reporter.step(f"starting {instance.name} with {node_count} nodes"):
        _start(instance, commands, node_count)
        _add_fake_nodes(instance, commands, fake_nodes)
        since = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        _record_path(instance).write_text(json.dumps(asdict(Record(node_count, since))))


def down(instance: Instance) -> None:
    """Removes all processes, mounts, namespaces and cgroups of the cluster, complete or not. Raises LabError."""
    if os.geteuid() != 0:
        raise LabError("Stopping the native cluster requires root: run as root.")
    _record_path(instance).unlink(missing_ok=True)
    if cgroups.exists(instance):
        cgroups.kill(instance)
        cgroups.remove(instance)
    network.detach_host(instance)
    for folder in (instance.run, instance.state):
        if folder.exists():
            shutil.rmtree(folder)


def find(instance: Instance) -> Record | None:
    """The running cluster; None when there is none, or when it is incomplete or its API server not ready."""
    try:
        record = Record(**json.loads(_record_path(instance).read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return record if connect(instance).is_ready() else None


def require(instance: Instance) -> Record:
    """The running cluster. Raises LabError when there is none."""
    record = find(instance)
    if not record:
        raise LabError(f"Cluster {instance.name} is not running: run `lab up`.")
    return record


def require_root() -> None:
    """Raises LabError when this process is not root."""
    if os.geteuid() != 0:
        raise LabError("The native cluster requires root (namespaces, cgroups): run as root, or use --provider kind.")


def all_nodes(instance: Instance) -> list[Node]:
    return [instance.node(number) for number in range(1, require(instance).nodes + 1)]


def node_named(instance: Instance, name: str) -> Node:
    """The real node of that name. Raises LabError that lists the existing ones."""
    names = {node.name: node for node in all_nodes(instance)}
    if name not in names:
        raise LabError(f"Node {name} does not exist: {instance.name} has {', '.join(names) or 'no real nodes'}.")
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
        # The nodes' runtimes start in parallel with the API server.
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
            raise LabError(f"{name} ended right after its start: {processes.last_line(instance, name)}")


def _add_fake_nodes(instance: Instance, commands: dict[str, Path], count: int) -> None:
    if count:
        api = connect(instance)
        addons.add_fake_nodes(instance, commands, api, count)
        _wait_for_nodes(api, count)


def _wait_for_nodes(api: Api, minimum: int) -> None:
    def all_ready() -> bool:
        ready = api.ready_nodes()
        return len(ready) >= minimum and all(ready.values())

    processes.wait_for("all nodes to be Ready", READY_DEADLINE_SECONDS, all_ready)


@contextlib.contextmanager
def _cleanup_on_failure(instance: Instance) -> Iterator[None]:
    try:
        yield
    except BaseException:
        # Only the logs are kept, for the diagnosis.
        saved_logs = cache_home() / "logs" / instance.name
        shutil.rmtree(saved_logs, ignore_errors=True)
        if instance.logs.exists():
            shutil.copytree(instance.logs, saved_logs)
        down(instance)
        raise


def _record_path(instance: Instance) -> Path:
    return instance.run / "cluster.json"
