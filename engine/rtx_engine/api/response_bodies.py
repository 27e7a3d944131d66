"""Response bodies of the API, except the order itself (domain.order_response)."""

import datetime as dt
from decimal import Decimal

import msgspec

from rtx_engine.api.errors import ErrorDetail
from rtx_engine.domain.accounts import Account
from rtx_engine.domain.order_response import OrderResponse
from rtx_engine.domain.positions import Position
from rtx_engine.domain.pricing import Quote
from rtx_engine.domain.scales import to_cents
from rtx_engine.domain.symbols import Symbol


class Health(msgspec.Struct, frozen=True):
    """The process is alive. `epoch` is null until this pod has read the fence."""

    status: str
    version: str
    colour: str
    epoch: int | None


class LoginResponse(msgspec.Struct, frozen=True):
    """A bearer token, and the refresh token that gets the next one at POST /api/refresh until it expires itself.

    The administrator has no trading account, so `account_id` is "admin", and no refresh token.
    """

    token: str
    account_id: int | str
    expires_at: dt.datetime
    refresh_token: str | None
    refresh_expires_at: dt.datetime | None


class Revoked(msgspec.Struct, frozen=True):
    """All tokens of the account have ended, on every pod within seconds."""

    account_id: int


class AccountResponse(msgspec.Struct, frozen=True):
    """An account. `sequence` is the number of its newest event; /ws resumes after it with `since`."""

    account_id: int
    username: str
    currency: str
    balance: Decimal
    leverage: int
    sequence: int

    @classmethod
    def of(cls, account: Account) -> "AccountResponse":
        return cls(account.id, account.username, account.currency, account.balance, account.leverage, account.sequence)


class SymbolResponse(msgspec.Struct, frozen=True):
    """A symbol and its newest quote; bid, ask and time are null before the first quote. Quantities are in lots."""

    symbol: str
    digits: int
    contract_size: Decimal
    quantity_step: Decimal
    quantity_max: Decimal
    bid: Decimal | None
    ask: Decimal | None
    time: dt.datetime | None

    @classmethod
    def of(cls, symbol: Symbol, quote: Quote | None) -> "SymbolResponse":
        return cls(
            symbol=symbol.name,
            digits=symbol.digits,
            contract_size=symbol.contract_size,
            quantity_step=symbol.quantity_step,
            quantity_max=symbol.quantity_max,
            bid=quote.bid if quote else None,
            ask=quote.ask if quote else None,
            time=quote.time if quote else None,
        )


class Symbols(msgspec.Struct, frozen=True):
    """All tradable symbols."""

    symbols: list[SymbolResponse]


class PositionResponse(msgspec.Struct, frozen=True):
    """An open position in lots, negative when short. `unrealised` profit or loss: null without a quote."""

    symbol: str
    quantity: Decimal
    average_price: Decimal
    unrealised: Decimal | None

    @classmethod
    def of(cls, position: Position, quote: Quote | None) -> "PositionResponse":
        unrealised = None
        if quote is not None:
            closing = quote.bid if position.quantity > 0 else quote.ask
            unrealised = to_cents(position.value_at(closing))
        return cls(position.symbol, position.quantity, position.average_price, unrealised)


class Positions(msgspec.Struct, frozen=True):
    """All open positions of the account."""

    positions: list[PositionResponse]


class Orders(msgspec.Struct, frozen=True):
    """A page of orders, newest first. `next_before`: pass it as `before` for the next page; null on the last page."""

    orders: list[OrderResponse]
    next_before: int | None


class Events(msgspec.Struct, frozen=True):
    """A page of account events, oldest first, as the stream sends them.

    `next_since`: pass it as `since` for the next page; null on the last one.
    """

    events: list[msgspec.Raw]
    next_since: int | None


class NoOrder(msgspec.Struct, frozen=True):
    """The order was not placed. `as_of`: when that was so; a request whose valid_until is earlier never places it.

    Without `as_of` the path itself does not exist, as with a slash in the id: no order has such an id.
    """

    error: ErrorDetail
    as_of: dt.datetime | msgspec.UnsetType = msgspec.UNSET


class Rejection(msgspec.Struct, frozen=True):
    """An order recorded as rejected: the reason and the order."""

    error: ErrorDetail
    order: OrderResponse
