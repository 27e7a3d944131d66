"""When a batch begins: at once while there is CPU and the database is quick, else a few milliseconds later."""

import itertools
from pathlib import Path

import pytest
from rtx_engine.store.cpu import CpuMeter
from rtx_engine.store.pace import (
    ARRIVALS_PERIOD_SECONDS,
    BUSY_CPU_SHARE,
    ENOUGH_ORDERS,
    ENOUGH_ORDERS_WHEN_BUSY,
    Arrivals,
    Pace,
)

QUICK, SLOW = 0.001, 0.01
MANY, FEW = 2000, 300  # orders a second
BUSY = BUSY_CPU_SHARE + 0.01


def after(*commits: float, orders: int = 1) -> Pace:
    pace = Pace()
    for seconds in commits:
        pace = pace.after_commit(seconds, orders)
    return pace


def test_batch_begins_at_once_on_an_idle_pod():
    assert Pace().enough_orders(0.1, 1, MANY) == 1
    assert after(QUICK, QUICK, QUICK).enough_orders(BUSY_CPU_SHARE, 1, MANY) == 1


def test_batch_waits_for_company_on_a_busy_pod():
    assert after(QUICK).enough_orders(BUSY, 1, MANY) == ENOUGH_ORDERS_WHEN_BUSY


def test_busy_pod_does_not_wait_for_answers_that_are_under_way():
    """Of 64 clients some are just being answered: whoever waits for half of them leaves the database idle."""
    clients = 64

    assert after(QUICK).enough_orders(BUSY, clients // 4, MANY) <= clients // 4


def test_batch_waits_for_company_while_commits_are_slow():
    assert after(*[QUICK] * 10, *[SLOW] * 10).enough_orders(0.0, 1, MANY) == ENOUGH_ORDERS
    assert after(*[QUICK] * 10, *[SLOW] * 10, *[QUICK] * 20).enough_orders(0.0, 1, MANY) == 1


def test_one_slow_commit_makes_no_batch_wait():
    assert after(*[QUICK] * 10, SLOW).enough_orders(0.0, 1, MANY) == 1


def test_large_batches_do_not_make_commits_slow():
    pace = after(*[QUICK] * 10)
    for _ in range(100):
        pace = pace.after_commit(SLOW, orders=512)
    assert pace.enough_orders(0.0, 1, MANY) == 1


def test_database_that_stays_slow_becomes_the_measure():
    assert after(QUICK, *[SLOW] * 2000).enough_orders(0.0, 1, MANY) == 1


def test_batch_waits_for_a_slow_database_only_where_company_comes():
    pace = after(*[QUICK] * 10, *[SLOW] * 10)

    assert pace.enough_orders(0.0, 1, FEW) == 1
    assert pace.enough_orders(0.0, 1, MANY) == ENOUGH_ORDERS
    assert pace.enough_orders(0.0, 11, MANY) == 1  # ten more would not double it


def test_order_does_not_wait_alone_on_a_busy_pod():
    assert after(QUICK).enough_orders(BUSY, 1, FEW) == 1
    assert after(QUICK).enough_orders(BUSY, 2, FEW) == ENOUGH_ORDERS_WHEN_BUSY


def test_arrivals_are_those_of_the_last_period():
    begin = Arrivals().after(7, 100.0)

    within = begin.after(40, 100.0 + ARRIVALS_PERIOD_SECONDS / 2)
    later = within.after(57, 100.5)
    idle = later.after(57, 102.0)

    assert within == begin
    assert later.per_second == pytest.approx(100)
    assert idle.per_second == 0.0


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

    meter = CpuMeter(quota, tmp_path / "unknown", lambda: next(clock), lambda: next(used))

    assert meter.share() == pytest.approx(0.25 / processors)
    assert meter.share() == 0.0


def test_share_includes_what_neighbours_took(tmp_path: Path):
    scheduler = tmp_path / "schedstat"
    scheduler.write_text("5000000000 1000000000 77\n")
    clock = itertools.count(100.0)

    meter = CpuMeter(tmp_path / "none", scheduler, lambda: next(clock), lambda: 7.0)
    scheduler.write_text("5000000000 1900000000 78\n")

    assert meter.share() == pytest.approx(0.9)
