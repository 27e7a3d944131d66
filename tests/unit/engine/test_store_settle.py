"""What each order of a batch is told, once the database has said what it did of the plan."""

import datetime as dt
from decimal import Decimal

import msgspec
from engine_pods import market_order
from rtx_engine.domain.execution import Executor, Portfolio
from rtx_engine.domain.orders import MarketOrder
from rtx_engine.domain.pricing import Quote
from rtx_engine.store import OrderError, OrderErrorReason
from rtx_engine.store.plan import Plan, key_of, plan_batch
from rtx_engine.store.settle import NOTHING_WRITTEN, Written, settle, settle_fenced

NOW = dt.datetime(2026, 11, 26, tzinfo=dt.UTC)
QUOTES = {"EURUSD": Quote("EURUSD", Decimal("1.1"), Decimal("1.1"), NOW)}
ADA, BOB = 1, 2


def plan(*orders: MarketOrder) -> Plan:
    portfolios = {account: Portfolio(account, Decimal(10000), 100, 7) for account in (ADA, BOB)}
    return plan_batch(orders, portfolios, QUOTES, Executor("blue", 1), NOW)


def placed_before(order: MarketOrder, *, by_same_request: bool = False):
    """The execution of `order`, placed by an earlier request, or by an earlier attempt at this one."""
    earlier = order if by_same_request else market_order(order.account_id, order.client_order_id)
    return plan(earlier).executions[0]


def test_account_that_was_not_written_holds_up_no_other():
    settled = settle(
        plan(market_order(ADA, "one"), market_order(BOB, "one")), Written(frozenset({BOB}), frozenset({BOB}), {})
    )

    assert settled.outcomes[0] is None
    assert settled.outcomes[1].execution.sequence == 8
    assert [event.account_id for event in settled.events] == [BOB]


def test_repeat_is_answered_and_what_stands_beside_it_is_tried_again():
    repeat, beside = market_order(ADA, "one"), market_order(ADA, "two")
    before = placed_before(repeat)

    settled = settle(plan(repeat, beside), Written(frozenset(), frozenset({ADA}), {key_of(repeat): before}))

    assert settled.outcomes[0].replayed
    assert settled.outcomes[0].execution == before
    assert settled.outcomes[1] is None
    assert settled.events == []  # told when it was placed


def test_own_order_that_an_earlier_attempt_committed_is_told_as_new():
    order = market_order(ADA, "one")
    before = placed_before(order, by_same_request=True)

    settled = settle(plan(order), Written(frozenset(), frozenset(), {key_of(order): before}))

    assert not settled.outcomes[0].replayed
    assert [event.sequence for event in settled.events] == [before.sequence]


def test_order_that_came_twice_in_a_batch_is_placed_once():
    first, second = market_order(ADA, "one"), market_order(ADA, "one")

    planned = plan(first, second)
    settled = settle(planned, Written(frozenset({ADA}), frozenset({ADA}), {}))

    assert len(planned.executions) == 1
    assert [outcome.replayed for outcome in settled.outcomes] == [False, True]


def test_nothing_is_told_of_an_order_that_came_twice_and_was_not_written():
    order = market_order(ADA, "one")

    settled = settle(plan(order, order), Written(frozenset(), frozenset(), {}))

    assert settled.outcomes == [None, None]
    assert settled.events == []


def test_unknown_account_needs_no_write():
    settled = settle(plan(market_order(3, "one")), NOTHING_WRITTEN)

    assert settled.outcomes[0].reason is OrderErrorReason.UNKNOWN_ACCOUNT


def test_refused_batch_tells_what_was_placed_before():
    repeat, own, new = (market_order(ADA, name) for name in ("repeat", "own", "new"))
    placed = {key_of(repeat): placed_before(repeat), key_of(own): placed_before(own, by_same_request=True)}
    refusal = OrderError(OrderErrorReason.FENCED, "another colour executes")

    settled = settle_fenced([repeat, own, new], placed, refusal)

    assert [outcome.replayed for outcome in settled.outcomes[:2]] == [True, False]
    assert settled.outcomes[2] is refusal
    assert [msgspec.json.decode(event.payload)["order_id"] for event in settled.events] == [str(own.order_id)]
