"""The trading rules: no money is created or lost, and no order is filled against the rules."""

import datetime as dt
import uuid
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rtx_engine.api.response_bodies import PositionResponse
from rtx_engine.domain import accounts
from rtx_engine.domain.accounts import InvalidAccountError
from rtx_engine.domain.events import message, order_event
from rtx_engine.domain.execution import Executor, Portfolio, execute, free_margin
from rtx_engine.domain.orders import (
    InvalidOrderError,
    MarketOrder,
    OrderStatus,
    RejectReason,
    Side,
    market_order,
)
from rtx_engine.domain.positions import Position, net
from rtx_engine.domain.pricing import STALE_AFTER, Quote
from rtx_engine.domain.scales import CENT
from rtx_engine.domain.symbols import SYMBOLS

NOW = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)
BLUE = Executor("blue", 7)
START = Portfolio(account_id=1, balance=Decimal("100000.00"), leverage=100, sequence=0)

lots = st.integers(1, 500).map(lambda hundredths: Decimal(hundredths) / 100)
prices = st.integers(50_000, 200_000).map(lambda points: Decimal(points) / 100_000)
sides = st.sampled_from(Side)
symbols = st.sampled_from(["EURUSD", "XAUUSD"])
trades = st.lists(st.tuples(symbols, sides, lots, prices), max_size=30)


def order(symbol: str = "EURUSD", side: Side = Side.BUY, quantity: str | Decimal = "1.00") -> MarketOrder:
    return MarketOrder(uuid.UUID(int=1), 1, "one", symbol, side, Decimal(quantity))


def quotes(bid: Decimal, ask: Decimal | None = None, time: dt.datetime = NOW) -> dict[str, Quote]:
    return {name: Quote(name, bid, bid if ask is None else ask, time) for name in SYMBOLS}


@given(trades)
def test_balance_and_positions_are_the_sums_of_the_fills(made):
    portfolio, fills = START, []
    for symbol, side, quantity, price in made:
        portfolio, execution = execute(portfolio, order(symbol, side, quantity), quotes(price), BLUE, NOW)
        fills += [execution] if execution.status is OrderStatus.FILLED else []

    assert portfolio.balance == START.balance + sum(fill.realised for fill in fills)
    assert portfolio.sequence == len(made)  # a rejected order takes its number too
    for symbol in SYMBOLS:
        traded = sum(f.order.side.sign * f.order.quantity for f in fills if f.order.symbol == symbol)
        assert portfolio.positions.get(symbol, Position(symbol)).quantity == traded


@given(trades)
def test_the_house_gains_what_the_client_loses(made):
    # given a client who closes everything at the end
    position, realised, paid = Position("EURUSD"), Decimal(0), Decimal(0)
    closing = [("EURUSD", None, None, Decimal("1.10000"))]
    for _, side, quantity, price in [*made, *closing]:
        change = -position.quantity if side is None else side.sign * quantity
        if not change:
            continue
        position, gained = net(position, change, price)
        realised += gained
        paid += change * SYMBOLS["EURUSD"].contract_size * price

    # then what was realised is what the cash flows leave, but for the rounding of each fill to the cent
    assert position == Position("EURUSD")
    assert abs(realised + paid) <= (len(made) + 1) * CENT


@given(st.lists(st.tuples(sides, lots), min_size=1, max_size=20), prices)
def test_trading_at_a_constant_price_realises_nothing(made, price):
    position = Position("EURUSD")
    for side, quantity in made:
        position, realised = net(position, side.sign * quantity, price)
        assert realised == 0
    assert position.average_price in (0, price)


@given(sides, lots, prices)
def test_profit_of_nothing_has_no_sign(side, quantity, price):
    held = net(Position("EURUSD"), side.sign * quantity, price)[0]
    _, realised = net(held, -side.sign * quantity, price)
    unrealised = PositionResponse.of(held, quotes(price)["EURUSD"]).unrealised

    assert str(realised) == "0.00"
    assert str(unrealised) == "0.00"


@given(trades)
def test_order_that_only_closes_is_never_rejected(made):
    portfolio = START
    for symbol, side, quantity, price in made:
        portfolio, _ = execute(portfolio, order(symbol, side, quantity), quotes(price), BLUE, NOW)
    # given the worst that can happen to the balance
    ruined = Portfolio(1, Decimal(-1_000_000), 1, 0, portfolio.positions)
    for position in ruined.positions.values():
        if position.quantity:
            side = Side.SELL if position.quantity > 0 else Side.BUY
            closing = order(position.symbol, side, abs(position.quantity))
            ruined, execution = execute(ruined, closing, quotes(Decimal(1)), BLUE, NOW)
            assert execution.status is OrderStatus.FILLED


