"""Every task has an owner: one that ends before it is told to ends the pod."""

import asyncio
import re
from typing import Any

import pytest
from engine_pods import Prices
from engine_processes import Engines
from engine_traders import Trader
from rtx_engine.api.keys import SigningKeys
from rtx_engine.api.limits import PRODUCTION, Admission
from rtx_engine.api.tokens import Tokens
from rtx_engine.config import Redis
from rtx_engine.store import Store
from rtx_engine.stream import Stream
from rtx_engine.stream.bus import Bus
from rtx_engine.stream.limits import StreamLimits
from rtx_engine.tasks import Supervisor

TIMEOUT_SECONDS = 20
MAY_END = {"first connection of the reader"}


async def returns() -> None:
    pass


async def fails() -> None:
    raise RuntimeError("a bug")


async def runs() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("work", [returns, fails])
async def test_watched_task_that_ends_is_a_failure(work: Any) -> None:
    failed = asyncio.Event()
    supervisor = Supervisor(failed.set)
    task = supervisor.start(work(), "order writer")
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await failed.wait()
    assert supervisor.failure == "order writer"
    await asyncio.gather(task, return_exceptions=True)


async def test_watched_task_that_is_cancelled_is_a_failure() -> None:
    failed = asyncio.Event()
    supervisor = Supervisor(failed.set)
    task = supervisor.start(runs(), "order writer")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await failed.wait()
    assert supervisor.failure == "order writer"


async def test_released_task_may_end() -> None:
    supervisor = Supervisor(lambda: pytest.fail("a released task is no failure"))
    task = supervisor.start(runs(), "order writer")
    supervisor.release()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await asyncio.sleep(0)
    assert supervisor.failure is None


async def test_every_task_of_the_services_is_named_to_the_supervisor(database: Any) -> None:
    # given the services of a pod, without Redis
    before = asyncio.all_tasks()
    bus = Bus(Redis("127.0.0.1", 1, None))
    source = Prices()
    store = Store(database.engine, "blue", source, bus.publish)
    tokens = Tokens(SigningKeys(["a secret of thirty-two bytes, yes"]), store.token_rules.rules)
    stream = Stream(store.reader, bus, source, tokens, "blue", StreamLimits(), Admission(PRODUCTION))
    await bus.start()
    await store.start()
    await stream.start()
    try:
        # then they name all the tasks that they start
        named = {*bus.tasks, *store.tasks, *stream.tasks}
        started = {task.get_name() for task in asyncio.all_tasks() - before}
        assert started - MAY_END == {task.get_name() for task in named}
        assert len({task.get_name() for task in named}) == len(named)
    finally:
        await stream.stop(0)
        await store.stop()
        await bus.stop()


async def test_pod_whose_writer_ends_says_so_and_ends(engines: Engines, anybody: Trader) -> None:
    # given an engine whose order writer has a bug
    engine = await engines.start(WRITER_FAILS="1", TIMEOUTS='{"quiet_seconds": 2.0}')
    alice = await anybody.open(engine, "alice")
    # when an order meets it
    placed = await alice.order(engine, "one")
    # then that order, which was placed, is answered; /ready says what has ended; a later order is not left waiting
    assert placed.status == 201
    await engine.wait_for("/ready", 503)
    ready = await anybody.call(engine, "GET", "/ready")
    assert ready.body["error"]["reason"] == "NotReady"
    assert "order writer" in ready.body["error"]["message"]
    later = await alice.order(engine, "two")
    assert (later.status, later.body["error"]["reason"]) == (503, "Unavailable")
    # and the pod ends, with an error and its cause in the log
    assert await asyncio.to_thread(engine.process.wait, TIMEOUT_SECONDS) == 1
    log = engine.log.read_text()
    assert "a bug of the tests" in log
    assert re.search(r"The order writer.* ended although it must not", log)
