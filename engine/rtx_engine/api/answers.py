"""What the API answers with, beside what the domain already says."""

import datetime as dt
from decimal import Decimal

import msgspec

from rtx_engine.api.errors import ErrorDetail
from rtx_engine.domain.accounts import Account
from rtx_engine.domain.answers import OrderAnswer
from rtx_engine.domain.positions import CENT, Position
from rtx_engine.domain.pricing import Quote
from rtx_engine.domain.symbols import Symbol


class Health(msgspec.Struct, frozen=True):
    """The process lives. `epoch` is null until the fence is known."""

    status: str
    version: str
    colour: str
    epoch: int | None


class Login(msgspec.Struct, frozen=True):
    """A bearer token. `account_id` is the word admin for the administrator, who has no account."""

    token: str
    account_id: int | str
    expires_at: dt.datetime


class AccountAnswer(msgspec.Struct, frozen=True):
    """An account. `sequence` is the number of its last event: what /ws resumes from."""

    account_id: int
    username: str
    currency: str
    balance: Decimal
    leverage: int
    sequence: int

    @classmethod
    def of(cls, account: Account) -> "AccountAnswer":
        return cls(account.id, account.username, account.currency, account.balance, account.leverage, account.sequence)


class SymbolAnswer(msgspec.Struct, frozen=True):
    """A symbol and its newest quote; bid, ask and time are null while there is none. Quantities are in lots."""

    symbol: str
    digits: int
    contract_size: Decimal
    quantity_step: Decimal
    quantity_max: Decimal
    bid: Decimal | None
    ask: Decimal | None
    time: dt.datetime | None

    @classmethod
    def of(cls, symbol: Symbol, quote: Quote | None) -> "SymbolAnswer":
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
    """Every symbol that is traded."""

    symbols: list[SymbolAnswer]


class PositionAnswer(msgspec.Struct, frozen=True):
    """An open position: lots, long positive. `unrealised` is in the account's currency; null without a quote."""

    symbol: str
    quantity: Decimal
    average_price: Decimal
    unrealised: Decimal | None

    @classmethod
    def of(cls, position: Position, quote: Quote | None) -> "PositionAnswer":
        unrealised = None
        if quote is not None:
            closing = quote.bid if position.quantity > 0 else quote.ask
            unrealised = position.value_at(closing).quantize(CENT)
        return cls(position.symbol, position.quantity, position.average_price, unrealised)


class Positions(msgspec.Struct, frozen=True):
    """Every open position of the account."""

    positions: list[PositionAnswer]


class Orders(msgspec.Struct, frozen=True):
    """Newest first. `next_before` asks for the page after this one; null: there is none."""

    orders: list[OrderAnswer]
    next_before: int | None


class Rejection(msgspec.Struct, frozen=True):
    """An order that was recorded as rejected: why, and the record."""

    error: ErrorDetail
    order: OrderAnswer
