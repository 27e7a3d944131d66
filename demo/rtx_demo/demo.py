"""The steps of `make demo`."""

import json
from dataclasses import dataclass
from pathlib import Path

from rtx_lab.provider import Provider

from . import access, cluster, preparation, report, sample
from .engine import Engine
from .report import Result
from .sample import Sample
from .scenario import Scenario
from .traffic import Settings
from .view import View

RESULT_FILE = Path("build/demo.json")
LEDGER_FILE = Path("build/demo-ledger.jsonl")


@dataclass(frozen=True)
class Demo:
    """One demo: repository, cluster, output and load settings."""

    root: Path
    provider: Provider
    view: View
    settings: Settings
    keep: bool

    def run(self) -> Result:
        """Run all steps. Raises DemoError or LabError when a step cannot run; a broken promise is in the result."""
        self.view.title("Local cluster")
        with cluster.local_cluster(self.provider, self.root, self.view.reporter, keep=self.keep) as kubectl:
            self.view.title("Images and operator")
            preparation.install(kubectl, self.provider, self.root, self.view)
            engine = Sample(kubectl, self.root).engine
            self.view.title(f"kubectl apply -f {sample.FILE}")
            ready_s = preparation.apply(engine, self.root, self.view)
            self.view.title(f"Load: {self.settings.rate:g} requests per second until the last cutover ends")
            (self.root / RESULT_FILE).parent.mkdir(exist_ok=True)
            evidence = self.root / LEDGER_FILE
            result = Scenario(engine, self.settings, self.view, evidence, keep=self.keep).upgrades()
            rows = report.table(result, ready_s=ready_s)
            document = report.document(rows, preparation.machine())
            (self.root / RESULT_FILE).write_text(json.dumps(document, indent=2) + "\n")
            self.view.table(rows, result.findings, caption=preparation.configured_waits(engine))
            if self.keep:
                self._show_access_commands(engine)
        return result

    def _show_access_commands(self, engine: Engine) -> None:
        self.view.title("The cluster is still running")
        self.view.print_line(
            f"API documentation: http://localhost:{access.PORT}/docs, after the third of these commands:\n"
        )
        program = engine.kubectl.program[0]
        kubeconfig = self.provider.kubeconfig()
        for command in access.commands(
            kubectl=Path(program), kubeconfig=kubeconfig, name=engine.name, namespace=engine.namespace
        ):
            self.view.print_line(f"  {command}")
        self.view.print_line("\nStop the cluster with: make down")
