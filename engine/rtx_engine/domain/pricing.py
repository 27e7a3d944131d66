"""Quotes, and which of their two prices a client deals at."""

import datetime as dt
from decimal import Decimal

import msgspec

from rtx_engine.domain.orders import Side

STALE_AFTER = dt.timedelta(seconds=2)


class Quote(msgspec.Struct, frozen=True):
    """What the house buys and sells at."""

    symbol: str
    bid: Decimal
    ask: Decimal
    time: dt.datetime  # with time zone

    def price_for(self, side: Side) -> Decimal:
        """Clients buy at the ask and sell at the bid."""
        return self.ask if side is Side.BUY else self.bid

    def is_stale(self, now: dt.datetime) -> bool:
        return now - self.time > STALE_AFTER
