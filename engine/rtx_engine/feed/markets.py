"""The simulator's parameters of each symbol."""

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType

import msgspec

from rtx_engine.domain.symbols import SYMBOLS, Symbol


class SimulatedMarket(msgspec.Struct, frozen=True):
    """The simulated market of a symbol."""

    symbol: Symbol
    reference: Decimal  # centre of the mid price
    swing: Decimal  # largest distance of the mid from the reference, as a fraction of it
    spread_points: int  # narrowest spread, in units of the last digit


def _market(name: str, reference: str, swing: str, spread_points: int) -> SimulatedMarket:
    return SimulatedMarket(SYMBOLS[name], Decimal(reference), Decimal(swing), spread_points)


MARKETS: Mapping[str, SimulatedMarket] = MappingProxyType(
    {
        market.symbol.name: market
        for market in (
            _market("EURUSD", "1.08400", "0.03", 8),
            _market("GBPUSD", "1.27000", "0.03", 11),
            _market("AUDUSD", "0.65500", "0.04", 10),
            _market("NZDUSD", "0.60500", "0.04", 14),
            _market("XAUUSD", "2350.00", "0.08", 22),
            _market("XAGUSD", "28.500", "0.12", 20),
        )
    }
)
