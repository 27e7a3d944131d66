"""How long upgrades take and what fails during them, by the operator and by hand; what `bench/upgrade` runs."""

import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from ordinary_upgrade import OrdinaryUpgrade
from rich.console import Console
from rich.table import Table
from rtx_demo import cluster, preparation, report, upgrades
from rtx_demo.engine import Engine
from rtx_demo.errors import DemoError
from rtx_demo.report import Result
from rtx_demo.sample import Sample
from rtx_demo.scenario import Scenario
from rtx_demo.traffic import Settings
from rtx_demo.view import View
from rtx_lab.choice import choose
from rtx_lab.errors import LabError
from rtx_lab.instance import Instance
from rtx_traffic.fenced import overlap_s
from rtx_traffic.verdict import Verdict, judge

ROOT = Path(__file__).parents[1]
LEDGER_FILE = ROOT / "build" / "upgrade-ledger.jsonl"  # of the last run in which a promise was broken
SECONDS, MILLISECONDS = "s", "ms"  # of seconds the median and the longest are told, of counts the sum


@dataclass(frozen=True)
class Row:
    """One figure, under the id by which documents quote it."""

    id: str
    what: str
    value: float
    unit: str
    runs: int


def measure(
    upgrade_count: Annotated[
        int, typer.Option("--upgrades", min=1, max=50, help="Upgrades, each followed by the way back.")
    ] = 10,
    rollback_count: Annotated[
        int, typer.Option("--rollbacks", min=0, max=50, help="Of them, those with a broken upgrade in between.")
    ] = 10,
    ordinary_count: Annotated[int, typer.Option("--ordinary", min=0, max=20, help="Upgrades by hand.")] = 3,
    rate: Annotated[
        float, typer.Option(min=Settings.new_per_second, help="Requests a second, new connections included.")
    ] = Settings.rate,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the cluster up.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the table.")] = False,
) -> None:
    """Upgrade, roll back and go back under load, and do the same by hand: seconds, and requests that failed.

    Each upgrade is of an engine that was made for it. About 2 minutes for that, an upgrade with a rollback and the way
    back; 1 minute for an upgrade by hand.
    """
    view = View(Console(stderr=True, highlight=False))  # stdout is for the figures
    settings = Settings(rate=rate, duration=0)
    try:
        with cluster.local_cluster(choose(Instance()), ROOT, view.reporter, keep=keep) as kubectl:
            preparation.install(kubectl, choose(Instance()), ROOT, view)
            engine = Sample(kubectl, ROOT).engine
            scenario = Scenario(engine, settings, view, evidence=LEDGER_FILE)
            results = [_upgraded(scenario, with_rollback=number < rollback_count) for number in range(upgrade_count)]
            rows = [*_operator_rows(results), *_by_hand(scenario, engine, ordinary_count)]
            caption = preparation.configured_waits(engine)
    except (DemoError, LabError) as error:
        typer.echo(f"bench/upgrade: {error}", err=True)
        sys.exit(1)
    if as_json:
        typer.echo(json.dumps({"machine": preparation.machine(), "rows": [asdict(row) for row in rows]}))
        return
    table = Table("id", "what", "value", "unit", "runs", title=str(preparation.machine()), caption=caption)
    for row in rows:
        table.add_row(row.id, row.what, f"{row.value:,}", row.unit, str(row.runs))
    Console().print(table)


def _upgraded(scenario: Scenario, *, with_rollback: bool) -> Result:
    """Of a new engine: on one that was upgraded before, the next version would be warm and its migrations done."""
    preparation.apply(scenario.engine, ROOT, scenario.view)
    steps = [step for step in upgrades.STEPS if with_rollback or not step.broken]
    result = scenario.upgrades(steps)
    for finding in result.findings:
        scenario.view.print_line(f"- {finding}")
    if any(not outcome.kept for outcome in result.outcomes):
        raise DemoError("A cutover ended otherwise than it must (above): the figures would mean nothing.")
    return result


def _operator_rows(results: Sequence[Result]) -> Iterator[Row]:
    """Each figure of the demo's table over all runs that have it, but for the latencies of single requests."""
    values: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for result in results:
        for row in report.table(result):
            if row.unit != MILLISECONDS:
                values[row.id, row.what, row.unit].append(row.value)
    for (row_id, what, unit), held in values.items():
        if unit == SECONDS:
            yield from _spread(row_id, what, unit, held)
        else:
            yield Row(row_id, what, sum(held), unit, len(held))


def _spread(row_id: str, what: str, unit: str, held: list[float]) -> Iterator[Row]:
    yield Row(f"{row_id}_p50", f"{what}, median", round(median(held), 3), unit, len(held))
    yield Row(f"{row_id}_max", f"{what}, longest", round(max(held), 3), unit, len(held))


def _by_hand(scenario: Scenario, engine: Engine, count: int) -> Iterator[Row]:
    """To the next version and back again, in turn; the engine is of no use to its operator afterwards."""
    if not count:
        return
    by_hand = OrdinaryUpgrade(engine)
    by_hand.take_over()
    verdicts, overlaps = [], []
    for number in range(count):
        verdict, overlap = _once_by_hand(scenario, by_hand, (upgrades.NEXT, upgrades.FIRST)[number % 2])
        verdicts.append(verdict)
        overlaps.append(overlap)
    requests = sum(verdict.requests for verdict in verdicts)
    failed = sum(verdict.failed_requests for verdict in verdicts)
    yield Row("ordinary_requests", "by hand: requests that were due", requests, "requests", count)
    yield Row("ordinary_failed_requests", "by hand: of them failed", failed, "requests", count)
    yield from _spread("ordinary_overlap_s", "by hand: both versions executed orders", "s", overlaps)


def _once_by_hand(scenario: Scenario, by_hand: OrdinaryUpgrade, version: str) -> tuple[Verdict, float]:
    """What the clients came to, and the seconds in which both versions executed."""
    scenario.view.title(f"by hand, to {version}")
    by_hand.prepare()
    _, ledger, rows = scenario.under_load(lambda _: by_hand.upgrade(version))
    return judge(ledger, rows), overlap_s(rows)


if __name__ == "__main__":
    typer.run(measure)
