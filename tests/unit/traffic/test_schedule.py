"""The schedule depends on its settings only: as many requests as set, at the set times."""

from collections import Counter
from itertools import islice

from rtx_traffic.ledger import Kind, Lane
from rtx_traffic.schedule import OrderSource, schedule


def test_rate_and_share_of_new_connections_hold_in_every_second() -> None:
    # given the demo's load, when its schedule is written out
    due = list(schedule(rate=600, new_per_second=100, duration=30, seed=1))

    # then every second has its 600 requests, 100 of them on new connections, in the order of their times
    assert Counter(int(request.at) for request in due) == dict.fromkeys(range(30), 600)
    new = Counter(int(request.at) for request in due if request.lane is Lane.NEW)
    assert new == dict.fromkeys(range(30), 100)
    assert [request.at for request in due] == sorted(request.at for request in due)


def test_about_one_order_in_twenty_is_a_repeat() -> None:
    # given a long schedule, when its kinds are counted
    kinds = Counter(request.kind for request in schedule(rate=600, new_per_second=100, duration=60, seed=1))

    # then reads are a fifth, and repeats a twentieth of the orders
    orders = kinds[Kind.ORDER] + kinds[Kind.REPEAT]
    assert 0.19 < kinds[Kind.READ] / kinds.total() < 0.21
    assert 0.04 < kinds[Kind.REPEAT] / orders < 0.06


def test_schedule_without_a_duration_is_endless() -> None:
    # given no duration, when more than any run needs is taken, then it is there
    endless = schedule(rate=600, new_per_second=0, duration=0, seed=1)
    assert len(list(islice(endless, 100_000))) == 100_000


def test_a_repeat_is_an_earlier_order_unchanged() -> None:
    # given a source of orders that has nothing to repeat yet
    source = OrderSource(run="r", account_ids=["1", "2"], symbols=["EURUSD"], seed=1)
    assert source.repeat() is None

    # when orders were made, then a repeat is one of them, and no two fresh ones share an id
    made = [source.fresh(number) for number in range(100)]
    assert source.repeat() in made
    assert len({order.client_order_id for order in made}) == 100