def under_water(held: str, symbol: str = "EURUSD") -> Portfolio:
    """An account that holds `held` lots (negative: short) dealt at 1.10000, and whose free margin is negative."""
    return Portfolio(1, Decimal("-2150.00"), 100, 0, {symbol: Position(symbol, Decimal(held), Decimal("1.10000"))})


@pytest.mark.parametrize(
    ("held", "side", "quantity", "status"),
    [
        ("1.00", Side.SELL, "0.40", OrderStatus.FILLED),
        ("1.00", Side.SELL, "1.00", OrderStatus.FILLED),
        ("1.00", Side.SELL, "1.01", OrderStatus.REJECTED),  # smaller than before, and yet it opens
        ("1.00", Side.SELL, "1.50", OrderStatus.REJECTED),
        ("1.00", Side.SELL, "2.00", OrderStatus.REJECTED),
        ("1.00", Side.SELL, "3.00", OrderStatus.REJECTED),
        ("1.00", Side.BUY, "0.01", OrderStatus.REJECTED),
        ("-1.00", Side.BUY, "1.00", OrderStatus.FILLED),
        ("-1.00", Side.BUY, "2.00", OrderStatus.REJECTED),
        ("-1.00", Side.SELL, "0.01", OrderStatus.REJECTED),
    ],
)
def test_account_under_water_may_only_reduce(held, side, quantity, status):
    portfolio, market = under_water(held), quotes(Decimal("1.10000"))
    assert free_margin(portfolio, market, NOW) == Decimal("-3250.00")

    after, execution = execute(portfolio, order(side=side, quantity=quantity), market, BLUE, NOW)

    assert execution.status is status
    if status is OrderStatus.REJECTED:
        assert execution.reason is RejectReason.INSUFFICIENT_MARGIN
        assert (after.balance, after.positions) == (portfolio.balance, portfolio.positions)


@given(trades, st.tuples(symbols, sides, lots, prices))
def test_whatever_an_order_opens_is_margined(made, last):
    # given an account that has lost most of what it had
    portfolio = START
    for symbol, side, quantity, price in made:
        portfolio, _ = execute(portfolio, order(symbol, side, quantity), quotes(price), BLUE, NOW)
    symbol, side, quantity, price = last
    poor = Portfolio(1, Decimal("-500.00"), 100, portfolio.sequence, portfolio.positions)

    after, execution = execute(poor, order(symbol, side, quantity), quotes(price), BLUE, NOW)

    # then an order is filled only if it opens nothing, or if what is open afterwards is covered
    held = poor.positions.get(symbol, Position(symbol)).quantity
    opens = abs(held + side.sign * quantity) > abs(held) or held * (held + side.sign * quantity) < 0
    if execution.status is OrderStatus.FILLED and opens:
        assert free_margin(after, quotes(price), NOW) >= 0


def test_nothing_is_opened_beside_a_position_that_cannot_be_valued():
    # given gold that lost all the money, and whose price is not known
    gold = Position("XAUUSD", Decimal("1.00"), Decimal("2400.00"))
    portfolio = Portfolio(1, Decimal("100000.00"), 100, 0, {"XAUUSD": gold})
    market = {"EURUSD": quotes(Decimal("1.10000"))["EURUSD"]}

    _, opened = execute(portfolio, order(quantity="0.01"), market, BLUE, NOW)

    assert opened.reason is RejectReason.STALE_QUOTE  # fewer lots would not help
    # nor if its price is old
    old = market | {"XAUUSD": Quote("XAUUSD", Decimal(2400), Decimal(2400), NOW - STALE_AFTER * 2)}
    assert execute(portfolio, order(quantity="0.01"), old, BLUE, NOW)[1].reason is RejectReason.STALE_QUOTE
    # but what is open in another symbol can be closed
    euro = Position("EURUSD", Decimal("1.00"), Decimal("1.10000"))
    both = Portfolio(1, Decimal("100000.00"), 100, 0, {"XAUUSD": gold, "EURUSD": euro})
    _, closed = execute(both, order(side=Side.SELL), market, BLUE, NOW)
    assert closed.status is OrderStatus.FILLED


def test_a_client_buys_at_the_ask_and_sells_at_the_bid():
    market = quotes(Decimal("1.1000"), Decimal("1.1002"))
    after_buying, bought = execute(START, order(side=Side.BUY), market, BLUE, NOW)
    _, sold = execute(after_buying, order(side=Side.SELL), market, BLUE, NOW)
    assert (bought.price, sold.price) == (Decimal("1.1002"), Decimal("1.1000"))
    assert sold.realised == Decimal("-20.00")  # the spread of one lot


