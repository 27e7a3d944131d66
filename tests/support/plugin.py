"""Runs `kubectl tradingengine` as a person does, with the kubectl of a cluster."""

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence

PLUGIN = (sys.executable, "-c", "from rtx_cli.main import main; main()")
DEADLINE_SECONDS = 400.0  # an upgrade that it follows


def plugin(kubectl: Sequence[str], namespace: str, *words: str) -> "subprocess.CompletedProcess[str]":
    """The command's end; `kubectl` is the program with the flags that choose the cluster."""
    return subprocess.run(
        [*PLUGIN, *words, "--namespace", namespace],
        env={**os.environ, "KUBECTL": shlex.join(kubectl)},
        capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False,
    )  # fmt: skip
