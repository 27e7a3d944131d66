"""What a batch sends to the database."""

import datetime as dt
from decimal import Decimal

import msgspec
from engine_pods import market_order
from rtx_engine.domain.execution import Executor, Portfolio
from rtx_engine.domain.positions import Position
from rtx_engine.domain.pricing import Quote
from rtx_engine.store.columns import write_arguments
from rtx_engine.store.plan import plan_batch

NOW = dt.datetime(2026, 11, 26, tzinfo=dt.UTC)
QUOTES = {symbol: Quote(symbol, Decimal("1.1"), Decimal("1.1"), NOW) for symbol in ("EURUSD", "GBPUSD")}
ADA, BOB = 1, 2


def test_position_goes_with_the_last_order_that_deals_in_its_symbol():
    # given a position of one symbol, none of the other, and an account that cannot afford anything
    held = {"EURUSD": Position("EURUSD", Decimal("0.10"), Decimal("1.2"))}
    portfolios = {ADA: Portfolio(ADA, Decimal(10000), 100, 7, held), BOB: Portfolio(BOB, Decimal(0), 100, 3)}
    orders = [
        market_order(ADA, "first", symbol="EURUSD"),
        market_order(BOB, "rejected", symbol="EURUSD"),
        market_order(ADA, "other", symbol="GBPUSD"),
        market_order(ADA, "last", symbol="EURUSD"),
    ]

    plan = plan_batch(orders, portfolios, QUOTES, Executor("blue", 1), NOW)
    accounts, payloads, positions, _ = write_arguments(plan)

    sent = [msgspec.json.decode(payload) for payload in payloads]
    assert accounts == [ADA, ADA, ADA, BOB]
    assert [order["client_order_id"] for order in sent] == ["first", "other", "last", "rejected"]
    left = [position and msgspec.json.decode(position) for position in positions]
    after = plan.after[0].positions
    assert left == [
        None,
        {
            "quantity": str(after["GBPUSD"].quantity),
            "average_price": str(after["GBPUSD"].average_price),
            "known": False,
        },
        {"quantity": str(after["EURUSD"].quantity), "average_price": str(after["EURUSD"].average_price), "known": True},
        None,
    ]
