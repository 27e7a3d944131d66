"""Trading accounts."""

import datetime as dt
from decimal import Decimal

import msgspec

from rtx_engine.domain import grammar, scales
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
    """A user who may trade on an account. `generation` is that of their tokens."""

    user_id: int
    account_id: int
    username: str
    password_hash: str
    generation: int


class RefreshedLogin(msgspec.Struct, frozen=True):
    """Whose refresh token it is, and when that expires."""

    account_id: int
    generation: int
    expires_at: dt.datetime


def new_account(username: str, *, balance: str, leverage: int, currency: str = CURRENCY) -> NewAccount:
    """The account that the administrator asks for, still without its password. Raises InvalidAccountError."""
    if not grammar.is_name(username):
        raise InvalidAccountError("username must be 1 to 64 printable ASCII characters")
    if currency != CURRENCY:
        raise InvalidAccountError(f"currency {currency[:32]!a} is not offered; accounts are in {CURRENCY}")
    if not 1 <= leverage <= MAX_LEVERAGE:
        raise InvalidAccountError(f"leverage must be 1 to {MAX_LEVERAGE}")
    try:
        opening = scales.amount(balance, "balance")
    except scales.InvalidAmountError as error:
        raise InvalidAccountError(str(error)) from error
    return NewAccount(username, "", opening, leverage, currency)
