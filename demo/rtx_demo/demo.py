"""`make demo`, step by step."""

import json
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtx_lab.provider import Provider
from rtx_traffic.stages import first_explained
from rtx_traffic.verdict import judge

from . import cluster, database, installation, reach, report, sample, upgrades
from .engine import Engine
from .errors import DemoError
from .kubectl import Kubectl
from .report import Result
from .sample import Sample
from .traffic import Settings, Traffic, Watch
from .upgrades import Outcome, Step
from .view import View

RESULT_FILE = Path("build/demo.json")
REMOVAL_DEADLINE = 180.0
SETTLE = 5.0  # seconds of load before the first bump and after the last cutover
KEPT_DEADLINE = 30.0  # for the old version to be back in reach after a rollback; going back works without, only slower


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
            result = self._upgrades(engine, ready_s)
            rows = report.table(result)
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

    def _upgrades(self, engine: Engine, ready_s: float) -> Result:
        """Every step of `upgrades`, under one load that goes on through all of them."""
        traffic = Traffic(engine.kubectl, engine, self.settings)
        self.view.title(f"{self.settings.rate:g} requests a second, from now until the last cutover is over")
        with self.view.reporter.step(f"logging {self.settings.accounts} accounts in"):
            traffic.start()
        with traffic.watching() as watch:
            watch.wait_until_sending()
            time.sleep(SETTLE)
            self.view.say(self.view.progress(watch.progress()))
            outcomes = list(self._steps(engine, watch))
            time.sleep(SETTLE)
            traffic.stop()
            watch.wait_until_ended()
            self.view.say(f"\n{self.view.progress(watch.progress())}")
        with self.view.reporter.step("comparing the ledger with the database"):
            ledger = traffic.ledger()
            stages = upgrades.stages(outcomes, started_at=ledger.run.started_at)
            verdict = judge(ledger, database.rows(engine, ledger), stages)
        if not self.keep:
            traffic.remove()
        return Result(verdict, outcomes, ready_s, first_explained(ledger, stages))

    def _steps(self, engine: Engine, watch: Watch) -> Iterator[Outcome]:
        """One cutover after the other; none after one that ended otherwise than it must."""
        for step in upgrades.STEPS:
            if step.version == upgrades.FIRST:
                engine.wait_until_kept(step.version, deadline=KEPT_DEADLINE)
            outcome = self._step(engine, step, watch)
            yield outcome
            if not outcome.kept:
                return

    def _step(self, engine: Engine, step: Step, watch: Watch) -> Outcome:
        self.view.title(f"kubectl patch te {engine.name}: spec.version {step.version}")
        bumped_at, began = time.time(), time.monotonic()
        with self.view.cutover(watch.progress) as story:
            cutover = None
            for cutover in engine.cutover_to(step.version):
                story.tell(cutover)
        if cutover is None:
            raise DemoError(f"The cutover to {step.version} was never seen.")
        return Outcome(step, bumped_at, time.monotonic() - began, cutover)

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
