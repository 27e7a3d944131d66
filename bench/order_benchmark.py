"""Measures durable fills per second of one engine process, and their latency; run by `bench/orders`.

Every figure is measured twice: with some orders sent again under the same client_order_id, as in the demo's load, and
without. A repeat must get the first answer and is not a fill: the rates count new orders only. The engine and the plain
server take turns, so that both see the same hour of the machine: the ratio of their rates is what can be compared.
"""

import asyncio
import random
import sys
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import msgspec
import structlog
import typer
import uvloop
from order_servers import (
    ENGINE,
    JWT_SECRET,
    BenchmarkError,
    Servers,
    count_fills,
    engine_command,
    open_accounts,
    running,
    serving,
)
from rtx_engine.api.keys import SigningKeys
from rtx_engine.api.tokens import Tokens
from rtx_engine.domain.access import TokenRules
from rtx_lab.errors import LabError
from rtx_traffic.connection import Connection, RequestError, Target
from rtx_traffic.ledger import OrderAnswer
from rtx_traffic.schedule import MAX_REPEATABLE_ORDERS, REPEAT_SHARE
from support.figures import Row, print_rows

ACCOUNTS = 200
CONNECTIONS = 64
ORDERS_PER_SECOND = 1000  # of the open loop, repeats included
SEED = 1
FILLED, FILLED_BEFORE = 201, 200  # HTTP statuses of a new fill and of a repeat
WARM_UP_SECONDS = 1.0
LAST_ORDER_DEADLINE_SECONDS = 10.0  # after the last order was due
FILL_NOTE = (
    "A fill writes one row each in orders, fills and account_events and updates one in positions and accounts, "
    "committed to disk (fsync and synchronous_commit on) before it is answered. "
    f"{REPEAT_SHARE:.0%} of the requests repeat an order under its client_order_id and are not filled again; "
    "none in the rows without repeats. A ratio is the median over the runs."
)
_answers = msgspec.json.Decoder(OrderAnswer)
SYMBOLS = ("EURUSD", "GBPUSD", "AUDUSD", "XAUUSD")


