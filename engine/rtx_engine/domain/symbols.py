"""The tradable symbols. All are quoted in US dollars, the currency of all accounts, so nothing is converted."""

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType

import msgspec

CURRENCY = "USD"


class Symbol(msgspec.Struct, frozen=True):
    """An instrument. Quantities are in lots of `contract_size` units; prices have `digits` decimals."""

    name: str
    digits: int
    contract_size: Decimal
    quantity_step: Decimal = Decimal("0.01")
    quantity_max: Decimal = Decimal(100)


_ALL = (
    Symbol("EURUSD", 5, Decimal(100_000)),
    Symbol("GBPUSD", 5, Decimal(100_000)),
    Symbol("AUDUSD", 5, Decimal(100_000)),
    Symbol("NZDUSD", 5, Decimal(100_000)),
    Symbol("XAUUSD", 2, Decimal(100)),
    Symbol("XAGUSD", 3, Decimal(5_000)),
)
SYMBOLS: Mapping[str, Symbol] = MappingProxyType({symbol.name: symbol for symbol in _ALL})
