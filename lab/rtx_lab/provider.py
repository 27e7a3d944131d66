"""What a cluster can do, whoever provides it: the seam between the command line and the native cluster or kind."""

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
    """The verbs behind the commands. Every one raises LabError with a sentence for the user."""

    name: ProviderName

    def prepare(self, root: Path, reporter: Reporter) -> None:
        """Builds what `up` starts and, from the project at `root`, all our images, at once; starts nothing.

        Either would build its own when it is missing, one after the other. What is built stays so when this fails.
        """
        ...

    def up(self, nodes: int, fake_nodes: int, reporter: Reporter) -> None: ...

    def down(self) -> None: ...

    def build(self, names: list[str], root: Path, reporter: Reporter) -> list[str]:
        """Builds our images (all for an empty list) from the project at `root`; returns what they are called."""
        ...

    def load(self, names: list[str], reporter: Reporter) -> None: ...

    def is_up(self) -> bool: ...

    def status(self) -> list[tuple[str, str, str]]:
        """Rows of (kind of thing, its name, its state)."""
        ...

    def command_in(self, node: str, command: list[str]) -> list[str]:
        """The command line that runs `command` on a node."""
        ...

    def plug(self, node: str, *, connected: bool) -> None: ...

    def kubectl(self) -> list[str]:
        """The command line of a kubectl that talks to this cluster."""
        ...

    def kubeconfig(self) -> Path: ...


def docker_is_running() -> bool:
    """Whether a Docker engine answers on this machine."""
    if not shutil.which("docker"):
        return False
    try:
        answer = subprocess.run(["docker", "info"], capture_output=True, timeout=DOCKER_DEADLINE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return False
    return answer.returncode == 0
