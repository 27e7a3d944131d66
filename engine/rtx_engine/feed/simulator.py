"""A simulated market as a pure function of seed, symbol and time: all pods have the same quotes.

The mid price is a sum of smooth value noise whose periods grow fourfold and whose amplitudes grow with the square root
of the period, as those of a random walk do. Only exact integer hashing and IEEE `+ - * / sqrt` are used, so that two
CPUs agree to the last digit (`sin` and `exp` would not).
"""

import hashlib
import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from rtx_engine.domain.pricing import Quote
from rtx_engine.feed.markets import SimulatedMarket

TICKS_PER_SECOND = 4
TICK = timedelta(seconds=1) / TICKS_PER_SECOND

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PERIODS = tuple(TICKS_PER_SECOND * 4**octave for octave in range(10))  # in ticks: 1 s, 4 s, … 3 days
_AMPLITUDES = tuple(math.sqrt(period) for period in _PERIODS)
_MAX_NOISE = sum(_AMPLITUDES)


def quote(seed: str, market: SimulatedMarket, at: datetime) -> Quote:
    """The bid and ask of the tick that `at` (aware) falls into; the quote's time is the start of that tick.

    The mid stays within `market.swing` of `market.reference`; the spread is one to two times `market.spread_points`.
    """
    name, digits = market.symbol.name, market.symbol.digits
    tick = (at - _EPOCH) // TICK
    point = Decimal(1).scaleb(-digits)
    mid = market.reference * (1 + market.swing * Decimal(_noise(seed, name, tick)))
    widening = (1 + _lattice(seed, name, "spread", tick)) / 2
    spread = point * (market.spread_points + int(market.spread_points * widening))
    bid = (mid - spread / 2).quantize(point)
    return Quote(symbol=name, bid=bid, ask=bid + spread, time=_EPOCH + tick * TICK)


def _noise(seed: str, name: str, tick: int) -> float:
    """Smooth noise in [-1, 1]."""
    total = 0.0
    for period, amplitude in zip(_PERIODS, _AMPLITUDES, strict=True):
        cell, within = divmod(tick, period)
        left, right = (_lattice(seed, name, str(period), cell + side) for side in (0, 1))
        x = within / period
        total += amplitude * (left + (right - left) * x * x * (3 - 2 * x))
    return total / _MAX_NOISE


def _lattice(seed: str, name: str, stream: str, index: int) -> float:
    """A pseudo-random value in [-1, 1), a pure function of the arguments."""
    digest = hashlib.blake2b(f"{seed}/{name}/{stream}/{index}".encode(), digest_size=6).digest()
    return int.from_bytes(digest) / (1 << 47) - 1
