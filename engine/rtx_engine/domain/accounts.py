"""Trading accounts."""

from decimal import Decimal

import msgspec

from rtx_engine.domain.symbols import CURRENCY

MAX_LEVERAGE = 500


class InvalidAccountError(ValueError):
    """The account is not valid; the message is one sentence for the administrator."""


class NewAccount(msgspec.Struct, frozen=True):
    """An account to open. `password_hash` is an argon2id PHC string."""

    username: str
    password_hash: str
    balance: Decimal
    leverage: int
    currency: str = CURRENCY


class Account(msgspec.Struct, frozen=True):
    """An account. `sequence` is the number of its newest event."""

    id: int
    username: str
    currency: str
    balance: Decimal
    leverage: int
    sequence: int


class Login(msgspec.Struct, frozen=True):
    """The credentials of an account."""

    account_id: int
    password_hash: str


def check(account: NewAccount) -> None:
    """Raises InvalidAccountError."""
    if not (1 <= len(account.username) <= 64 and account.username.isascii() and account.username.isprintable()):
        raise InvalidAccountError("username must be 1 to 64 printable ASCII characters")
    if account.currency != CURRENCY:
        raise InvalidAccountError(f"currency {account.currency!r} is not offered; accounts are in {CURRENCY}")
    if not account.balance.is_finite() or not 0 <= account.balance < Decimal(10) ** 12:
        raise InvalidAccountError("balance must be 0 or more, and below 1,000,000,000,000")
    if account.balance != account.balance.quantize(Decimal("0.01")):
        raise InvalidAccountError("balance must be in whole cents")
    if not 1 <= account.leverage <= MAX_LEVERAGE:
        raise InvalidAccountError(f"leverage must be 1 to {MAX_LEVERAGE}")
