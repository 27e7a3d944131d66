"""Measures reads beyond what the database serves; run by `bench/reads`.

The database is behind a proxy that holds each answer back for some milliseconds, as a busy or distant one does: a pod,
which reads over one connection, then gets so many answers a second and no more. Clients ask at a steady rate, whether
or not they are answered. With `--before`, the engine of another checkout takes turns with this one's, so that both see
the same hour of the machine: the ratios of one run are what can be compared.
"""

import asyncio
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Annotated

import structlog
import typer
import uvloop
from order_servers import ENGINE, JWT_SECRET, BenchmarkError, Servers, engine_command, open_accounts, running, serving
from rtx_engine.api.keys import SigningKeys
from rtx_engine.api.tokens import Tokens
from rtx_engine.domain.access import TokenRules
from rtx_lab.errors import LabError
from rtx_traffic.connection import Connection, RequestError, Target
from slow_database import SlowDatabase, slow_database
from support.figures import Row, print_rows

ACCOUNTS = 200
DATABASE_CONNECTIONS = 2
PATH = "/api/positions"
ANSWERED, REFUSED = 200, (429, 503)  # HTTP statuses
WARM_UP_SECONDS = 2.0  # in which the queue grows
REST_SECONDS = 4.0  # after a run, for what still waits
NOTE = "Open loop: a request's time counts from when it was due. A ratio is the median over the runs."


@dataclass(frozen=True)
class Engine:
    """A running engine, and the database that it knows."""

    target: Target
    database: SlowDatabase


@dataclass(frozen=True)
class Outcome:
    """Of one request. `status` is 0 if it got no answer."""

    status: int
    ms: float


@dataclass(frozen=True)
class Run:
    """What became of the requests of one run."""

    outcomes: Sequence[Outcome]
    connections: int  # that the engine opened to its database

    def figures(self) -> dict[str, float]:
        answered = sorted(outcome.ms for outcome in self.outcomes if outcome.status == ANSWERED)
        refused = sorted(outcome.ms for outcome in self.outcomes if outcome.status in REFUSED)
        return {
            "answered_percent": 100 * len(answered) / len(self.outcomes),
            "answered_p50_ms": _quantile(answered, 0.5),
            "answered_p99_ms": _quantile(answered, 0.99),
            "refused_p50_ms": _quantile(refused, 0.5),
            "unanswered": sum(outcome.status not in (ANSWERED, *REFUSED) for outcome in self.outcomes),
            "database_connections": self.connections,
        }


FIGURES: Mapping[str, tuple[str, str]] = {
    "answered_percent": ("reads answered with 200", "%"),
    "answered_p50_ms": ("of those, median", "ms"),
    "answered_p99_ms": ("of those, 99th percentile", "ms"),
    "refused_p50_ms": ("reads refused with 429 or 503, median time to the refusal", "ms"),
    "unanswered": ("reads without an answer, or with another one", ""),
    "database_connections": ("connections that the engine opened to its database in the run", ""),
}


def measure(
    rate: Annotated[int, typer.Option(min=1, max=2000, help="Reads per second.")] = 240,
    delay_ms: Annotated[float, typer.Option(min=0, max=1000, help="How much later each answer comes.")] = 5.0,
    runs: Annotated[int, typer.Option(min=1, help="Runs per engine; the median is reported.")] = 3,
    seconds: Annotated[int, typer.Option(min=1, max=60, help="Duration of a run in seconds.")] = 10,
    before: Annotated[
        Path | None, typer.Option(exists=True, help="Another checkout, with its environment in .venv, to compare with.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the table.")] = False,
) -> None:
    """Measure reads at a steady rate through a database that serves fewer. One engine process; about a minute."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # stdout carries only the figures
    commands = {"": engine_command()}
    if before is not None:
        commands["before_"] = [str(before.resolve() / ".venv/bin/rtx-engine"), "serve"]
    try:
        with running(DATABASE_CONNECTIONS) as servers:
            measured = _measured(servers, commands, rate, delay_ms / 1000, runs, seconds)
    except (BenchmarkError, LabError, RequestError) as error:
        typer.echo(f"bench/reads: {error}", err=True)
        sys.exit(1)
    print_rows(_rows(measured, runs), as_json=as_json, caption=NOTE, note=NOTE)


def _measured(
    servers: Servers, commands: Mapping[str, Sequence[str]], rate: int, delay: float, runs: int, seconds: int
) -> dict[str, list[dict[str, float]]]:
    """The figures of each run, by engine; the engines take turns."""
    accounts = asyncio.run(open_accounts(servers, ACCOUNTS))
    issuer = Tokens(SigningKeys([JWT_SECRET]), lambda: TokenRules(ENGINE, None))  # an earlier engine reads these, too
    tokens = [issuer.issue(account)[0] for account in accounts]
    with ExitStack() as stack:
        engines = {}
        for name, command in commands.items():
            database = stack.enter_context(slow_database(servers.database_port, delay))
            behind = replace(servers, environment=servers.environment | {"DB_PORT": str(database.port)})
            port = stack.enter_context(serving(behind, command))
            engines[name] = Engine(Target("127.0.0.1", "127.0.0.1", port), database)
        found: dict[str, list[dict[str, float]]] = {name: [] for name in engines}
        for _ in range(runs):
            for name, engine in engines.items():
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    found[name].append(runner.run(_run(engine, tokens, rate, seconds)).figures())
                time.sleep(REST_SECONDS)
    return found


async def _run(engine: Engine, tokens: Sequence[str], rate: int, seconds: int) -> Run:
    """Ask at `rate`, for a warm-up that does not count and `seconds` that do."""
    free: list[Connection] = []
    outcomes: list[Outcome] = []

    async def ask(number: int, due: float) -> None:
        message = engine.target.message("GET", PATH, token=tokens[number % len(tokens)])
        status = 0
        try:
            connection = free.pop() if free else await Connection.open(engine.target)
            status = (await connection.send(message)).status
            free.append(connection)
        except RequestError:
            pass  # counted by its status
        if due >= counted_from:
            outcomes.append(Outcome(status, 1000 * (time.perf_counter() - due)))

    began, opened = time.perf_counter(), engine.database.connections
    counted_from = began + WARM_UP_SECONDS
    async with asyncio.TaskGroup() as group:
        for number in range(int(rate * (WARM_UP_SECONDS + seconds))):
            due = began + number / rate
            await asyncio.sleep(due - time.perf_counter())
            group.create_task(ask(number, due))
    for connection in free:
        connection.close()
    return Run(outcomes, engine.database.connections - opened)


def _rows(measured: Mapping[str, Sequence[Mapping[str, float]]], runs: int) -> Iterator[Row]:
    for name, found in measured.items():
        engine = "before: " if name else ""
        for figure, (what, unit) in FIGURES.items():
            value = median(run[figure] for run in found)
            yield Row(f"{name}{figure}", engine + what, round(value, 1), unit, runs)
    if "before_" in measured:
        pairs = zip(measured[""], measured["before_"], strict=True)
        ratios = [now["answered_percent"] / max(then["answered_percent"], 0.01) for now, then in pairs]
        yield Row(
            "answered_ratio",
            "answered_percent over before_answered_percent of the same run",
            round(median(ratios), 2),
            "",
            runs,
        )


def _quantile(values: Sequence[float], share: float) -> float:
    """Of sorted values; 0.0 without any."""
    return values[int(len(values) * share)] if values else 0.0


if __name__ == "__main__":
    typer.run(measure)
