"""Measures how soon `kubectl tradingengine` starts; run by `bench/cli`.

Each row is a process from its start to its end. On a machine with other work the wall time is that of the queue for a
processor; the CPU time is what the plugin itself needs. No cluster is asked: a program that does nothing stands in
kubectl's place.
"""

import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from support.figures import Row, print_rows

PLUGIN = (sys.executable, "-c", "from rtx_cli.main import main; main()")
NOTHING = "#!/bin/sh\necho '{\"items\": []}'\n"


@dataclass(frozen=True)
class Case:
    """A command to start."""

    id: str
    what: str
    command: tuple[str, ...]


CASES = (
    Case("python", "Python alone", (sys.executable, "-c", "pass")),
    Case("help", "--help", (*PLUGIN, "--help")),
    Case("status", "status of an empty namespace, kubectl's time left out", (*PLUGIN, "status")),
    Case("completion", "the Tab key, on a command", (*PLUGIN, "__complete", "up")),
    Case(
        "diff",
        "the operator's models, which only diff imports",
        (sys.executable, "-c", "import rtx_cli.decide.difference"),
    ),
)


def main(
    *,
    runs: Annotated[int, typer.Option(min=1, help="starts of each command; their median is shown")] = 11,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    """Start each command several times; print the medians of its wall and CPU time."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "kubectl"
        program.write_text(NOTHING)
        program.chmod(0o755)
        environment = {**os.environ, "KUBECTL": str(program)}
        measured = {case.id: [_seconds(case.command, environment) for _ in range(runs)] for case in CASES}
    rows = [
        Row(f"{case.id}_{kind}_ms", f"{case.what}: {kind} time", round(1000 * median(values), 1), "ms", runs)
        for case in CASES
        for kind, values in zip(("wall", "cpu"), zip(*measured[case.id], strict=True), strict=True)
    ]
    print_rows(rows, as_json=as_json)


def _seconds(command: Sequence[str], environment: dict[str, str]) -> tuple[float, float]:
    """Wall and CPU seconds of a process and of those that it waited for."""
    began = time.monotonic()
    silence = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)]
    process = os.posix_spawn(command[0], list(command), environment, file_actions=silence)
    _, status, used = os.wait4(process, 0)
    if os.waitstatus_to_exitcode(status):
        raise typer.BadParameter(f"{' '.join(command)} failed with {os.waitstatus_to_exitcode(status)}")
    return time.monotonic() - began, used.ru_utime + used.ru_stime


if __name__ == "__main__":
    typer.run(main)
