"""Sets up the demo and the benchmarks: images and operator on the cluster, then a new sample engine."""

import os
import platform
import statistics
import time
from pathlib import Path
from typing import Any

from rtx_lab.provider import Provider

from . import cluster, installation, sample
from .engine import Engine
from .errors import DemoError
from .kubectl import Kubectl
from .view import View


def install(kubectl: Kubectl, provider: Provider, root: Path, view: View) -> None:
    """Build and load the images and install the operator. Raises DemoError or LabError."""
    image_id = cluster.build_and_load(provider, root, view.reporter)
    with view.reporter.step("installing the operator"):
        installation.install(kubectl, root, image_id=image_id)


def apply(engine: Engine, root: Path, view: View) -> float:
    """Delete and create the sample engine; returns the seconds from `kubectl apply` to Ready. Raises DemoError."""
    kubectl = engine.kubectl
    if kubectl.get("namespace", engine.namespace):
        with view.reporter.step("deleting the engine of an earlier run"):
            sample.remove(kubectl, engine.namespace)
    kubectl.run("apply", "-f", str(root / sample.NAMESPACE_FILE))
    began = time.monotonic()
    kubectl.run("apply", "-f", str(root / sample.FILE))
    with view.conditions() as log:
        for condition in engine.changes():
            log.update(condition)
    ready_s = time.monotonic() - began
    view.print_line(engine.line())
    return ready_s


def configured_waits(engine: Engine) -> str:
    """A sentence on the waits that the sample configures; the cutovers' seconds include them."""
    rollout = engine.read()["spec"].get("rollout", {})
    drain, monitor = rollout.get("drainTimeout", "30s"), rollout.get("monitor", {}).get("duration", "5m")
    return f"Cutover times include the sample's waits: up to {drain} to drain, {monitor} to monitor the new colour."


def machine() -> dict[str, Any]:
    """The machine that the figures were measured on.

    `loop_ms` is the time of a loop of a million additions in ms. A virtual machine's speed varies by the hour: compare
    only figures with the same `loop_ms`.
    """
    return {
        "cpus": os.cpu_count(),
        "loop_ms": round(1000 * statistics.median(_loop_s() for _ in range(9))),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "kernel": platform.release(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def _loop_s() -> float:
    began, total = time.perf_counter(), 0
    for number in range(1_000_000):
        total += number
    return time.perf_counter() - began


def repository() -> Path:
    """The repository's root folder, searched upwards from the current one. Raises DemoError outside of it."""
    for folder in (Path.cwd(), *Path.cwd().parents):
        if (folder / sample.FILE).exists():
            return folder
    raise DemoError(f"{sample.FILE} not found: run this in the repository.")
