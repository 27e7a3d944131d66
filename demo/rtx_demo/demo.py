"""`make demo`, step by step."""

import json
import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtx_lab.provider import Provider

from . import cluster, installation, reach, report, sample
from .engine import Engine
from .errors import DemoError
from .kubectl import Kubectl
from .report import Result
from .sample import Sample
from .scenario import Scenario
from .traffic import Settings
from .view import View

RESULT_FILE = Path("build/demo.json")
REMOVAL_DEADLINE = 180.0


@dataclass(frozen=True)
class Demo:
    """Where the repository is, what the cluster is, and who looks on."""

    root: Path
    provider: Provider
    view: View
    settings: Settings
    keep: bool

    def run(self) -> Result:
        """All of it. Raises DemoError or LabError when a step cannot be done; what the engine did is the result's."""
        self.view.title("A local Kubernetes")
        with cluster.local_cluster(self.provider, self.view.reporter, keep=self.keep) as kubectl:
            self.view.title("Images, and the operator")
            self._install(kubectl)
            engine = Sample(kubectl, self.root).engine
            self.view.title(f"kubectl apply -f {sample.FILE}")
            ready_s = self._apply(engine)
            self.view.title(f"{self.settings.rate:g} requests a second, from now until the last cutover is over")
            result = Scenario(engine, self.settings, self.view, keep=self.keep).upgrades()
            rows = report.table(result, ready_s=ready_s)
            self._write(report.document(rows, machine()))
            self.view.table(rows, result.findings, caption=_caption(engine))
            if self.keep:
                self._say_how_to_reach(engine)
        return result

    def _install(self, kubectl: Kubectl) -> None:
        image_id = cluster.build_and_load(self.provider, self.root, self.view.reporter)
        with self.view.reporter.step("installing the operator"):
            installation.install(kubectl, self.root, image_id=image_id)

    def _apply(self, engine: Engine) -> float:
        """Seconds from the apply to Ready, of an engine that was not there before."""
        kubectl = engine.kubectl
        if kubectl.get("namespace", engine.namespace):
            with self.view.reporter.step("removing what an earlier run left"):
                kubectl.delete("namespace", engine.namespace, deadline=REMOVAL_DEADLINE)
        kubectl.run("apply", "-f", str(self.root / sample.NAMESPACE_FILE))
        began = time.monotonic()
        kubectl.run("apply", "-f", str(self.root / sample.FILE))
        with self.view.conditions() as story:
            for condition in engine.changes():
                story.tell(condition)
        ready_s = time.monotonic() - began
        self.view.say(engine.line())
        return ready_s

    def _write(self, document: dict[str, Any]) -> None:
        file = self.root / RESULT_FILE
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(document, indent=2) + "\n")

    def _say_how_to_reach(self, engine: Engine) -> None:
        self.view.title("It is still running")
        self.view.say(f"The API page: http://localhost:{reach.PORT}/docs, after the third of these commands:\n")
        program = engine.kubectl.program[0]
        kubeconfig = self.provider.kubeconfig()
        for command in reach.commands(
            kubectl=Path(program), kubeconfig=kubeconfig, name=engine.name, namespace=engine.namespace
        ):
            self.view.say(f"  {command}")
        self.view.say("\nTake it down with: make down")


def _caption(engine: Engine) -> str:
    """The waiting that is in the cutovers' seconds because the sample asks for it."""
    rollout = engine.read()["spec"].get("rollout", {})
    drain, monitor = rollout.get("drainTimeout", "30s"), rollout.get("monitor", {}).get("duration", "5m")
    return f"The sample drains the old colour for up to {drain} and watches the new one for {monitor}."


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "cpus": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "kernel": platform.release(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def repository() -> Path:
    """The folder of the repository; raises DemoError outside of one."""
    for folder in (Path.cwd(), *Path.cwd().parents):
        if (folder / sample.FILE).exists():
            return folder
    raise DemoError(f"{sample.FILE} is not here: run this in the repository's folder.")
