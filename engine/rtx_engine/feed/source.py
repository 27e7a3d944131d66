"""The seam between prices and those who ask for them."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Protocol

from rtx_engine.domain.pricing import Quote
from rtx_engine.feed import simulator
from rtx_engine.feed.markets import MARKETS


class PriceSource(Protocol):
    """The newest quotes, kept by whoever receives them."""

    def quotes(self) -> Mapping[str, Quote]:
        """The newest quote of each symbol, by symbol; one that was never quoted is absent. Never waits."""
        ...


def utc_now() -> datetime:
    return datetime.now(UTC)


class SimulatedSource:
    """The simulator behind the seam. Two sources of one seed quote alike, whatever process they live in."""

    def __init__(self, seed: str, clock: Callable[[], datetime] = utc_now) -> None:
        self._seed = seed
        self._clock = clock
        self._quotes: Mapping[str, Quote] = {}
        self._since: datetime | None = None

    def quotes(self) -> Mapping[str, Quote]:
        # Made once per tick: each batch of orders and each subscriber asks, and making them costs a quarter of a ms.
        now = self._clock()
        if self._since is None or not self._since <= now < self._since + simulator.TICK:
            self._quotes = {name: simulator.quote(self._seed, market, now) for name, market in MARKETS.items()}
            self._since = next(iter(self._quotes.values())).time
        return self._quotes
