"""Measures duration and failed requests of upgrades, by the operator and by hand; run by `bench/upgrade`."""

import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Annotated, NoReturn

import typer
from ordinary_upgrade import OrdinaryUpgrade
from rich.console import Console
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
from support.figures import Row, print_rows

ROOT = Path(__file__).parents[1]
LEDGER_FILE = ROOT / "build" / "upgrade-ledger.jsonl"  # of the last run in which a promise was broken
SECONDS, MILLISECONDS = "s", "ms"  # seconds are reported as median and maximum, counts as their sum


def measure(
    upgrade_count: Annotated[
        int,
        typer.Option(
            "--upgrades", min=1, max=50, help="Number of upgrades; each is followed by the return to the old version."
        ),
    ] = 10,
    rollback_count: Annotated[
        int,
        typer.Option(
            "--rollbacks", min=0, max=50, help="How many of them include a broken upgrade that is rolled back."
        ),
    ] = 10,
    ordinary_count: Annotated[int, typer.Option("--ordinary", min=0, max=20, help="Number of upgrades by hand.")] = 3,
    rate: Annotated[
        float, typer.Option(min=Settings.new_per_second, help="Requests per second, those on new connections included.")
    ] = Settings.rate,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the cluster running.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the table.")] = False,
) -> None:
    """Measure upgrades, rollbacks and returns under load, and the same by hand: seconds and failed requests.

    Each upgrade uses a new engine. An upgrade with rollback and return takes about 2 minutes, one by hand 1 minute.
    Exits with 1 when the benchmark could not run, or when a promise was broken in an upgrade by the operator.
    """
    view = View(Console(stderr=True, highlight=False))  # stdout carries only the figures
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
        _fail(str(error))
    print_rows(rows, as_json=as_json, caption=caption)
    if sentence := broken_promises(results):
        _fail(sentence)


def broken_promises(results: Sequence[Result]) -> str:
    """A sentence when a promise was broken in any of the runs; empty when all were kept."""
    broken = sum(not result.kept for result in results)
    if not broken:
        return ""
    return f"A promise was broken in {broken} of {len(results)} runs: see the findings above and {LEDGER_FILE}."


def _fail(sentence: str) -> NoReturn:
    typer.echo(f"bench/upgrade: {sentence}", err=True)
    sys.exit(1)


def _upgraded(scenario: Scenario, *, with_rollback: bool) -> Result:
    """The result of one upgrade of a new engine: on an upgraded one, migrations and image would be there already."""
    preparation.apply(scenario.engine, ROOT, scenario.view)
    steps = [step for step in upgrades.STEPS if with_rollback or not step.broken]
    result = scenario.upgrades(steps)
    for finding in result.findings:
        scenario.view.print_line(f"- {finding}")
    if any(not outcome.kept for outcome in result.outcomes):
        raise DemoError("A cutover ended in an unexpected phase (see above), so there are no figures.")
    return result


def _operator_rows(results: Sequence[Result]) -> Iterator[Row]:
    """The figures of the demo's table over all runs that have them, except the latencies in ms."""
    values: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for result in results:
        for row in report.table(result):
            if row.unit != MILLISECONDS:
                values[row.id, row.what, row.unit].append(row.value)
    for (row_id, what, unit), figures in values.items():
        if unit == SECONDS:
            yield from _spread(row_id, what, unit, figures)
        else:
            yield Row(row_id, what, sum(figures), unit, len(figures))


def _spread(row_id: str, what: str, unit: str, figures: list[float]) -> Iterator[Row]:
    yield Row(f"{row_id}_p50", f"{what}, median", round(median(figures), 3), unit, len(figures))
    yield Row(f"{row_id}_max", f"{what}, maximum", round(max(figures), 3), unit, len(figures))


def _by_hand(scenario: Scenario, engine: Engine, count: int) -> Iterator[Row]:
    """Alternately to the next version and back. The operator cannot manage the engine afterwards."""
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
    yield Row("ordinary_requests", "by hand: requests due", requests, "requests", count)
    yield Row("ordinary_failed_requests", "by hand: failed requests", failed, "requests", count)
    yield from _spread("ordinary_overlap_s", "by hand: time in which both versions executed orders", "s", overlaps)


def _once_by_hand(scenario: Scenario, by_hand: OrdinaryUpgrade, version: str) -> tuple[Verdict, float]:
    """The verdict over one upgrade by hand, and the seconds in which both versions executed orders."""
    scenario.view.title(f"by hand, to {version}")
    by_hand.prepare()
    _, ledger, rows = scenario.under_load(lambda _: by_hand.upgrade(version))
    return judge(ledger, rows), overlap_s(rows)


if __name__ == "__main__":
    typer.run(measure)
