"""Money as clients write it, as it is computed with, and as the journal keeps it: integers of the minor unit."""

from decimal import ROUND_HALF_EVEN, Decimal

from rtx_engine.domain import grammar

MINOR_UNITS = 100  # in one unit of USD, the only currency
CENT = Decimal("0.01")
MAX_AMOUNT = 10**12  # dollars; every amount and every balance that is made by a deposit is smaller


class InvalidAmountError(ValueError):
    """The text is not an amount of money; the message is one sentence for the client."""


def amount(text: str, name: str) -> Decimal:
    """The amount of money in `text`, 0 or more, in whole cents. `name`: of the field. Raises InvalidAmountError."""
    try:
        written = grammar.decimal(text)
    except grammar.GrammarError:
        raise InvalidAmountError(
            f"{name} {text[:32]!a} is not an amount below {MAX_AMOUNT:,}; write it like 10000.00"
        ) from None
    cents = written.quantize(CENT)
    if cents != written:
        raise InvalidAmountError(f"{name} must be in whole cents")
    return cents


def to_cents(money: Decimal) -> Decimal:
    """`money` in whole cents, half a cent to the even one; as the database has it, which knows no -0.00."""
    return money.quantize(CENT, ROUND_HALF_EVEN) + Decimal(0)


def to_minor(money: Decimal) -> int:
    """`money`, which is in whole cents, as a number of cents. Raises ValueError if it is not."""
    cents = money * MINOR_UNITS
    if cents != (whole := int(cents)):
        raise ValueError(f"{money} is not in whole cents")
    return whole


def from_minor(cents: int) -> Decimal:
    """The money that `cents` are, with two decimals."""
    return Decimal(cents).scaleb(-2)
