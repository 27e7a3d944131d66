"""Cutovers under load: run once by the demo, repeatedly by `bench/upgrade`."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from rtx_traffic.ledger import Ledger
from rtx_traffic.rows import Database
from rtx_traffic.stages import first_explained
from rtx_traffic.verdict import judge

from . import database, upgrades
from .engine import Engine
from .errors import DemoError
from .report import Result
from .traffic import Settings, Traffic, Watch
from .upgrades import Outcome, Step
from .view import View

T = TypeVar("T")

SETTLE_SECONDS = 5.0  # of load before the first change of spec.version and after the last cutover
PREVIOUS_DEADLINE_SECONDS = 30.0  # for status.previous after a rollback; without it the return is a slower upgrade


@dataclass(frozen=True)
class Scenario:
    """One engine, its load, and the output."""

    engine: Engine
    settings: Settings
    view: View
    evidence: Path | None = None  # file for the clients' ledger when a promise was broken
    keep: bool = False  # do not delete the load's pods

    def upgrades(self, steps: Sequence[Step] = upgrades.STEPS) -> Result:
        """Run all steps under one continuous load. Raises DemoError when a cutover does not end."""
        outcomes, ledger, rows = self.under_load(lambda watch: list(self._steps(steps, watch)))
        stages = upgrades.stages(outcomes, started_at=ledger.run.started_at)
        result = Result(judge(ledger, rows, stages), outcomes, first_explained(ledger, stages))
        if self.evidence and not result.kept:
            ledger.write(self.evidence)
            self.view.print_line(
                f"A promise was broken. Evidence: {self.evidence}, the ledger of every request and event."
            )
        return result

    def under_load(self, act: Callable[[Watch], T]) -> tuple[T, Ledger, Database]:
        """The result of `act`, the clients' ledger and the database's rows after it. Raises DemoError."""
        traffic = Traffic(self.engine.kubectl, self.engine, self.settings)
        with self.view.reporter.step(f"logging in {self.settings.accounts} accounts"):
            traffic.start()
        with traffic.watching() as watch:
            watch.wait_until_sending()
            time.sleep(SETTLE_SECONDS)
            self.view.print_line(self.view.progress(watch.progress()))
            outcome = act(watch)
            time.sleep(SETTLE_SECONDS)
            traffic.stop()
            watch.wait_until_ended()
            self.view.print_line(f"\n{self.view.progress(watch.progress())}")
        with self.view.reporter.step("fetching the ledger and the database rows"):
            ledger = traffic.ledger()
            rows = database.rows(self.engine, ledger)
        if not self.keep:
            traffic.remove()
        return outcome, ledger, rows

    def _steps(self, steps: Sequence[Step], watch: Watch) -> Iterator[Outcome]:
        """One cutover after the other; stops after one that ended in an unexpected phase."""
        for step in steps:
            if step.to_previous:
                self.engine.wait_until_previous(step.version, deadline=PREVIOUS_DEADLINE_SECONDS)
            outcome = self._step(step, watch)
            yield outcome
            if not outcome.kept:
                return

    def _step(self, step: Step, watch: Watch) -> Outcome:
        self.view.title(f"kubectl patch te {self.engine.name}: spec.version {step.version}")
        changed_at, began = time.time(), time.monotonic()
        with self.view.cutover(watch.progress) as phases:
            cutover = None
            for cutover in self.engine.cutover_to(step.version):
                phases.update(cutover)
        if cutover is None:
            raise DemoError(f"No cutover to {step.version} was observed.")
        return Outcome(step, changed_at, time.monotonic() - began, cutover)
