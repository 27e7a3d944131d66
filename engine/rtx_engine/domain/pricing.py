"""Quotes and the price of an order."""

import datetime as dt
from decimal import Decimal

import msgspec

from rtx_engine.domain.orders import Side

STALE_AFTER = dt.timedelta(seconds=2)


class Quote(msgspec.Struct, frozen=True):
    """The prices at which the house buys (bid) and sells (ask)."""

    symbol: str
    bid: Decimal
    ask: Decimal
    time: dt.datetime  # with time zone

    def price_for(self, side: Side) -> Decimal:
        """Clients buy at the ask and sell at the bid."""
        return self.ask if side is Side.BUY else self.bid

    def is_stale(self, now: dt.datetime) -> bool:
        """Also if it is dated ahead: of two clocks that differ, one is wrong, and it may be the feed's."""
        return abs(now - self.time) > STALE_AFTER
