"""The work queue through its interface: add, add_after and run."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rtx_operator.workqueue import Backoff, Due, WorkQueue


@asynccontextmanager
async def running(queue: WorkQueue[str], workers: int = 4):
    task = asyncio.create_task(queue.run(workers))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def queue_of(work: Callable[[str], Awaitable[Due | None]], failures: list[str] | None = None) -> WorkQueue[str]:
    def failed(key: str, error: Exception) -> None:
        if failures is None:
            raise AssertionError(f"{key}: {error!r}")
        failures.append(f"{key}: {error}")

    return WorkQueue(work, failed, Backoff(first=0.001, limit=0.01))


async def test_key_added_many_times_while_it_waits_runs_once():
    # Given two keys that are added a thousand times before a worker is free
    runs: Counter[str] = Counter()
    done = asyncio.Event()

    async def work(key: str) -> None:
        runs[key] += 1
        if key == "last":
            done.set()

    queue = queue_of(work)
    for _ in range(1000):
        queue.add("a")
        queue.add("b")
    queue.add("last")
    assert queue.depth == 3

    # When a worker runs, then each key runs once
    async with running(queue, workers=1):
        await asyncio.wait_for(done.wait(), 20)
    assert runs == {"a": 1, "b": 1, "last": 1}
    assert queue.depth == 0


async def test_key_added_while_it_runs_runs_once_more_and_never_twice_at_a_time():
    # Given a key that runs
    in_flight: Counter[str] = Counter()
    overlaps = 0
    runs = 0
    twice = asyncio.Event()
    started = asyncio.Event()
    release = asyncio.Event()

    async def work(key: str) -> None:
        nonlocal overlaps, runs
        in_flight[key] += 1
        overlaps += in_flight[key] > 1
        runs += 1
        started.set()
        await release.wait()
        in_flight[key] -= 1
        if runs == 2:
            twice.set()

    # When it is added ten times meanwhile
    queue = queue_of(work)
    async with running(queue, workers=4):
        queue.add("a")
        await asyncio.wait_for(started.wait(), 20)
        for _ in range(10):
            queue.add("a")  # while it runs: exactly one more run
        await asyncio.sleep(0)
        assert runs == 1
        release.set()
        await asyncio.wait_for(twice.wait(), 20)
        await asyncio.sleep(0.01)
    # Then it runs once more, after the first run
    assert overlaps == 0
    assert runs == 2


async def test_different_keys_run_concurrently():
    barrier = asyncio.Barrier(3)
    together = asyncio.Event()

    async def work(key: str) -> None:
        await barrier.wait()
        together.set()

    queue = queue_of(work)
    async with running(queue, workers=3):
        for key in "abc":
            queue.add(key)
        await asyncio.wait_for(together.wait(), 20)


async def test_failing_key_is_reported_and_retried_without_blocking_others():
    # Given a key that fails three times, and another key
    attempts = 0
    failures: list[str] = []
    succeeded, other = asyncio.Event(), asyncio.Event()

    async def work(key: str) -> None:
        nonlocal attempts
        if key == "other":
            other.set()
            return
        attempts += 1
        if attempts < 4:
            raise ValueError(f"attempt {attempts}")
        succeeded.set()

    # When one worker runs both
    queue = queue_of(work, failures)
    async with running(queue, workers=1):
        queue.add("bad")
        queue.add("other")
        await asyncio.wait_for(asyncio.gather(succeeded.wait(), other.wait()), 20)
    # Then each failure is reported, and the key succeeds at last
    assert failures == ["bad: attempt 1", "bad: attempt 2", "bad: attempt 3"]


async def test_earliest_delay_counts_and_a_returned_delay_requeues_the_key():
    runs = 0
    done = asyncio.Event()

    async def work(key: str) -> Due | None:
        nonlocal runs
        runs += 1
        if runs == 3:
            done.set()
            return None
        return Due(0.001)

    queue = queue_of(work)
    async with running(queue):
        queue.add_after("a", 3600)
        queue.add_after("a", 0.001)  # sooner: wins
        queue.add_after("a", 3600)  # later: ignored
        await asyncio.wait_for(done.wait(), 20)
        await asyncio.sleep(0.01)
    assert runs == 3


@given(failures=st.integers(1, 10_000), jitter=st.floats(0, 1, exclude_max=True))
def test_backoff_stays_between_half_and_all_of_the_doubled_delay(failures: int, jitter: float):
    backoff = Backoff(first=0.2, limit=60)
    delay = backoff.delay(failures, jitter)
    maximum = min(60, 0.2 * 2.0 ** min(failures - 1, 30))
    assert maximum / 2 <= delay <= maximum


@pytest.mark.parametrize(("failures", "maximum"), [(1, 0.2), (2, 0.4), (9, 51.2), (10, 60), (2000, 60)])
def test_backoff_doubles_up_to_its_limit(failures: int, maximum: float):
    assert Backoff(first=0.2, limit=60).delay(failures, 0.0) == pytest.approx(maximum)