class Orders:
    """An endless source of orders as request bytes: buys and sells in turn, some of them repeats."""

    def __init__(self, target: Target, tokens: list[str], repeat_share: float) -> None:
        self.target = target
        self._repeat_share = repeat_share
        self.filled = 0
        self.sent = 0  # new orders, without repeats
        self._tokens = tokens
        self._choose = random.Random(SEED)  # noqa: S311  a benchmark must be repeatable, not unpredictable
        self._recent: deque[int] = deque(maxlen=MAX_REPEATABLE_ORDERS)
        self._answers: dict[int, OrderAnswer] = {}  # the first one of each order
        self._run = f"{time.time_ns():x}"

    async def place(self, connection: Connection) -> bool:
        """Send the next order or a repeat; returns whether it was a new fill.

        Raises BenchmarkError when it was not filled, or when a repeat's answer differs from the first one.
        """
        is_repeat = bool(self._recent) and self._choose.random() < self._repeat_share
        number = self._choose.choice(self._recent) if is_repeat else self._fresh()
        reply = await connection.send(self._message(number))
        if reply.status not in (FILLED, FILLED_BEFORE):
            body = reply.body.decode(errors="replace")[:300]
            raise BenchmarkError(f"order {self._run}-{number} was answered with status {reply.status}: {body}")
        answer = _answers.decode(reply.body)
        if self._answers.setdefault(number, answer) != answer:
            raise BenchmarkError(
                f"the repeat of order {self._run}-{number} was answered differently from the first time"
            )
        self.filled += reply.status == FILLED
        return reply.status == FILLED

    def _fresh(self) -> int:
        number = self.sent
        self.sent += 1
        self._recent.append(number)
        return number

    def _message(self, number: int) -> bytes:
        order = {
            "client_order_id": f"{self._run}-{number}",
            "symbol": SYMBOLS[number // 2 % len(SYMBOLS)],
            "side": "sell" if number // len(self._tokens) % 2 else "buy",
            "quantity": "0.01",
        }
        token = self._tokens[number % len(self._tokens)]
        return self.target.message("POST", "/api/orders/market", token=token, body=msgspec.json.encode(order))


def measure(
    runs: Annotated[int, typer.Option(min=1, help="Runs per figure; the median is reported.")] = 3,
    seconds: Annotated[int, typer.Option(min=1, max=60, help="Duration of a run in seconds.")] = 5,
    connections: Annotated[
        int, typer.Option(min=2, max=8, help="Of the engine to PostgreSQL: one reads, the others write.")
    ] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the table.")] = False,
) -> None:
    """Measure durable fills over HTTP: closed loop, open loop, and a plain server for comparison. About two minutes.

    One engine process, PostgreSQL, Redis and the clients share this machine. Exits with 1 when an order is not filled
    exactly once.
    """
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # stdout carries only the figures
    try:
        with running(connections) as servers:
            rows = _rows(servers, runs, seconds)
    except (BenchmarkError, LabError, RequestError) as error:
        typer.echo(f"bench/orders: {error}", err=True)
        sys.exit(1)
    print_rows(rows, as_json=as_json, caption=FILL_NOTE, fill=FILL_NOTE)


def _rows(servers: Servers, runs: int, seconds: int) -> list[Row]:
    accounts = asyncio.run(open_accounts(servers, ACCOUNTS))
    issuer = Tokens(SigningKeys([JWT_SECRET]), lambda: TokenRules(ENGINE, 0.0))
    tokens = [issuer.issue(account)[0] for account in accounts]
    plain = [sys.executable, str(Path(__file__).with_name("plain_engine.py"))]
    figures: dict[tuple[str, float], list[float]] = {}
    with serving(servers, engine_command()) as engine_port, serving(servers, plain) as plain_port:
        measured = (
            ("fills_per_s", engine_port, closed_loop),
            ("plain_fills_per_s", plain_port, closed_loop),
            ("p99_ms_at_1000", engine_port, open_loop),
        )
        for _ in range(runs):
            for share in (REPEAT_SHARE, 0.0):
                for name, port, figure in measured:
                    orders = Orders(Target("127.0.0.1", "127.0.0.1", port), tokens, share)
                    value = _run(servers, orders, partial(figure, orders, seconds))
                    figures.setdefault((name, share), []).append(value)
    return [row for share in (REPEAT_SHARE, 0.0) for row in _rows_of(figures, share, runs)]


def _rows_of(figures: dict[tuple[str, float], list[float]], share: float, runs: int) -> Iterator[Row]:
    """The rows of one share of repeats; those without repeats have ids of their own."""
    suffix, repeats = ("", f"{share:.0%} repeats") if share else ("_without_repeats", "no repeats")
    closed = f"closed loop, {CONNECTIONS} connections, {repeats}"
    fills, plain, p99 = (figures[name, share] for name in ("fills_per_s", "plain_fills_per_s", "p99_ms_at_1000"))
    ratios = [ours / theirs for ours, theirs in zip(fills, plain, strict=True)]
    yield Row(f"fills_per_s{suffix}", f"durable fills, {closed}", round(median(fills)), "1/s", runs)
    yield Row(
        f"plain_fills_per_s{suffix}", f"Starlette, a transaction each, {closed}", round(median(plain)), "1/s", runs
    )
    yield Row(
        f"fills_ratio{suffix}", "fills_per_s over plain_fills_per_s of the same run", round(median(ratios), 2), "", runs
    )
    what = f"99th percentile, open loop, {ORDERS_PER_SECOND} orders/s, {repeats}"
    yield Row(f"p99_ms_at_1000{suffix}", what, round(median(p99), 1), "ms", runs)


def _run(servers: Servers, orders: Orders, figure: Callable[[], Coroutine[Any, Any, float]]) -> float:
    """One run's figure. Raises BenchmarkError unless each order was filled exactly once."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        before = runner.run(count_fills(servers))
        value = runner.run(figure())
        filled = runner.run(count_fills(servers)) - before
    if not filled == orders.filled == orders.sent:
        raise BenchmarkError(
            f"{orders.sent} orders were sent and {orders.filled} answered as filled, but {filled} fills are stored"
        )
    return value


async def closed_loop(orders: Orders, seconds: float) -> float:
    """New fills per second when each of CONNECTIONS sends its next order as soon as the last one is answered."""
    connections = [await Connection.open(orders.target) for _ in range(CONNECTIONS)]

    async def work(connection: Connection, until: float) -> int:
        count = 0
        while time.perf_counter() < until:
            count += await orders.place(connection)
        return count

    async def period(length: float) -> float:
        began = time.perf_counter()
        counts = await asyncio.gather(*(work(connection, began + length) for connection in connections))
        return sum(counts) / (time.perf_counter() - began)

    try:
        await period(WARM_UP_SECONDS)
        return await period(seconds)
    finally:
        for connection in connections:
            connection.close()


async def open_loop(orders: Orders, seconds: float) -> float:
    """The 99th percentile of latency in ms, counted from when an order was due, so that waiting to be sent counts."""
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
    async with asyncio.timeout(WARM_UP_SECONDS + seconds + LAST_ORDER_DEADLINE_SECONDS), asyncio.TaskGroup() as group:
        for due in _due_times(began, WARM_UP_SECONDS + seconds):
            await asyncio.sleep(due - time.perf_counter())
            group.create_task(place(due))
    while not free.empty():
        free.get_nowait().close()
    measured = sorted(took[int(WARM_UP_SECONDS * ORDERS_PER_SECOND) :])
    return 1000 * measured[int(len(measured) * 0.99)]


def _due_times(began: float, seconds: float) -> Iterator[float]:
    return (began + number / ORDERS_PER_SECOND for number in range(int(seconds * ORDERS_PER_SECOND)))


if __name__ == "__main__":
    typer.run(measure)
