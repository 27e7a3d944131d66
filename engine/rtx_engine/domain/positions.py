"""Net positions: one per account and symbol."""

from decimal import ROUND_HALF_EVEN, Decimal

import msgspec

from rtx_engine.domain.scales import to_cents
from rtx_engine.domain.symbols import SYMBOLS

PRICE_PRECISION = Decimal("0.0000000001")  # of average prices: ten decimals


class Position(msgspec.Struct, frozen=True):
    """`quantity` in lots, negative when short; `average_price` of the open lots, 0 when flat."""

    symbol: str
    quantity: Decimal = Decimal(0)
    average_price: Decimal = Decimal(0)

    def value_at(self, price: Decimal) -> Decimal:
        """Unrealised profit or loss at `price`, in US dollars."""
        return self.quantity * SYMBOLS[self.symbol].contract_size * (price - self.average_price)


def opened(position: Position, signed_quantity: Decimal) -> Decimal:
    """How many of `signed_quantity` lots (negative: sold) open, because they do not close any; 0 or more."""
    if position.quantity * signed_quantity >= 0:
        return abs(signed_quantity)
    return max(Decimal(0), abs(signed_quantity) - abs(position.quantity))


def net(position: Position, signed_quantity: Decimal, price: Decimal) -> tuple[Position, Decimal]:
    """The position after `signed_quantity` lots (negative: sold) at `price`, and the realised US dollars."""
    quantity = position.quantity + signed_quantity
    opens_more = position.quantity * signed_quantity >= 0
    if opens_more:
        cost = position.quantity * position.average_price + signed_quantity * price
        average = (cost / quantity).quantize(PRICE_PRECISION, ROUND_HALF_EVEN)
        return Position(position.symbol, quantity, average), Decimal(0)
    closed = min(abs(signed_quantity), abs(position.quantity)).copy_sign(position.quantity)
    contract = SYMBOLS[position.symbol].contract_size
    realised = to_cents(closed * contract * (price - position.average_price))
    if not quantity:
        return Position(position.symbol), realised
    turned = position.quantity * quantity < 0
    return Position(position.symbol, quantity, price if turned else position.average_price), realised
