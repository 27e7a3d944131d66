"""How the demo and the benchmarks begin: images and operator on the cluster, then the sample engine, fresh."""

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
    """Build and load the images and install the operator."""
    image_id = cluster.build_and_load(provider, root, view.reporter)
    with view.reporter.step("installing the operator"):
        installation.install(kubectl, root, image_id=image_id)


def apply(engine: Engine, root: Path, view: View) -> float:
    """Seconds from the apply of the sample to Ready, of an engine that was not there before."""
    kubectl = engine.kubectl
    if kubectl.get("namespace", engine.namespace):
        with view.reporter.step("removing what an earlier run left"):
            sample.remove(kubectl, engine.namespace)
    kubectl.run("apply", "-f", str(root / sample.NAMESPACE_FILE))
    began = time.monotonic()
    kubectl.run("apply", "-f", str(root / sample.FILE))
    with view.conditions() as story:
        for condition in engine.changes():
            story.tell(condition)
    ready_s = time.monotonic() - began
    view.print_line(engine.line())
    return ready_s


def configured_waits(engine: Engine) -> str:
    """The waiting that is in the cutovers' seconds because the sample asks for it."""
    rollout = engine.read()["spec"].get("rollout", {})
    drain, monitor = rollout.get("drainTimeout", "30s"), rollout.get("monitor", {}).get("duration", "5m")
    return f"The sample drains the old colour for up to {drain} and watches the new one for {monitor}."


def machine() -> dict[str, Any]:
    """What the figures were measured on.

    `loop_ms` are the milliseconds of a loop of a million additions: a virtual machine has fast hours and slow ones, and
    figures of two hours compare only where it is the same.
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
    """The folder of the repository; raises DemoError outside of one."""
    for folder in (Path.cwd(), *Path.cwd().parents):
        if (folder / sample.FILE).exists():
            return folder
    raise DemoError(f"{sample.FILE} is not here: run this in the repository's folder.")
