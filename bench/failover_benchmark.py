"""Measures failovers of the database under load; run by `bench/failover`."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rtx_demo import cluster, database, failovers, members, preparation
from rtx_demo.engine import Engine
from rtx_demo.errors import DemoError
from rtx_demo.sample import Sample
from rtx_demo.traffic import Settings, Traffic
from rtx_demo.view import View
from rtx_lab import faults
from rtx_lab.choice import choose
from rtx_lab.errors import LabError
from rtx_lab.instance import Instance
from rtx_traffic.interruptions import failed_orders, longest_s
from rtx_traffic.verdict import Verdict, judge
from support.figures import Row, print_rows

ROOT = Path(__file__).parents[1]
INSTANCES = 3
CUT_SECONDS = 45.0  # longer than the primary's lock lasts, so that another one leads when the node is back
API_OUTAGE_SECONDS = 60.0
SETTLE_SECONDS = 5.0  # of load between two faults


@dataclass(frozen=True)
class Bench:
    """One engine, the load that each fault gets, and the output."""

    engine: Engine
    settings: Settings
    view: View


@dataclass(frozen=True)
class Outage:
    """One fault."""

    interruption_s: float  # the longest time without an acknowledged order
    failed_orders: int
    verdict: Verdict


def measure(
    times: Annotated[int, typer.Option(min=1, max=50, help="How often each fault that ends a primary happens.")] = 5,
    rate: Annotated[float, typer.Option(min=Settings.new_per_second, help="Requests per second.")] = Settings.rate,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the cluster running.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the table.")] = False,
) -> None:
    """Measure failovers of a database with three servers under load: seconds without orders, orders lost and doubled.

    The primary is killed and its pod deleted, `--times` each; its node is cut off and healed; the API server is frozen
    for a minute. Native cluster only. Takes some 2 minutes, and 2 more for each of `--times`.
    Exits with 1 when the benchmark could not run, or when an acknowledged order was lost or executed twice.
    """
    view = View(Console(stderr=True, highlight=False))  # stdout carries only the figures
    try:
        with cluster.local_cluster(choose(Instance()), ROOT, view.reporter, keep=keep) as kubectl:
            preparation.install(kubectl, choose(Instance()), ROOT, view)
            with Sample(kubectl, ROOT).temporary(database={"instances": INSTANCES}) as engine:
                members.wait_until_formed(engine, INSTANCES)
                bench = Bench(engine, Settings(rate=rate, duration=0), view)
                rows = _rows(
                    [_outage(bench, f"the primary is {name}", fault) for name, fault in ENDS for _ in range(times)],
                    _outage(bench, "the primary's node is cut off", _cut_off),
                    _outage(bench, "the API server is frozen", _freeze_api_server),
                )
    except (DemoError, LabError) as error:
        _fail(str(error))
    print_rows(rows, as_json=as_json)
    broken = [row.id for row in rows if row.id in {"lost", "doubled", "two_primaries"} and row.value]
    if broken:
        _fail(f"A promise was broken: {', '.join(broken)}; see the findings above.")


def _fail(sentence: str) -> NoReturn:
    typer.echo(f"bench/failover: {sentence}", err=True)
    sys.exit(1)


def _outage(bench: Bench, name: str, fault: Callable[[Engine], None]) -> Outage:
    """The outcome of one fault under a load of its own."""
    engine, view = bench.engine, bench.view
    members.wait_until_formed(engine, INSTANCES)
    view.title(name)
    traffic = Traffic(engine.kubectl, engine, bench.settings)
    with view.reporter.step(f"logging in {bench.settings.accounts} accounts"):
        traffic.start()
    traffic.wait_until_sending()
    time.sleep(SETTLE_SECONDS)
    began = time.time()
    fault(engine)
    members.wait_until_formed(engine, INSTANCES)
    time.sleep(SETTLE_SECONDS)
    ended = time.time()
    traffic.stop()
    with traffic.watching() as watch:  # opened now: an outage of the API server breaks open streams
        watch.wait_until_ended()
    with view.reporter.step("fetching the ledger and the database rows"):
        ledger = traffic.ledger()
        verdict = judge(ledger, database.rows(engine, ledger))
    traffic.remove()
    interruption = longest_s(ledger, since=began, until=ended)
    for line in (*(f"- {finding}" for finding in verdict.findings), f"{interruption:.1f} s without an order"):
        view.print_line(line)
    return Outage(interruption, failed_orders(ledger, since=began, until=ended), verdict)


def _kill(engine: Engine) -> None:
    failovers.kill(engine)
    failovers.wait_until_writable(engine)


def _delete(engine: Engine) -> None:
    failovers.wait_for_other(engine, failovers.delete_pod(engine))


def _cut_off(engine: Engine) -> None:
    before = members.primary(engine)
    with faults.node_cut_off(before.node):
        failovers.wait_for_other(engine, before)
        time.sleep(CUT_SECONDS)


def _freeze_api_server(_: Engine) -> None:
    with faults.api_server_unavailable():
        time.sleep(API_OUTAGE_SECONDS)


def _rows(ended: Sequence[Outage], cut_off: Outage, frozen: Outage) -> list[Row]:
    """The figures. What a replaced primary acknowledged would not be in the database of the one that followed it."""
    every = [*ended, cut_off, frozen]
    interruptions = [outage.interruption_s for outage in ended]
    lost = sum(outage.verdict.orders_lost for outage in every)
    doubled = sum(outage.verdict.orders_doubled for outage in every)
    count = len(ended)
    return [
        Row(
            "kill_p50_s",
            "primary killed or deleted: without orders, median",
            round(median(interruptions), 1),
            "s",
            count,
        ),
        Row(
            "kill_max_s", "primary killed or deleted: without orders, maximum", round(max(interruptions), 1), "s", count
        ),
        Row("partition_s", "primary's node cut off: without orders", round(cut_off.interruption_s, 1), "s"),
        Row(
            "two_primaries",
            "orders that only the primary that was cut off had acknowledged",
            cut_off.verdict.orders_lost,
            "orders",
        ),
        Row("api_frozen_failed", "API server frozen for a minute: failed orders", frozen.failed_orders, "orders"),
        Row("lost", "acknowledged orders lost", lost, "orders", len(every)),
        Row("doubled", "orders executed twice", doubled, "orders", len(every)),
    ]


ENDS = (("killed", _kill), ("deleted with its pod", _delete))

if __name__ == "__main__":
    typer.run(measure)
