"""The interface between the command line and the providers of a cluster (native, kind)."""

import shutil
import subprocess
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from rtx_lab.progress import Reporter

DOCKER_DEADLINE_SECONDS = 10


class ProviderName(StrEnum):
    NATIVE = "native"
    KIND = "kind"


class Provider(Protocol):
    """The verbs behind the commands. Each raises LabError."""

    name: ProviderName

    def prepare(self, root: Path, reporter: Reporter) -> None:
        """Builds the cluster's programs and, from the project at `root`, all our images, concurrently; starts nothing.

        `up` and `load` would build them one after the other. Finished builds are kept when another one fails.
        """
        ...

    def up(self, nodes: int, fake_nodes: int, reporter: Reporter) -> None: ...

    def down(self) -> None: ...

    def build(self, names: list[str], root: Path, reporter: Reporter) -> list[str]:
        """Builds our images (all for an empty list) from the project at `root`; returns their references."""
        ...

    def load(self, names: list[str], reporter: Reporter) -> None: ...

    def is_up(self) -> bool: ...

    def status(self) -> list[tuple[str, str, str]]:
        """Rows of (kind, name, state)."""
        ...

    def command_in(self, node: str, command: list[str]) -> list[str]:
        """The command line that runs `command` on a node."""
        ...

    def plug(self, node: str, *, connected: bool) -> None: ...

    def kubectl(self) -> list[str]:
        """The command line of kubectl for this cluster."""
        ...

    def kubeconfig(self) -> Path: ...


def docker_is_running() -> bool:
    """Whether a Docker engine runs on this machine."""
    if not shutil.which("docker"):
        return False
    try:
        result = subprocess.run(["docker", "info"], capture_output=True, timeout=DOCKER_DEADLINE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return False
    return result.returncode == 0
