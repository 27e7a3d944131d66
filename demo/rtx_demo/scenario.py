"""Cutovers under load: what the demo shows once, and `bench/upgrade` many times."""

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

SETTLE_SECONDS = 5.0  # seconds of load before the first bump and after the last cutover
PREVIOUS_DEADLINE_SECONDS = (
    30.0  # for the old version to be back in access after a rollback; going back works without, only slower
)


@dataclass(frozen=True)
class Scenario:
    """One engine, the load on it, and who looks on."""

    engine: Engine
    settings: Settings
    view: View
    evidence: Path | None = None  # where the clients' ledger goes when a promise was broken
    keep: bool = False  # leave the load's pods where they are

    def upgrades(self, steps: Sequence[Step] = upgrades.STEPS) -> Result:
        """All the steps under one load that goes on through them. Raises DemoError when one does not come to an end."""
        outcomes, ledger, rows = self.under_load(lambda watch: list(self._steps(steps, watch)))
        stages = upgrades.stages(outcomes, started_at=ledger.run.started_at)
        result = Result(judge(ledger, rows, stages), outcomes, first_explained(ledger, stages))
        if self.evidence and not result.kept:
            ledger.write(self.evidence)
            self.view.print_line(
                f"A promise was broken: the ledger of all that was sent and seen is in {self.evidence}."
            )
        return result

    def under_load(self, act: Callable[[Watch], T]) -> tuple[T, Ledger, Database]:
        """What `act` gives, and what the load's clients and the database hold in the end."""
        traffic = Traffic(self.engine.kubectl, self.engine, self.settings)
        with self.view.reporter.step(f"logging {self.settings.accounts} accounts in"):
            traffic.start()
        with traffic.watching() as watch:
            watch.wait_until_sending()
            time.sleep(SETTLE_SECONDS)
            self.view.print_line(self.view.progress(watch.progress()))
            given = act(watch)
            time.sleep(SETTLE_SECONDS)
            traffic.stop()
            watch.wait_until_ended()
            self.view.print_line(f"\n{self.view.progress(watch.progress())}")
        with self.view.reporter.step("fetching the ledger and the database's rows"):
            ledger = traffic.ledger()
            rows = database.rows(self.engine, ledger)
        if not self.keep:
            traffic.remove()
        return given, ledger, rows

    def _steps(self, steps: Sequence[Step], watch: Watch) -> Iterator[Outcome]:
        """One cutover after the other; none after one that ended otherwise than it must."""
        for step in steps:
            if step.to_previous:
                self.engine.wait_until_previous(step.version, deadline=PREVIOUS_DEADLINE_SECONDS)
            outcome = self._step(step, watch)
            yield outcome
            if not outcome.kept:
                return

    def _step(self, step: Step, watch: Watch) -> Outcome:
        self.view.title(f"kubectl patch te {self.engine.name}: spec.version {step.version}")
        bumped_at, began = time.time(), time.monotonic()
        with self.view.cutover(watch.progress) as story:
            cutover = None
            for cutover in self.engine.cutover_to(step.version):
                story.tell(cutover)
        if cutover is None:
            raise DemoError(f"The cutover to {step.version} was never seen.")
        return Outcome(step, bumped_at, time.monotonic() - began, cutover)
