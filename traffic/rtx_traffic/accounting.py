"""What balances and positions must be, recomputed from the fills alone. Pure.

Law, stated anew and not imported from the engine, whose arithmetic is what is checked:

- A buy adds its lots to the symbol's position, a sell takes them off; the balance begins at the opening balance.
- Lots that go the position's way change nothing but its average price: the mean of what its lots were dealt at,
  weighted by lots, to ten decimals, half to even.
- Lots that go against it close lots first. Each closed lot realises the symbol's contract size times the distance
  from the average price to the price dealt at (negative for a short position); the sum of one fill is rounded to the
  cent, half to even, and added to the balance. The average price of the lots that stay open does not change.
- Lots beyond the position open one the other way at the price dealt at. A flat position has the average price 0.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from types import MappingProxyType

from .ledger import Ledger
from .rows import AccountFillRow, AccountRow, Database

CONTRACT_SIZES: Mapping[str, Decimal] = MappingProxyType(
    {
        "EURUSD": Decimal(100_000),
        "GBPUSD": Decimal(100_000),
        "AUDUSD": Decimal(100_000),
        "NZDUSD": Decimal(100_000),
        "XAUUSD": Decimal(100),
        "XAGUSD": Decimal(5_000),
    }
)
"""Units in a lot of each symbol."""

_CENT = Decimal("0.01")
_AVERAGE = Decimal("0.0000000001")
_ZERO = Decimal(0)


@dataclass
class Position:
    """A position as it grows out of fills."""

    lots: Decimal = _ZERO
    average: Decimal = _ZERO

    def apply_fill(self, lots: Decimal, price: Decimal, contract_size: Decimal) -> Decimal:
        """Add `lots` (negative: sold) at `price`; the dollars that this realised."""
        held, after = self.lots, self.lots + lots
        self.lots = after
        if held == 0 or (held > 0) == (lots > 0):
            self.average = ((held * self.average + lots * price) / after).quantize(_AVERAGE, ROUND_HALF_EVEN)
            return _ZERO
        closed = -lots if abs(lots) <= abs(held) else held
        realised = (closed * contract_size * (price - self.average)).quantize(_CENT, ROUND_HALF_EVEN)
        if after == 0:
            self.average = _ZERO
        elif (after > 0) != (held > 0):
            self.average = price
        return realised


@dataclass
class Account:
    """Balance and positions as they grow out of fills."""

    balance: Decimal
    positions: dict[str, Position] = field(default_factory=dict)

    def apply_fill(self, fill: AccountFillRow) -> Decimal:
        """The dollars that the fill realised. Raises KeyError for a symbol of an unknown contract size."""
        contract_size = CONTRACT_SIZES[fill.symbol]
        realised = self.positions.setdefault(fill.symbol, Position()).apply_fill(
            fill.quantity, fill.price, contract_size
        )
        self.balance += realised
        return realised


def wrong(ledger: Ledger, database: Database) -> Iterator[str]:
    """A sentence for each account of the run that is not what its fills make it, or is not there."""
    opening = Decimal(ledger.run.opening_balance)
    rows = {row.account_id: row for row in database.accounts}
    for account_id in ledger.account_ids():
        row = rows.get(account_id)
        if row is None:
            yield f"Account {account_id} is not in the database."
        elif difference := _count_error(row) or _difference(row, opening):
            yield f"Account {account_id} {difference}."


def _count_error(row: AccountRow) -> str:
    """What is wrong with its numbers of events and fills; empty when nothing is."""
    if not row.sequence == row.events == row.newest:
        return f"counts {row.sequence} events and has {row.events}, the newest of which is number {row.newest}"
    if row.fills_without_event:
        return f"has {row.fills_without_event} fills that no event tells: of orders that nobody knows"
    return ""


def _difference(row: AccountRow, opening: Decimal) -> str:
    """The first value in which the account differs from what its fills make it; empty when none does."""
    account = Account(opening)
    for number, fill in enumerate(row.fills, 1):
        if fill.symbol not in CONTRACT_SIZES:
            return f"dealt {fill.symbol}, whose contract size the load does not know"
        if fill.quantity == 0:
            return f"has a fill of no lots, its {number}. one"
        realised = account.apply_fill(fill)
        if fill.realised != realised:
            return f"realised {fill.realised} by its {number}. fill, which comes to {realised}"
    if row.balance != account.balance:
        return f"has the balance {row.balance}, and its fills come to {account.balance}"
    return _position_difference(row, account.positions)


def _position_difference(row: AccountRow, positions: Mapping[str, Position]) -> str:
    held = {position.symbol: (position.quantity, position.average_price) for position in row.positions}
    flat = (_ZERO, _ZERO)
    for symbol in _symbols(held, positions):
        expected = positions.get(symbol, Position())
        lots, average = held.get(symbol, flat)
        if (lots, average) != (expected.lots, expected.average):
            return (
                f"holds {lots} {symbol} at {average} on average, "
                f"and its fills come to {expected.lots} at {expected.average}"
            )
    return ""


def _symbols(held: Mapping[str, object], positions: Mapping[str, object]) -> Sequence[str]:
    return sorted({*held, *positions})
