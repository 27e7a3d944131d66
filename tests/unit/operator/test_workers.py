"""Whose turn it is in the work queue, and that nobody waits for what another waits for. All times are virtual."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from rtx_operator.cluster.observe.inquiries import Inquiries, Question
from rtx_operator.observation import Fence, FenceReport, Freshness
from rtx_operator.workers import IN_A_ROW, MAX_OVERDUE, PATIENCE_SECONDS, Priority, outside
from rtx_operator.workqueue import Due, WorkQueue
from virtual_time import clock, run

WORKERS = 4


def queue_of(work: Callable[[str], Awaitable[Due | None]]) -> WorkQueue[str]:
    def failed(key: str, error: Exception) -> None:
        raise AssertionError(f"{key}: {error!r}")

    return WorkQueue(work, failed)


@asynccontextmanager
async def running(queue: WorkQueue[str], workers: int = WORKERS):
    task = asyncio.create_task(queue.run(workers))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(("higher", "lower"), [(Priority.URGENT, Priority.NORMAL), (Priority.NORMAL, Priority.ROUTINE)])
def test_keys_of_a_higher_priority_go_first_and_do_not_starve_the_others(higher, lower):
    async def order() -> list[str]:
        runs: list[str] = []

        async def work(key: str) -> None:
            runs.append(key)

        # Given keys that wait, those of the higher priority last
        queue = queue_of(work)
        for number in range(3):
            queue.add(f"lower-{number}", lower)
        for number in range(2 * IN_A_ROW):
            queue.add(f"higher-{number}", higher)

        # When one worker takes them
        async with running(queue, workers=1):
            await asyncio.sleep(1.0)
        return runs

    runs = [key.split("-")[0] for key in run(order())]

    # Then these go first, and another one has its turn after some of them
    assert runs == (["higher"] * IN_A_ROW + ["lower"]) * 2 + ["lower"]


@pytest.mark.parametrize(("before", "after"), [(Priority.NORMAL, Priority.URGENT), (Priority.ROUTINE, Priority.NORMAL)])
def test_key_whose_priority_rises_while_it_waits_is_moved_forward_and_runs_once(before, after):
    async def order() -> list[str]:
        runs: list[str] = []

        async def work(key: str) -> None:
            runs.append(key)

        queue = queue_of(work)
        for key in ("a", "b", "rises"):
            queue.add(key, before)
        queue.add("rises", after)
        async with running(queue, workers=1):
            await asyncio.sleep(1.0)
        return runs

    assert run(order()) == ["rises", "a", "b"]


def test_priority_that_a_run_returns_holds_from_then_on():
    async def order() -> list[str]:
        runs: list[str] = []

        async def work(key: str) -> Due | None:
            runs.append(key)
            if runs == ["switching"]:
                queue.add("a")
                queue.add("b")
                return Due(0.5, Priority.URGENT)
            await asyncio.sleep(PATIENCE_SECONDS * 0.9)
            return None

        queue = queue_of(work)
        queue.add("switching")
        async with running(queue, workers=1):
            await asyncio.sleep(5.0)
        return runs

    assert run(order()) == ["switching", "a", "switching", "b"]


def test_urgent_key_finds_a_worker_although_all_others_are_held():
    async def started() -> float:
        started: list[float] = []

        async def work(key: str) -> None:
            if key == "urgent":
                started.append(clock())
                return
            await asyncio.sleep(PATIENCE_SECONDS * 0.9)

        queue = queue_of(work)
        for number in range(3 * WORKERS):
            queue.add(f"slow-{number}")
        async with running(queue):
            await asyncio.sleep(0.1)
            queue.add("urgent", Priority.URGENT)
            await asyncio.sleep(5.0)
        return started[0]

    assert run(started()) == pytest.approx(0.1)


def test_key_that_waits_outside_holds_no_worker():
    async def started() -> list[float]:
        started: list[float] = []

        async def work(key: str) -> None:
            if key == "healthy":
                started.append(clock())
                return
            async with outside():
                await asyncio.sleep(5.0)

        queue = queue_of(work)
        for number in range(50):
            queue.add(f"hanging-{number}")
        queue.add("healthy")
        async with running(queue):
            await asyncio.sleep(20.0)
        return started

    assert run(started()) == [0.0]


def test_key_that_comes_back_from_outside_waits_for_a_worker_again():
    async def most_at_a_time() -> int:
        inside = most = 0

        async def work(_: str) -> None:
            nonlocal inside, most
            async with outside():
                await asyncio.sleep(5.0)
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.1)
            inside -= 1

        queue = queue_of(work)
        for number in range(50):
            queue.add(f"key-{number}", Priority.URGENT)
        async with running(queue):
            await asyncio.sleep(60.0)
        return most

    assert run(most_at_a_time()) == WORKERS


def test_worker_held_beyond_patience_is_replaced():
    async def runs() -> Counter[str]:
        runs: Counter[str] = Counter()

        async def work(key: str) -> None:
            if key != "healthy":
                await asyncio.sleep(5 * PATIENCE_SECONDS)  # a write behind a webhook that is down
            runs[key] += 1

        # Given as many keys that hang as there are workers, and more
        queue = queue_of(work)
        for number in range(3 * WORKERS):
            queue.add(f"hanging-{number}")
        queue.add("healthy")

        # When they have hung for a while
        async with running(queue):
            await asyncio.sleep(4 * PATIENCE_SECONDS)
        return runs

    # Then another key has run beside them
    assert run(runs()) == {"healthy": 1}


def test_workers_are_as_many_as_before_after_keys_that_hung_or_failed():
    async def most_at_a_time() -> int:
        inside = most = 0

        async def work(key: str) -> None:
            nonlocal inside, most
            if key.startswith("hanging"):
                await asyncio.sleep(5.0)
                async with outside():
                    raise ValueError("no answer")
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.1)
            inside -= 1

        queue = WorkQueue[str](work, lambda *_: None)
        for number in range(WORKERS):
            queue.add(f"hanging-{number}")
        async with running(queue):
            await asyncio.sleep(20.0)
            for number in range(50):
                queue.add(f"key-{number}", Priority.URGENT)
            await asyncio.sleep(20.0)
        return most

    assert run(most_at_a_time()) == WORKERS


# --- twelve engines whose databases swallow packets, and a healthy one in a switch -----------------------------------


def test_switch_beside_dead_databases_is_looked_at_as_often_as_alone():
    async def looks(dead: int) -> Counter[str]:
        looks: Counter[str] = Counter()

        async def fence(key: str) -> FenceReport:
            if key == "switching":
                await asyncio.sleep(0.01)
                return FenceReport(Fence(1, ("blue",), "", "owner"))
            await asyncio.sleep(5.0)
            return FenceReport(error="no answer")

        async def work(key: str) -> Due:
            await asyncio.sleep(0.05)  # the API server's part
            is_switching = key == "switching"
            freshness = Freshness.NEW if is_switching else Freshness.RECENT
            await inquiries.ask(key, Question(lambda: fence(key), None), freshness)
            looks[key] += 1
            return Due(0.2, Priority.URGENT) if is_switching else Due(300.0)

        queue = queue_of(work)
        inquiries = Inquiries(queue.add, clock)
        for number in range(dead):
            queue.add(f"dead-{number}")
        queue.add("switching")
        async with running(queue):
            await asyncio.sleep(60.0)
        return looks

    alone, beside = run(looks(0)), run(looks(12))

    assert alone["switching"] > 200
    assert beside["switching"] >= 0.97 * alone["switching"]
    assert all(beside[f"dead-{number}"] == 1 for number in range(12))


def test_task_that_outlives_its_reconcile_keeps_no_place():
    async def ran() -> list[str]:
        runs: list[str] = []
        tasks: list[asyncio.Task[None]] = []

        async def ask() -> None:
            async with outside():
                await asyncio.sleep(0.05)

        async def work(key: str) -> None:
            runs.append(key)
            if key != "healthy":
                tasks.append(asyncio.create_task(ask()))
                await asyncio.sleep(0)  # it asks, and the reconcile ends without it

        # Given more reconciles that end before what they asked than places, those given away early included
        queue = queue_of(work)
        async with running(queue):
            for number in range(MAX_OVERDUE + WORKERS):
                queue.add(f"ended-{number}")
                await asyncio.sleep(1.0)

            # When another engine has its turn
            queue.add("healthy")
            await asyncio.sleep(1.0)
        return runs

    # Then there is a place for it
    assert run(ran())[-1] == "healthy"
