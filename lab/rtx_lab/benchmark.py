"""Measures the local cluster; run by `bench/lab`. Uses its own instance, so that a cluster in use keeps running."""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from rtx_lab import binaries, cgroups
from rtx_lab.errors import LabError
from rtx_lab.images import named
from rtx_lab.instance import Instance
from rtx_lab.progress import Reporter

INSTANCE = Instance("rtx-lab-bench")
SETTLE_SECONDS = 30.0
IDLE_SECONDS = 60.0
COMMAND_DEADLINE_SECONDS = 600


@dataclass(frozen=True)
class Row:
    """One figure; documents quote it by its id."""

    id: str
    what: str
    value: float
    unit: str
    runs: int


def measure(
    runs: Annotated[int, typer.Option(help="Runs of up and load; the median is reported.")] = 3,
    nodes: Annotated[int, typer.Option(help="Number of real nodes.")] = 3,
    cold: Annotated[
        bool, typer.Option("--cold", help="Also build all programs with empty caches (15 to 25 min).")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the table.")] = False,
) -> None:
    """Measure start, image load, idle cost and cold build of the local cluster (about 4 minutes)."""
    reporter = Reporter()
    try:
        rows = [*_cluster(runs, nodes, reporter), *(_cold_build() if cold else _recorded_cold_build())]
    except LabError as error:
        reporter.print_line(f"bench/lab: {error}")
        sys.exit(1)
    if as_json:
        typer.echo(json.dumps({"machine": machine(), "rows": [asdict(row) for row in rows]}))
        return
    table = Table("id", "what", "value", "unit", "runs", title=machine())
    for row in rows:
        table.add_row(row.id, row.what, f"{row.value:g}", row.unit, str(row.runs))
    Console().print(table)


def machine() -> str:
    """The machine as one line: processors, memory, kernel and load average."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = os.getloadavg()[1]
    return f"{os.cpu_count()} x {model}, {memory:.0f} GiB, Linux {platform.release()}, load {load:.1f}"


def _cluster(runs: int, nodes: int, reporter: Reporter) -> list[Row]:
    engine = named(["engine"])[0].reference
    _lab("build", "engine")
    ups, loads = [], []
    try:
        for number in range(runs):
            reporter.print_line(f"run {number + 1} of {runs}")
            _lab("down")
            ups.append(_seconds(lambda: _lab("up", "--provider=native", f"--nodes={nodes}")))
            loads.append(_seconds(lambda: _lab("load", engine)))
        with reporter.step(f"measuring the idle cluster for {SETTLE_SECONDS + IDLE_SECONDS:.0f} s"):
            time.sleep(SETTLE_SECONDS)
            idle = _idle_percent()
    finally:
        _lab("down")
    size = f"{nodes} nodes"
    return [
        Row("up_warm_s", f"lab up, {size} and DNS Ready, programs cached", _round(median(ups)), "s", runs),
        Row("load_s", f"lab load of the engine's image onto {size}", _round(median(loads)), "s", runs),
        Row("idle_cpu_percent", f"CPU of the idle cluster, {size}, share of the machine", _round(idle), "%", 1),
    ]


def _idle_percent() -> float:
    before, began = cgroups.cpu_seconds(INSTANCE), time.monotonic()
    time.sleep(IDLE_SECONDS)
    used, elapsed = cgroups.cpu_seconds(INSTANCE) - before, time.monotonic() - began
    return 100 * used / elapsed / (os.cpu_count() or 1)


def _recorded_cold_build() -> list[Row]:
    record = binaries.last_cold_build()
    if not record:
        return []
    what = f"all programs from empty caches, downloads included, as recorded on {record['when']}"
    return [Row("cold_build_s", what, float(str(record["total_s"])), "s", 1)]


def _cold_build() -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="rtx-lab-cold-") as folder:
        caches = {"XDG_CACHE_HOME": folder, "GOCACHE": f"{folder}/go-build", "GOMODCACHE": f"{folder}/go-mod"}
        # Go write-protects its module cache; -modcacherw lets the folder be removed.
        os.environ.update(caches | {"GOFLAGS": f"{os.environ.get('GOFLAGS', '')} -modcacherw".strip()})
        seconds = _seconds(lambda: binaries.ensure(binaries.PROGRAMS, Reporter()))
    return [Row("cold_build_s", "all programs from empty caches, downloads included", _round(seconds), "s", 1)]


def _lab(*arguments: str) -> None:
    command = [sys.executable, "-m", "rtx_lab.main", "--instance", INSTANCE.name, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_DEADLINE_SECONDS, check=False)
    if result.returncode:
        raise LabError(f"`lab {' '.join(arguments)}` failed: {result.stderr.strip()}")


def _seconds(action: Callable[[], object]) -> float:
    began = time.monotonic()
    action()
    return time.monotonic() - began


def _round(value: float) -> float:
    return round(value, 1)


if __name__ == "__main__":
    typer.run(measure)
