"""The provider of the native cluster."""

from pathlib import Path

from rtx_lab import binaries, cluster, images, loading, lock, network, packages, processes, tasks
from rtx_lab.api import connect
from rtx_lab.instance import CONTROL_PLANE, Instance
from rtx_lab.progress import Reporter
from rtx_lab.provider import ProviderName

BUILD_LOCK = "rtx-lab-images"  # all instances share buildah's storage


class Native:
    """Provider on Linux namespaces; requires root."""

    name = ProviderName.NATIVE

    def __init__(self, instance: Instance) -> None:
        """Provides the cluster of that instance."""
        self.instance = instance

    def prepare(self, root: Path, reporter: Reporter) -> None:
        def programs() -> None:
            binaries.ensure(binaries.PROGRAMS, reporter)

        def our_images() -> None:
            packages.ensure(packages.CLUSTER | packages.IMAGES, reporter)
            with lock.held(BUILD_LOCK):
                for reference in images.build([], root, reporter):
                    images.write_archive(
                        reference, images.archive_path(reference)
                    )  # so that `load` need not wait for it

        cluster.require_root()
        # Linking uses one core and package downloads the network, so both fit side by side.
        with lock.held(self.instance.name):
            tasks.run_concurrently([programs, our_images], concurrency=2)

    def up(self, nodes: int, fake_nodes: int, reporter: Reporter) -> None:
        with lock.held(self.instance.name):
            cluster.up(self.instance, nodes, fake_nodes, reporter)

    def down(self) -> None:
        with lock.held(self.instance.name):
            cluster.down(self.instance)

    def build(self, names: list[str], root: Path, reporter: Reporter) -> list[str]:
        with lock.held(BUILD_LOCK):
            return images.build(names, root, reporter)

    def load(self, names: list[str], reporter: Reporter) -> None:
        with lock.held(self.instance.name):
            loading.load(names, cluster.all_nodes(self.instance), reporter)

    def is_up(self) -> bool:
        return cluster.find(self.instance) is not None

    def status(self) -> list[tuple[str, str, str]]:
        record = cluster.require(self.instance)
        rows = [("cluster", self.instance.name, f"up since {record.since}")]
        for name, ready in connect(self.instance).ready_nodes().items():
            rows.append(("node", name, "Ready" if ready else "NotReady"))
        workers = cluster.all_nodes(self.instance)
        rows += [("cable", node.name, "connected" if network.is_plugged(node) else "cut") for node in workers]
        for name, alive in processes.daemons(self.instance).items():
            rows.append(("daemon", name, "running" if alive else f"ended, see {self.instance.logs}/{name}.log"))
        return rows

    def command_in(self, node: str, command: list[str]) -> list[str]:
        if node != CONTROL_PLANE:
            cluster.node_named(self.instance, node)
        return processes.inside(self.instance, node, command)

    def plug(self, node: str, *, connected: bool) -> None:
        network.plug(cluster.node_named(self.instance, node), connected=connected)

    def kubectl(self) -> list[str]:
        return [str(self.instance.kubectl), f"--kubeconfig={self.kubeconfig()}"]

    def kubeconfig(self) -> Path:
        cluster.require(self.instance)
        return self.instance.kubeconfig
