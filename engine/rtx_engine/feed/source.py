"""The interface of price sources, and the simulated one."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Protocol

from rtx_engine.domain.pricing import Quote
from rtx_engine.feed import simulator
from rtx_engine.feed.markets import MARKETS


class PriceSource(Protocol):
    """A source of quotes."""

    def quotes(self) -> Mapping[str, Quote]:
        """The newest quote of each symbol, by symbol; a symbol without a quote is absent. Never blocks."""
        ...


def utc_now() -> datetime:
    return datetime.now(UTC)


class SimulatedSource:
    """The simulator as a price source. Sources with the same seed have the same quotes, in any process."""

    def __init__(self, seed: str, clock: Callable[[], datetime] = utc_now) -> None:
        self._seed = seed
        self._clock = clock
        self._quotes: Mapping[str, Quote] = {}
        self._since: datetime | None = None

    def quotes(self) -> Mapping[str, Quote]:
        # Cached for one tick: each order batch and each new subscriber reads them.
        now = self._clock()
        if self._since is None or not self._since <= now < self._since + simulator.TICK:
            self._quotes = {name: simulator.quote(self._seed, market, now) for name, market in MARKETS.items()}
            self._since = next(iter(self._quotes.values())).time
        return self._quotes
