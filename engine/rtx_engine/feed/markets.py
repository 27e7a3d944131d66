"""How the simulator moves each symbol: one table."""

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType

import msgspec

from rtx_engine.domain.symbols import SYMBOLS, Symbol


class SimulatedMarket(msgspec.Struct, frozen=True):
    """The market that the simulator makes of a symbol."""

    symbol: Symbol
    reference: Decimal  # the mid price that the market swings around
    swing: Decimal  # the largest distance of the mid from the reference, as a part of the reference
    spread_points: int  # the narrowest spread, in units of the last digit


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
