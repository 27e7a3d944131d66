"""The orders of `bench/orders`: some are repeated as the load does, and only fresh ones are counted."""

import asyncio
import importlib
import json
from pathlib import Path
from types import ModuleType

import pytest
from rtx_traffic.connection import Response, Target

BENCH = Path(__file__).parents[3] / "bench"
TARGET = Target("engine", "127.0.0.1", 80)
FILL = {
    "status": "filled",
    "price": "1.1",
    "realised": "0.00",
    "executed_at": "2026-01-02T12:00:00Z",
    "epoch": 1,
    "colour": "blue",
    "sequence": 1,
}


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module("order_benchmark")


class Engine:
    """As a Connection: fills each order once and answers its repeats alike, but for what `forgets`."""

    def __init__(self, **forgets: object) -> None:
        self.orders: dict[str, dict[str, object]] = {}
        self.requests = 0
        self._forgets = forgets

    async def send(self, message: bytes) -> Response:
        self.requests += 1
        body = json.loads(message.partition(b"\r\n\r\n")[2])
        client_order_id = body["client_order_id"]
        status = 200 if client_order_id in self.orders else 201
        if status == 201:
            self.orders[client_order_id] = body | FILL | {"order_id": f"order {self.requests}"}
        answer = self.orders[client_order_id] | (self._forgets if status == 200 else {})
        return Response(status, json.dumps(answer).encode(), keep_alive=True)


def place(benchmark: ModuleType, engine: Engine, count: int) -> tuple[object, int]:
    """The orders, and how many of the requests were fresh fills."""
    orders = benchmark.Orders(TARGET, ["token"], benchmark.REPEAT_SHARE)

    async def go() -> int:
        return sum([await orders.place(engine) for _ in range(count)])

    return orders, asyncio.run(go())


def test_one_request_in_twenty_is_a_repeat_and_not_a_fill(benchmark: ModuleType) -> None:
    # given an engine, when 10,000 requests are placed
    engine = Engine()
    orders, fresh = place(benchmark, engine, 10_000)

    # then about 500 of them repeated an order, and the fills are the others
    assert 400 < engine.requests - len(engine.orders) < 600
    assert fresh == orders.filled == orders.sent == len(engine.orders)


@pytest.mark.parametrize(
    "forgets", [{"order_id": "another"}, {"price": "1.2"}, {"sequence": 2}, {"status": "rejected"}, {"realised": "1"}]
)
def test_repeat_with_a_different_answer_fails_the_benchmark(benchmark: ModuleType, forgets: dict[str, object]) -> None:
    # given an engine that answers a repeat with another value, when orders are repeated, then it fails
    with pytest.raises(benchmark.BenchmarkError, match="was answered differently from the first time"):
        place(benchmark, Engine(**forgets), 1000)


def test_equal_values_in_another_spelling_are_the_same_answer(benchmark: ModuleType) -> None:
    # given an engine whose repeats come from the database, when orders are repeated, then they are the first answers
    orders, fresh = place(benchmark, Engine(realised="0", price="1.10"), 1000)
    assert fresh == orders.sent