@pytest.mark.parametrize(
    ("age", "status"),
    [
        (STALE_AFTER, "filled"),
        (STALE_AFTER + dt.timedelta(microseconds=1), "rejected"),
        (-STALE_AFTER, "filled"),
        (-STALE_AFTER - dt.timedelta(microseconds=1), "rejected"),  # dated ahead
    ],
)
def test_order_on_a_stale_quote_is_rejected(age, status):
    after, execution = execute(START, order(), quotes(Decimal("1.1"), time=NOW - age), BLUE, NOW)
    assert execution.status == status
    if status == "rejected":
        assert execution.reason is RejectReason.STALE_QUOTE
        assert (after.balance, after.positions, execution.price) == (START.balance, {}, None)


def test_symbol_without_a_quote_is_stale():
    _, execution = execute(START, order(), {}, BLUE, NOW)
    assert execution.reason is RejectReason.STALE_QUOTE


def test_used_margin_follows_the_leverage():
    # 1 lot at 1.10000 with leverage 100 holds 1,100.00
    just_enough = Portfolio(1, Decimal("1100.00"), 100, 0)
    too_little = Portfolio(1, Decimal("1099.99"), 100, 0)
    market = quotes(Decimal("1.10000"))
    held, filled = execute(just_enough, order(), market, BLUE, NOW)
    _, refused = execute(too_little, order(), market, BLUE, NOW)
    assert filled.status is OrderStatus.FILLED
    assert free_margin(held, market, NOW) == 0
    assert refused.reason is RejectReason.INSUFFICIENT_MARGIN


def test_losses_of_open_positions_count_against_free_margin():
    held, _ = execute(START, order(quantity="10"), quotes(Decimal("1.10000")), BLUE, NOW)
    fallen = quotes(Decimal("1.09000"))
    assert free_margin(held, fallen, NOW) == Decimal(100000) - Decimal(10000) - Decimal(10900)


def test_event_is_the_order_response_with_its_type():
    _, execution = execute(START, order(quantity="0.10"), quotes(Decimal("1.10000")), BLUE, NOW)
    assert message(order_event(execution)) == (
        b'{"type":"order","order_id":"00000000-0000-0000-0000-000000000001","client_order_id":"one","status":"filled",'
        b'"symbol":"EURUSD","side":"buy","quantity":"0.10","executed_at":"2026-11-21T12:00:00Z","epoch":7,'
        b'"colour":"blue","sequence":1,"realised":"0","price":"1.10000","quoted_at":"2026-11-21T12:00:00Z"}'
    )


ASKED = {"client_order_id": "one", "symbol": "EURUSD", "side": "buy", "quantity": "0.10"}


def asked(**changes: str) -> MarketOrder:
    wanted = ASKED | changes
    return market_order(uuid.UUID(int=1), 1, wanted.pop("client_order_id"), **wanted)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"symbol": "EURGBP"}, "symbol 'EURGBP' is not traded; use one of EURUSD"),
        ({"side": "hold"}, "side 'hold' is unknown; use buy or sell"),
        ({"quantity": "0"}, "quantity 0 is out of range; give 0.01 to 100 lots"),
        ({"quantity": "100.01"}, "out of range"),
        ({"quantity": "0.015"}, "quantity 0.015 is not a multiple of 0.01 lots"),
        ({"quantity": "-1"}, "quantity '-1' is not a number of lots; write it like 0.10"),
        ({"quantity": "NaN"}, "not a number of lots"),
        ({"quantity": "1e999999"}, "not a number of lots"),
        ({"client_order_id": ""}, "client_order_id must be 1 to 64 printable ASCII characters"),
        ({"client_order_id": "x" * 65}, "client_order_id must be"),
        ({"client_order_id": "a\0b"}, "client_order_id must be"),
        ({"client_order_id": "größe"}, "client_order_id must be"),
        ({"client_order_id": ".."}, "client_order_id must be"),
    ],
)
def test_invalid_order_is_refused_with_a_message(wrong, sentence):
    with pytest.raises(InvalidOrderError) as refusal:
        asked(**wrong)
    assert sentence in str(refusal.value)


@pytest.mark.parametrize("written", ["0.1", "0.10", "0.100"])
def test_quantity_is_the_same_however_it_is_written(written):
    assert str(asked(quantity=written).quantity) == "0.10"


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"username": ""}, "username must be"),
        ({"balance": "0.001"}, "whole cents"),
        ({"balance": "1000000000000"}, "balance '1000000000000' is not an amount"),
        ({"balance": "NaN"}, "balance 'NaN' is not an amount below 1,000,000,000,000; write it like 10000.00"),
        ({"balance": "-1"}, "balance '-1' is not an amount"),
        ({"leverage": 0}, "leverage must be"),
        ({"currency": "EUR"}, "currency 'EUR' is not offered"),
    ],
)
def test_invalid_account_is_refused_with_a_message(wrong, sentence):
    with pytest.raises(InvalidAccountError, match=sentence):
        accounts.new_account(**{"username": "a", "balance": "1", "leverage": 1} | wrong)
