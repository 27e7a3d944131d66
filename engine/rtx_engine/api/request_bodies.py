"""Request bodies, and the error message for a body that is not valid."""

import functools
import re
from typing import ClassVar, TypeVar

import msgspec

from rtx_engine.api.errors import bad_request


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A JSON body. HINTS holds the expected value of each field, for error messages and the OpenAPI document."""

    HINTS: ClassVar[dict[str, str]] = {}


class LoginRequest(Request, frozen=True):
    username: str
    password: str

    HINTS: ClassVar[dict[str, str]] = {
        "username": "the username of the account",
        "password": "the password of the account",
    }


class RefreshRequest(Request, frozen=True):
    refresh_token: str

    HINTS: ClassVar[dict[str, str]] = {"refresh_token": "the refresh_token of the login"}


class PasswordRequest(Request, frozen=True):
    password: str
    new_password: str

    HINTS: ClassVar[dict[str, str]] = {
        "password": "the present password of the account",
        "new_password": "a string of at least 8 characters",
    }


class AccountRequest(Request, frozen=True):
    username: str
    password: str
    balance: str
    leverage: int
    currency: str = "USD"

    HINTS: ClassVar[dict[str, str]] = {
        "username": "1 to 64 printable ASCII characters",
        "password": "a string of at least 8 characters",
        "balance": 'an amount in quotes, like "10000.00"',
        "leverage": "a whole number, like 100",
        "currency": '"USD"',
    }


class TransferRequest(Request, frozen=True):
    id: str
    amount: str
    reason: str

    HINTS: ClassVar[dict[str, str]] = {
        "id": "1 to 64 printable ASCII characters, unique among the deposits and withdrawals of the account",
        "amount": 'an amount in quotes, more than 0, like "250.00"',
        "reason": "1 to 200 printable characters",
    }


class MarketOrderRequest(Request, frozen=True):
    client_order_id: str
    symbol: str
    side: str
    quantity: str
    valid_until: str | None = None

    HINTS: ClassVar[dict[str, str]] = {
        "client_order_id": "1 to 64 printable ASCII characters, unique among the orders of the account",
        "symbol": 'a symbol of GET /api/symbols, like "EURUSD"',
        "side": '"buy" or "sell"',
        "quantity": 'a number of lots in quotes, like "0.10"',
        "valid_until": (
            'a time in UTC, like "2026-11-27T10:00:00Z", after which the order is not placed, or leave it out'
        ),
    }


T = TypeVar("T", bound=Request)

_WRONG_TYPE = re.compile(r"Expected `(?P<expected>[^`]+)`, got `(?P<given>[^`]+)` - at `\$\.(?P<field>[a-z_]+)`")
_NOT_AN_OBJECT = re.compile(r"Expected `object`, got `(?P<given>[^`]+)`$")
_MISSING = re.compile(r"missing required field `(?P<field>[^`]+)`")
_UNKNOWN = re.compile(r"unknown field `(?P<field>.*)`", re.DOTALL)


@functools.cache
def _decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    return msgspec.json.Decoder(kind)


def decode(body: bytes, kind: type[T]) -> T:
    """`body` parsed as `kind`. Raises ApiError (400)."""
    if not body.strip():
        raise bad_request(f"The body is empty: send {_example(kind)}.")
    try:
        decoded: T = _decoder(kind).decode(body)
    except msgspec.ValidationError as error:
        raise bad_request(_message(str(error), kind)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_request(f"The body is not valid JSON ({error}): send {_example(kind)}.") from error
    return decoded


def _message(problem: str, kind: type[Request]) -> str:
    if match := _MISSING.search(problem):
        field = match["field"]
        return f"{field} is missing: give {kind.HINTS[field]}."
    if match := _UNKNOWN.search(problem):
        return f"{match['field'][:64]!r} is not a known field: send {_example(kind)}."
    if match := _WRONG_TYPE.search(problem):
        field = match["field"]
        return f"{field} is of type {match['given']}: give {kind.HINTS[field]}."
    if match := _NOT_AN_OBJECT.match(problem):
        return f"The body is of type {match['given']}: send {_example(kind)}."
    return f"The body is not valid ({problem}): send {_example(kind)}."


def _example(kind: type[Request]) -> str:
    *first, last = kind.HINTS
    return f"a JSON object with {', '.join(first)} and {last}" if first else f"a JSON object with {last}"
