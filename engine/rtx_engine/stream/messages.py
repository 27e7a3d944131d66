"""Messages to clients other than account events (domain.events): JSON, encoded once for all receivers."""

import datetime as dt
from decimal import Decimal

import msgspec

from rtx_engine.domain.pricing import Quote


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """The first message. Events follow from `sequence` + 1, each once and without a gap."""

    account_id: int
    sequence: int
    colour: str


class Authenticated(msgspec.Struct, frozen=True, tag="authenticated"):
    """A later token was accepted: the stream goes on until it expires."""

    expires_at: dt.datetime


class Tick(msgspec.Struct, frozen=True, tag="tick"):
    """A price. The current one comes at once, later ones when the price changes."""

    symbol: str
    bid: Decimal
    ask: Decimal
    time: dt.datetime


_encode = msgspec.json.Encoder().encode


def hello(account_id: int, sequence: int, colour: str) -> bytes:
    return _encode(Hello(account_id, sequence, colour))


def authenticated(expires_at: float) -> bytes:
    """`expires_at`: seconds since 1970."""
    return _encode(Authenticated(dt.datetime.fromtimestamp(expires_at, dt.UTC)))


def tick(quote: Quote) -> bytes:
    return _encode(Tick(quote.symbol, quote.bid, quote.ask, quote.time))
