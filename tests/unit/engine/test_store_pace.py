"""When a batch begins: at once while there is CPU and the database is quick, else a few milliseconds later."""

import itertools
from pathlib import Path

import pytest
from rtx_engine.store.cpu import CpuMeter
from rtx_engine.store.pace import BUSY_CPU_SHARE, ENOUGH_ORDERS, MAX_WAIT_SECONDS, Pace

QUICK, SLOW = 0.001, 0.01


def after(*commits: float, orders: int = 1) -> Pace:
    pace = Pace()
    for seconds in commits:
        pace = pace.after_commit(seconds, orders)
    return pace


def test_batch_begins_at_once_on_an_idle_pod():
    assert Pace().wait_seconds(1, cpu_share=0.1) == 0.0
    assert after(QUICK, QUICK, QUICK).wait_seconds(1, cpu_share=BUSY_CPU_SHARE) == 0.0


def test_small_batch_waits_on_a_busy_pod():
    assert after(QUICK).wait_seconds(ENOUGH_ORDERS - 1, cpu_share=BUSY_CPU_SHARE + 0.01) == MAX_WAIT_SECONDS
    assert after(QUICK).wait_seconds(ENOUGH_ORDERS, cpu_share=1.0) == 0.0


def test_small_batch_waits_while_commits_are_slow():
    assert after(*[QUICK] * 10, *[SLOW] * 10).wait_seconds(1, cpu_share=0.0) == MAX_WAIT_SECONDS
    assert after(*[QUICK] * 10, *[SLOW] * 10, *[QUICK] * 20).wait_seconds(1, cpu_share=0.0) == 0.0


def test_one_slow_commit_makes_no_batch_wait():
    assert after(*[QUICK] * 10, SLOW).wait_seconds(1, cpu_share=0.0) == 0.0


def test_large_batches_do_not_make_commits_slow():
    pace = after(*[QUICK] * 10)
    for _ in range(100):
        pace = pace.after_commit(SLOW, orders=512)
    assert pace.wait_seconds(1, cpu_share=0.0) == 0.0


def test_database_that_stays_slow_becomes_the_measure():
    assert after(QUICK, *[SLOW] * 2000).wait_seconds(1, cpu_share=0.0) == 0.0


@pytest.mark.parametrize(
    ("text", "processors"),
    [("50000 100000\n", 0.5), ("200000 100000\n", 1.0), ("max 100000\n", 1.0), ("", 1.0), (None, 1.0)],
)
def test_share_is_of_the_quota_and_of_one_processor_at_most(tmp_path: Path, text, processors):
    quota = tmp_path / "cpu.max"
    if text is not None:
        quota.write_text(text)
    clock = itertools.count(100.0)  # a second each time it is asked
    used = iter([7.0, 7.25, 7.25])

    meter = CpuMeter(quota, lambda: next(clock), lambda: next(used))

    assert meter.share() == pytest.approx(0.25 / processors)
    assert meter.share() == 0.0
