"""The accounts that the load trades on: created once, used again by later runs."""

import asyncio
import datetime as dt
import hashlib
import hmac
from dataclasses import dataclass

import msgspec

from .connection import Connection, RequestError, Response, Target
from .ledger import OPENING_BALANCE

LEVERAGE = 100
MAX_CONCURRENT_LOGINS = 4  # a login costs the engine a password hash; more would starve its health checks
PREPARE_DEADLINE_SECONDS = 180.0


class PreparationError(Exception):
    """The load could not create or log in its accounts. The message names the cause and what to do."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account that is logged in."""

    account_id: str
    username: str
    token: str
    password: str = ""
    refresh_token: str | None = None  # of the release before: none
    expires_at: dt.datetime | None = None

    @classmethod
    def of(cls, login: "Login", username: str, password: str) -> "Account":
        return cls(str(login.account_id), username, login.token, password, login.refresh_token, login.expires_at)


class Login(msgspec.Struct):
    """The engine's answer to a login, and to a refresh."""

    token: str
    account_id: str | int
    refresh_token: str | None = None
    expires_at: dt.datetime | None = None


class _Symbol(msgspec.Struct):
    symbol: str


class _Symbols(msgspec.Struct):
    symbols: list[_Symbol]


async def prepare(target: Target, *, admin_password: str, count: int) -> list[Account]:
    """Create and log in `count` accounts. Raises PreparationError."""
    try:
        async with asyncio.timeout(PREPARE_DEADLINE_SECONDS):
            admin = await _login(target, "admin", admin_password)
            limit = asyncio.Semaphore(MAX_CONCURRENT_LOGINS)

            async def one(number: int) -> Account:
                async with limit:
                    username = f"traffic-{number:04d}"
                    # Derived, so that later runs need no stored password.
                    password = hmac.new(admin_password.encode(), username.encode(), hashlib.sha256).hexdigest()
                    await _create(target, admin.token, username, password)
                    return await _login(target, username, password)

            return await asyncio.gather(*(one(number) for number in range(count)))
    except TimeoutError:
        raise PreparationError(
            f"Logging in {count} accounts took more than {PREPARE_DEADLINE_SECONDS:.0f} s: is the engine short of CPU?"
        ) from None


async def tradable_symbols(target: Target) -> list[str]:
    """The names of the symbols that the engine quotes. Raises PreparationError."""
    answer = await _send_once(target, target.message("GET", "/api/symbols"))
    if answer.status != 200:
        raise _unexpected_status("GET /api/symbols", answer)
    return [symbol.symbol for symbol in msgspec.json.decode(answer.body, type=_Symbols).symbols]


async def _create(target: Target, token: str, username: str, password: str) -> None:
    body = {
        "username": username,
        "password": password,
        "currency": "USD",
        "balance": OPENING_BALANCE,
        "leverage": LEVERAGE,
    }
    path = "/api/admin/accounts"
    answer = await _send_once(target, target.message("POST", path, token=token, body=msgspec.json.encode(body)))
    if answer.status not in (201, 409):  # 409: created by an earlier run
        raise _unexpected_status(f"POST {path}", answer)


async def _login(target: Target, username: str, password: str) -> Account:
    body = msgspec.json.encode({"username": username, "password": password})
    answer = await _send_once(target, target.message("POST", "/api/login", body=body))
    if answer.status != 200:
        raise _unexpected_status(f"POST /api/login as {username}", answer)
    return Account.of(msgspec.json.decode(answer.body, type=Login), username, password)


async def _send_once(target: Target, message: bytes) -> Response:
    try:
        connection = await Connection.open(target)
        try:
            return await connection.send(message)
        finally:
            connection.close()
    except RequestError as error:
        raise PreparationError(
            f"The engine at {target.host} does not respond ({error}): check that it is Ready and admits this pod."
        ) from error


def _unexpected_status(what: str, answer: Response) -> PreparationError:
    return PreparationError(
        f"{what} was answered with status {answer.status}: {answer.body[:300].decode(errors='replace')}"
    )
