"""How many orders an engine process fills durably in a second, and how long each takes; what `bench/orders` runs."""

import asyncio
import itertools
import json
import os
import platform
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Annotated

import msgspec
import structlog
import typer
import uvloop
from order_servers import (
    JWT_SECRET,
    BenchmarkError,
    Servers,
    count_fills,
    engine_command,
    open_accounts,
    running,
    serving,
)
from rich.console import Console
from rich.table import Table
from rtx_engine.api.tokens import Role, Tokens
from rtx_traffic.connection import Connection, RequestError, Target

ACCOUNTS = 200
CONNECTIONS = 64
RATE = 1000  # orders per second of the open loop
FILLED = 201  # the status of a new order that was filled
WARM_UP = 1.0  # seconds
GIVE_UP = 10.0  # seconds after the last order was due
FILL = (
    "A fill writes one row each in orders, fills and account_events and updates one in positions and accounts, "
    "committed to disk (fsync and synchronous_commit on) before it is answered."
)
SYMBOLS = ("EURUSD", "GBPUSD", "AUDUSD", "XAUUSD")


@dataclass(frozen=True)
class Row:
    """One figure, under the id by which documents quote it."""

    id: str
    what: str
    value: float
    unit: str
    runs: int


class Orders:
    """An endless supply of orders, each new, as the bytes of its request; buys and sells in turn."""

    def __init__(self, target: Target, tokens: list[str]) -> None:
        self.target = target
        self.filled = 0
        self._tokens = tokens
        self._numbers = itertools.count()
        self._run = f"{time.time_ns():x}"

    async def place(self, connection: Connection) -> None:
        """Send the next order; raises BenchmarkError when it is not filled."""
        reply = await connection.send(self._next())
        if reply.status != FILLED:
            raise BenchmarkError(f"an order was answered {reply.status}: {reply.body.decode(errors='replace')[:300]}")
        self.filled += 1

    def _next(self) -> bytes:
        number = next(self._numbers)
        order = {
            "client_order_id": f"{self._run}-{number}",
            "symbol": SYMBOLS[number // 2 % len(SYMBOLS)],
            "side": "sell" if number // len(self._tokens) % 2 else "buy",
            "quantity": "0.01",
        }
        token = self._tokens[number % len(self._tokens)]
        return self.target.message("POST", "/api/orders/market", token=token, body=msgspec.json.encode(order))


def measure(
    runs: Annotated[int, typer.Option(min=1, help="How often each figure is measured; the median counts.")] = 3,
    seconds: Annotated[int, typer.Option(min=1, max=60, help="How long each run lasts.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the table.")] = False,
) -> None:
    """Measure durable fills over HTTP: closed loop, open loop, and the same job done plainly. About 90 seconds.

    One engine process, its PostgreSQL and Redis, and the clients share this machine.
    """
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # stdout is for the figures
    try:
        with running() as servers:
            rows = _rows(servers, runs, seconds)
    except (BenchmarkError, RequestError) as error:
        typer.echo(f"bench/orders: {error}", err=True)
        sys.exit(1)
    if as_json:
        typer.echo(json.dumps({"machine": machine(), "rows": [asdict(row) for row in rows], "fill": FILL}))
        return
    table = Table("id", "what", "value", "unit", "runs", title=machine(), caption=FILL)
    for row in rows:
        table.add_row(row.id, row.what, f"{row.value:g}", row.unit, str(row.runs))
    Console().print(table)


def machine() -> str:
    """The machine in a line: processors, memory, kernel, and how busy it was."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    model = models[0] if models else platform.machine()
    return f"{os.cpu_count()} x {model}, {memory:.0f} GiB, Linux {platform.release()}, load {os.getloadavg()[0]:.1f}"


def _rows(servers: Servers, runs: int, seconds: int) -> list[Row]:
    accounts = asyncio.run(open_accounts(servers, ACCOUNTS))
    issuer = Tokens(JWT_SECRET)
    tokens = [issuer.issue(account, Role.TRADER)[0] for account in accounts]

    def repeat(command: list[str], figure: Callable[[Orders], Awaitable[float]]) -> list[float]:
        with serving(servers, command) as port:
            target = Target("127.0.0.1", "127.0.0.1", port)
            return [_run(servers, Orders(target, tokens), figure) for _ in range(runs)]

    plain = [sys.executable, str(Path(__file__).with_name("plain_engine.py"))]
    closed = f"closed loop, {CONNECTIONS} connections"
    fills = repeat(engine_command(), lambda orders: closed_loop(orders, seconds))
    p99 = repeat(engine_command(), lambda orders: open_loop(orders, seconds))
    plain_fills = repeat(plain, lambda orders: closed_loop(orders, seconds))
    return [
        Row("fills_per_s", f"durable fills, {closed}", round(median(fills)), "1/s", runs),
        Row("p99_ms_at_1000", f"99th percentile, open loop, {RATE} orders/s", round(median(p99), 1), "ms", runs),
        Row("plain_fills_per_s", f"Starlette, a transaction each, {closed}", round(median(plain_fills)), "1/s", runs),
    ]


def _run(servers: Servers, orders: Orders, figure: Callable[[Orders], Awaitable[float]]) -> float:
    """One run's figure; every answer must have been a fill that the database has."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        before = runner.run(count_fills(servers))
        value = runner.run(figure(orders))
        filled = runner.run(count_fills(servers)) - before
    if filled != orders.filled:
        raise BenchmarkError(f"{orders.filled} orders were answered as filled, and {filled} are in the database")
    return value


async def closed_loop(orders: Orders, seconds: float) -> float:
    """Fills per second when each of CONNECTIONS sends its next order as soon as the last is answered."""
    connections = [await Connection.open(orders.target) for _ in range(CONNECTIONS)]

    async def work(connection: Connection, until: float) -> int:
        count = 0
        while time.perf_counter() < until:
            await orders.place(connection)
            count += 1
        return count

    async def period(length: float) -> float:
        began = time.perf_counter()
        counts = await asyncio.gather(*(work(connection, began + length) for connection in connections))
        return sum(counts) / (time.perf_counter() - began)

    try:
        await period(WARM_UP)
        return await period(seconds)
    finally:
        for connection in connections:
            connection.close()


async def open_loop(orders: Orders, seconds: float) -> float:
    """The 99th percentile in ms, from when an order was due: an order that had to wait to be sent waited too."""
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        free.put_nowait(await Connection.open(orders.target))
    took: list[float] = []

    async def place(due: float) -> None:
        connection = await free.get()
        try:
            await orders.place(connection)
        finally:
            free.put_nowait(connection)
        took.append(time.perf_counter() - due)

    began = time.perf_counter()
    async with asyncio.timeout(WARM_UP + seconds + GIVE_UP), asyncio.TaskGroup() as group:
        for due in _due(began, WARM_UP + seconds):
            await asyncio.sleep(due - time.perf_counter())
            group.create_task(place(due))
    while not free.empty():
        free.get_nowait().close()
    measured = sorted(took[int(WARM_UP * RATE) :])
    return 1000 * measured[int(len(measured) * 0.99)]


def _due(began: float, seconds: float) -> Iterator[float]:
    return (began + number / RATE for number in range(int(seconds * RATE)))


if __name__ == "__main__":
    typer.run(measure)
