"""Recomputes balances and positions from the fills and the journal alone. Pure.

Law, not imported from the engine because it checks the engine's arithmetic:

- A buy adds its lots to the symbol's position, a sell subtracts them.
- The balance is what the account was opened with, plus every later entry of its journal, plus what fills realised. The
  journal's first entry is the opening, with number 0; a database that has no journal yet has no other entries either.
- Lots in the position's direction change only its average price: the mean of the fill prices, weighted by lots,
  rounded to ten decimals, half to even.
- Lots against it close open lots first. Each closed lot realises the contract size times the fill price minus the
  average price (negated for a short position). The sum of one fill is rounded to the cent, half to even, and added to
  the balance. The average price of the remaining lots does not change.
- Lots beyond the position open one in the other direction at the fill price. A flat position has average price 0.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from types import MappingProxyType

from .ledger import Ledger
from .rows import AccountFillRow, AccountRow, Database, EntryRow

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
"""Units per lot of each symbol."""

CENTS = 100
"""In a dollar."""

_CENT = Decimal("0.01")
_AVERAGE = Decimal("0.0000000001")
_ZERO = Decimal(0)


@dataclass
class Position:
    """A position recomputed from fills."""

    lots: Decimal = _ZERO
    average: Decimal = _ZERO

    def apply_fill(self, lots: Decimal, price: Decimal, contract_size: Decimal) -> Decimal:
        """Add `lots` (negative: sold) at `price`; returns the realised dollars."""
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
    """Balance and positions recomputed from fills."""

    balance: Decimal
    positions: dict[str, Position] = field(default_factory=dict)

    def apply_fill(self, fill: AccountFillRow) -> Decimal:
        """Add a fill; returns the realised dollars. Raises KeyError for a symbol of unknown contract size."""
        contract_size = CONTRACT_SIZES[fill.symbol]
        realised = self.positions.setdefault(fill.symbol, Position()).apply_fill(
            fill.quantity, fill.price, contract_size
        )
        self.balance += realised
        return realised


def wrong(ledger: Ledger, database: Database) -> Iterator[str]:
    """A sentence for each account of the run that is missing or differs from its recomputed fills."""
    opening = Decimal(ledger.run.opening_balance)
    rows = {row.account_id: row for row in database.accounts}
    for account_id in ledger.account_ids():
        row = rows.get(account_id)
        if row is None:
            yield f"Account {account_id} is not in the database."
        elif difference := _count_error(row) or _difference(row, opening):
            yield f"Account {account_id} {difference}."


def unbalanced(database: Database) -> Iterator[str]:
    """A sentence for each account of the whole database whose balance is not the sum of its ledger."""
    for row in database.unbalanced:
        yield f"Account {row.account_id} has the balance {row.balance}, but its ledger comes to {row.ledger} cents."


def _count_error(row: AccountRow) -> str:
    """The first error in the numbers of events and fills; empty without one."""
    if not row.sequence == row.events == row.newest:
        return f"has sequence {row.sequence}, but {row.events} events, the newest with sequence {row.newest}"
    if row.fills_without_event:
        return f"has {row.fills_without_event} fills without an event, of unknown orders"
    return ""


def _difference(row: AccountRow, opening: Decimal) -> str:
    """The first value that differs from the recomputed one; empty without a difference."""
    if row.entries and row.entries[0] != EntryRow(0, "opening", int(opening * CENTS)):
        return f"was opened with {opening}, but the first entry of its journal is {row.entries[0]}"
    moved = sum((Decimal(entry.amount) for entry in row.entries[1:]), _ZERO)
    account = Account(opening + moved / CENTS)
    for number, fill in enumerate(row.fills, 1):
        if fill.symbol not in CONTRACT_SIZES:
            return f"has a fill of {fill.symbol}, whose contract size the load does not know"
        if fill.quantity == 0:
            return f"has no lots in fill number {number}"
        realised = account.apply_fill(fill)
        if fill.realised != realised:
            return f"realised {fill.realised} in fill number {number} instead of {realised}"
    if row.balance != account.balance:
        return f"has the balance {row.balance} instead of {account.balance}, computed from its fills and entries"
    return _position_difference(row, account.positions)


def _position_difference(row: AccountRow, positions: Mapping[str, Position]) -> str:
    held = {position.symbol: (position.quantity, position.average_price) for position in row.positions}
    flat = (_ZERO, _ZERO)
    for symbol in _symbols(held, positions):
        expected = positions.get(symbol, Position())
        lots, average = held.get(symbol, flat)
        if (lots, average) != (expected.lots, expected.average):
            return (
                f"holds {lots} {symbol} at average price {average} "
                f"instead of {expected.lots} at {expected.average}, computed from its fills"
            )
    return ""


def _symbols(held: Mapping[str, object], positions: Mapping[str, object]) -> Sequence[str]:
    return sorted({*held, *positions})
