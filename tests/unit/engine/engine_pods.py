"""The store of a pod without its server, for the tests of the order path."""

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal

import uuid_utils.compat
from rtx_engine.config import MIN_CONNECTIONS, Database
from rtx_engine.domain.accounts import NewAccount
from rtx_engine.domain.events import AccountEvent
from rtx_engine.domain.orders import MarketOrder, Side
from rtx_engine.domain.pricing import Quote
from rtx_engine.domain.symbols import SYMBOLS
from rtx_engine.store import Placed, Store
from rtx_engine.store.read_admission import PRODUCTION as READ_LIMITS
from rtx_engine.store.read_admission import ReadLimits
from rtx_engine.store.writer import PRODUCTION, Limits


class Prices:
    """A market that stands still: every symbol at one price, quoted now."""

    def __init__(self) -> None:
        self.age = dt.timedelta(0)
        self.bid, self.ask = Decimal("1.10000"), Decimal("1.10010")

    def quotes(self) -> Mapping[str, Quote]:
        time = dt.datetime.now(dt.UTC) - self.age
        return {name: Quote(name, self.bid, self.ask, time) for name in SYMBOLS}


class Pod:
    """The store of one pod, its prices, and the events that it would publish."""

    def __init__(
        self,
        database: Database,
        colour: str = "blue",
        limits: Limits = PRODUCTION,
        revision: str = "",
        connections: int = MIN_CONNECTIONS,
        read_limits: ReadLimits = READ_LIMITS,
        *,
        owner: str = "",
    ) -> None:
        self.prices = Prices()
        self.events: list[AccountEvent] = []
        self.store = Store(
            database, colour, self.prices, self.events.extend, limits, revision, connections, read_limits, owner=owner
        )

    async def open_account(self, username: str, balance: str = "10000.00", leverage: int = 100) -> int:
        account = await self.store.accounts.create(NewAccount(username, "hash", Decimal(balance), leverage))
        return account.id

    async def place(self, account_id: int, client_order_id: str, **wanted: str) -> Placed:
        return await self.store.orders.submit(market_order(account_id, client_order_id, **wanted))


def market_order(
    account_id: int, client_order_id: str, *, symbol: str = "EURUSD", side: str = "buy", quantity: str = "0.10"
) -> MarketOrder:
    order_id = uuid_utils.compat.uuid7()
    return MarketOrder(order_id, account_id, client_order_id, symbol, Side(side), Decimal(quantity))
