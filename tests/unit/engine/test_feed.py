"""The simulated market: a pure function, equal in all processes, with plausible prices."""

import itertools
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rtx_engine.domain.symbols import SYMBOLS
from rtx_engine.feed import simulator
from rtx_engine.feed.markets import MARKETS
from rtx_engine.feed.source import SimulatedSource

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
times = st.datetimes(datetime(2020, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 (bounds are naive)


def test_every_symbol_has_a_market():
    assert MARKETS.keys() == SYMBOLS.keys()


@settings(max_examples=200)
@given(name=st.sampled_from(sorted(MARKETS)), at=times)
def test_quote_is_valid(name, at):
    market = MARKETS[name]

    quote = simulator.quote("seed", market, at)

    points = (quote.ask - quote.bid).scaleb(market.symbol.digits)
    assert market.spread_points <= points <= 2 * market.spread_points
    assert abs((quote.bid + quote.ask) / 2 / market.reference - 1) <= market.swing * Decimal("1.001")
    assert -quote.bid.as_tuple().exponent == -quote.ask.as_tuple().exponent == market.symbol.digits
    assert timedelta(0) <= at - quote.time < simulator.TICK


def test_quotes_are_equal_in_another_process():
    program = (
        "import sys, datetime as d; from rtx_engine.feed import simulator; from rtx_engine.feed.markets import MARKETS;"
        "print(simulator.quote('seed', MARKETS['XAUUSD'], d.datetime.fromisoformat(sys.argv[1])))"
    )

    def elsewhere(at):
        run = subprocess.run(
            [sys.executable, "-c", program, at.isoformat()], capture_output=True, text=True, check=True
        )
        return run.stdout.strip()

    here = str(simulator.quote("seed", MARKETS["XAUUSD"], NOON))

    assert elsewhere(NOON) == here
    assert elsewhere(NOON + simulator.TICK / 2) == here


def test_another_seed_gives_other_quotes():
    market = MARKETS["EURUSD"]
    assert simulator.quote("one", market, NOON).bid != simulator.quote("two", market, NOON).bid


@pytest.mark.parametrize("name", sorted(MARKETS))
def test_prices_move_but_do_not_jump(name):
    market = MARKETS[name]
    bids = [simulator.quote("seed", market, NOON + n * simulator.TICK).bid for n in range(400)]

    steps = [abs(after - before) for before, after in itertools.pairwise(bids)]

    assert len(set(bids)) > 20
    assert max(steps) < market.reference * Decimal("0.001")


def test_source_follows_a_clock_set_back():
    now = NOON
    source = SimulatedSource("seed", lambda: now)
    first = source.quotes()
    assert first.keys() == MARKETS.keys()

    for now in (NOON + simulator.TICK, NOON + timedelta(hours=1), NOON - timedelta(days=1)):
        assert {quote.time for quote in source.quotes().values()} == {now}
    assert first["EURUSD"].time == NOON
