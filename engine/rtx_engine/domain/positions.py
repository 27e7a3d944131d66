"""Netting positions: one per account and symbol."""

from decimal import ROUND_HALF_EVEN, Decimal

import msgspec

from rtx_engine.domain.symbols import SYMBOLS

CENT = Decimal("0.01")
PRICE_PRECISION = Decimal("0.0000000001")  # of an average; ten decimals, as the column has


class Position(msgspec.Struct, frozen=True):
    """`quantity` in lots, long positive; `average_price` is what the open lots cost on average, 0 when flat."""

    symbol: str
    quantity: Decimal = Decimal(0)
    average_price: Decimal = Decimal(0)

    def value_at(self, price: Decimal) -> Decimal:
        """Unrealised profit or loss in dollars if it were closed at `price`."""
        return self.quantity * SYMBOLS[self.symbol].contract_size * (price - self.average_price)


def net(position: Position, signed_quantity: Decimal, price: Decimal) -> tuple[Position, Decimal]:
    """The position after dealing `signed_quantity` lots at `price`, and the dollars this realised, to the cent."""
    quantity = position.quantity + signed_quantity
    opens_more = position.quantity * signed_quantity >= 0
    if opens_more:
        cost = position.quantity * position.average_price + signed_quantity * price
        average = (cost / quantity).quantize(PRICE_PRECISION, ROUND_HALF_EVEN)
        return Position(position.symbol, quantity, average), Decimal(0)
    closed = min(abs(signed_quantity), abs(position.quantity)).copy_sign(position.quantity)
    contract = SYMBOLS[position.symbol].contract_size
    realised = (closed * contract * (price - position.average_price)).quantize(CENT, ROUND_HALF_EVEN)
    if not quantity:
        return Position(position.symbol), realised
    turned = position.quantity * quantity < 0
    return Position(position.symbol, quantity, price if turned else position.average_price), realised
