"""The orders of `bench/orders`: some are repeated as the load does, and only fresh ones are counted."""

import asyncio
import importlib
import json
from pathlib import Path
from types import ModuleType

import pytest
from rtx_traffic.connection import Answer, Target

BENCH = Path(__file__).parents[3] / "bench"
TARGET = Target("engine", "127.0.0.1", 80)


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module("order_benchmark")


class Engine:
    """As a Connection: fills each order once and answers its repeats, as another order when `forgets`."""

    def __init__(self, *, forgets: bool = False) -> None:
        self.orders: dict[str, str] = {}
        self.requests = 0
        self._forgets = forgets

    async def send(self, message: bytes) -> Answer:
        self.requests += 1
        client_order_id = json.loads(message.partition(b"\r\n\r\n")[2])["client_order_id"]
        status = 200 if client_order_id in self.orders else 201
        if status == 201 or self._forgets:
            self.orders[client_order_id] = f"order {self.requests}"
        return Answer(status, json.dumps({"order_id": self.orders[client_order_id]}).encode(), keep_alive=True)


def place(benchmark: ModuleType, engine: Engine, count: int) -> tuple[object, int]:
    """The orders, and how many of the requests were fresh fills."""
    orders = benchmark.Orders(TARGET, ["token"])

    async def go() -> int:
        return sum([await orders.place(engine) for _ in range(count)])

    return orders, asyncio.run(go())


def test_one_request_in_twenty_repeats_an_order_and_is_no_fill(benchmark: ModuleType) -> None:
    # given an engine, when 10,000 requests are placed
    engine = Engine()
    orders, fresh = place(benchmark, engine, 10_000)

    # then about 500 of them repeated an order, and the fills are the others
    assert 400 < engine.requests - len(engine.orders) < 600
    assert fresh == orders.filled == orders.sent == len(engine.orders)


def test_a_repeat_that_is_answered_as_another_order_ends_the_benchmark(benchmark: ModuleType) -> None:
    # given an engine that fills what it is asked for again, when orders are repeated, then that is told
    with pytest.raises(benchmark.BenchmarkError, match="was answered as two different orders"):
        place(benchmark, Engine(forgets=True), 1000)
