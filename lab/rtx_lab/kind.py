"""Provider for machines with Docker: kind, by its documented commands. Never run by us; only the commands are tested.

Differences from the native cluster: another default storage class, no audit log, and a node may have another address
after `lab heal`.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import yaml

from rtx_lab import addons, images
from rtx_lab.errors import LabError
from rtx_lab.instance import DEFAULT
from rtx_lab.paths import cache_home
from rtx_lab.processes import run
from rtx_lab.progress import Reporter
from rtx_lab.provider import ProviderName

NETWORK = "kind"
UP_DEADLINE_SECONDS = 600.0
DEADLINE_SECONDS = 60.0
METRICS_SERVER = "https://github.com/kubernetes-sigs/metrics-server/releases/download/v0.9.0/components.yaml"
KWOK = "https://github.com/kubernetes-sigs/kwok/releases/download/v0.8.0/"


def config(nodes: int) -> str:
    """The configuration file of kind: one control plane and `nodes` workers."""
    roles = ["control-plane", *["worker"] * nodes]
    document = {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "nodes": [{"role": role} for role in roles],
    }
    return yaml.safe_dump(document, sort_keys=False)


@dataclass(frozen=True)
class Commands:
    """The command line of each verb."""

    name: str
    kubeconfig: Path

    def create(self, config_file: Path) -> list[str]:
        files = ["--config", str(config_file), "--kubeconfig", str(self.kubeconfig)]
        return ["kind", "create", "cluster", "--name", self.name, *files, "--wait", "180s"]

    def delete(self) -> list[str]:
        return ["kind", "delete", "cluster", "--name", self.name, "--kubeconfig", str(self.kubeconfig)]

    def clusters(self) -> list[str]:
        return ["kind", "get", "clusters"]

    def machines(self) -> list[str]:
        label = f"label=io.x-k8s.kind.cluster={self.name}"
        return ["docker", "ps", "--all", "--filter", label, "--format", "{{.Names}}\t{{.State}}"]

    def load(self, image: str) -> list[str]:
        what = "image-archive" if Path(image).is_file() else "docker-image"
        return ["kind", "load", what, image, "--name", self.name]

    def build(self, image: images.Image, root: Path) -> list[str]:
        arguments = [f"--build-arg={argument}" for argument in image.arguments]
        file = f"--file={root / image.dockerfile}"
        return ["docker", "build", file, f"--tag={image.reference}", *arguments, str(root)]

    def inside(self, node: str, command: list[str]) -> list[str]:
        return ["docker", "exec", "--interactive", node, *command]

    def plug(self, node: str, *, connected: bool) -> list[str]:
        return ["docker", "network", "connect" if connected else "disconnect", NETWORK, node]

    def kubectl(self) -> list[str]:
        return ["kubectl", f"--kubeconfig={self.kubeconfig}"]

    def metrics_server(self) -> list[list[str]]:
        insecure = [{"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": "--kubelet-insecure-tls"}]
        patch = [
            "patch",
            "deployment",
            "metrics-server",
            "-n",
            "kube-system",
            "--type=json",
            "-p",
            json.dumps(insecure),
        ]
        return [[*self.kubectl(), "apply", "-f", METRICS_SERVER], [*self.kubectl(), *patch]]

    def kwok(self) -> list[list[str]]:
        return [[*self.kubectl(), "apply", "-f", KWOK + file] for file in ("kwok.yaml", "stage-fast.yaml")]


class Kind:
    """Provider on Docker."""

    name = ProviderName.KIND

    def __init__(self, cluster: str = DEFAULT) -> None:
        """Provides the kind cluster of that name, with context kind-NAME."""
        self.commands = Commands(cluster, cache_home() / f"{cluster}.kind.kubeconfig")

    def prepare(self, root: Path, reporter: Reporter) -> None:
        self._require_programs()
        self.build([], root, reporter)  # kind needs no programs built here

    def up(self, nodes: int, fake_nodes: int, reporter: Reporter) -> None:
        self._require_programs()
        if not self.is_up():
            self._create(nodes, reporter)
        if fake_nodes:
            for command in self.commands.kwok():
                run(command, deadline_s=DEADLINE_SECONDS)
            items = [addons.fake_node(f"fake{number}") for number in range(1, fake_nodes + 1)]
            manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
            run([*self.commands.kubectl(), "apply", "-f", "-"], deadline_s=DEADLINE_SECONDS, stdin=manifest)

    def down(self) -> None:
        run(self.commands.delete(), deadline_s=DEADLINE_SECONDS)

    def build(self, names: list[str], root: Path, reporter: Reporter) -> list[str]:
        wanted = images.named(names)
        for image in wanted:
            with reporter.step(f"building image {image.reference}"):
                run(self.commands.build(image, root), deadline_s=images.BUILD_DEADLINE_SECONDS)
        return [image.reference for image in wanted]

    def load(self, names: list[str], reporter: Reporter) -> None:
        for name in names:
            with reporter.step(f"loading {name}"):
                run(self.commands.load(name), deadline_s=UP_DEADLINE_SECONDS)

    def is_up(self) -> bool:
        return self.commands.name in run(self.commands.clusters(), deadline_s=DEADLINE_SECONDS).split()

    def status(self) -> list[tuple[str, str, str]]:
        lines = run(self.commands.machines(), deadline_s=DEADLINE_SECONDS).splitlines()
        return [("node", *line.partition("\t")[::2]) for line in lines]

    def command_in(self, node: str, command: list[str]) -> list[str]:
        return self.commands.inside(node, command)

    def plug(self, node: str, *, connected: bool) -> None:
        run(self.commands.plug(node, connected=connected), deadline_s=DEADLINE_SECONDS)

    def kubectl(self) -> list[str]:
        return self.commands.kubectl()

    def kubeconfig(self) -> Path:
        if not self.commands.kubeconfig.exists():
            raise LabError(f"kind cluster {self.commands.name} is not running: run `lab up`.")
        return self.commands.kubeconfig

    def _require_programs(self) -> None:
        for program, source in (("kind", "https://kind.sigs.k8s.io"), ("kubectl", "https://kubernetes.io/docs/tasks")):
            if not shutil.which(program):
                raise LabError(f"{program} was not found: install it from {source}, or use --provider native.")

    def _create(self, nodes: int, reporter: Reporter) -> None:
        config_file = self.commands.kubeconfig.with_suffix(".config.yaml")
        config_file.parent.mkdir(parents=True, exist_ok=True)
        config_file.write_text(config(nodes))
        with reporter.step(f"creating the kind cluster with {nodes} workers"):
            run(self.commands.create(config_file), deadline_s=UP_DEADLINE_SECONDS)
            for command in self.commands.metrics_server():
                run(command, deadline_s=DEADLINE_SECONDS)
