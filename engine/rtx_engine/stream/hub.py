"""Who is connected to this pod, and what goes to several of them at once."""

import asyncio
import itertools
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import TypeVar

from rtx_engine import metrics
from rtx_engine.domain.events import AccountEvent, message
from rtx_engine.domain.pricing import Quote
from rtx_engine.feed.source import PriceSource
from rtx_engine.stream import messages
from rtx_engine.stream.connection import Connection

K = TypeVar("K")

TICK_INTERVAL = 0.25  # seconds
SLICE = 100  # sends without a break: about 1 ms, in which orders wait


class Hub:
    """The connections of this pod, by account and by symbol."""

    def __init__(self, source: PriceSource) -> None:
        self._source = source
        self._by_account: defaultdict[int, set[Connection]] = defaultdict(set)
        self._by_symbol: defaultdict[str, set[Connection]] = defaultdict(set)
        self._ticked: dict[str, Quote] = {}
        self.entrants: set[Connection] = set()  # not greeted yet
        self.entrance = asyncio.Event()  # set when there is an entrant

    @property
    def accounts(self) -> list[int]:
        """The accounts that somebody listens to."""
        return list(self._by_account)

    @property
    def connections(self) -> list[Connection]:
        return list(itertools.chain.from_iterable(self._by_account.values()))

    def of_account(self, account_id: int) -> Collection[Connection]:
        return self._by_account.get(account_id, ())

    def entered(self, connection: Connection) -> None:
        self._by_account[connection.account_id].add(connection)
        self.entrants.add(connection)
        self.entrance.set()
        metrics.ACTIVE_CONNECTIONS.inc()

    def left(self, connection: Connection) -> None:
        self.entrants.discard(connection)
        _discard(self._by_account, connection.account_id, connection)
        for symbol in connection.symbols:
            _discard(self._by_symbol, symbol, connection)
        metrics.ACTIVE_CONNECTIONS.dec()

    def subscribe(self, connection: Connection) -> None:
        """Send the newest tick of each symbol that a greeted connection wants, and those to come."""
        quotes = self._source.quotes()
        for symbol in connection.symbols:
            self._by_symbol[symbol].add(connection)
            if symbol in quotes:
                connection.send(messages.tick(quotes[symbol]))

    def deliver(self, events: Iterable[AccountEvent]) -> set[Connection]:
        """Send each event to whoever gets it next. Returns those who lack one that should have come before."""
        behind = set()
        for event in events:
            listeners = self.of_account(event.account_id)
            if listeners:
                text = message(event)
                for connection in tuple(listeners):
                    connection.offer(event, text)
                    if connection.behind:
                        behind.add(connection)
        return behind

    async def tick(self) -> None:
        """Wait for the next prices and send those that changed to whoever wants them; to be repeated for ever."""
        # On the wall clock's quarters, where the simulator makes its prices.
        await asyncio.sleep(TICK_INTERVAL - time.time() % TICK_INTERVAL)
        for symbol, quote in self._source.quotes().items():
            last = self._ticked.get(symbol)
            self._ticked[symbol] = quote
            if last is None or (last.bid, last.ask) != (quote.bid, quote.ask):
                await self._broadcast(tuple(self._by_symbol.get(symbol, ())), messages.tick(quote))

    async def _broadcast(self, receivers: Sequence[Connection], text: bytes) -> None:
        for start in range(0, len(receivers), SLICE):
            for connection in receivers[start : start + SLICE]:
                connection.send(text)
            await asyncio.sleep(0)


def _discard(groups: dict[K, set[Connection]], key: K, connection: Connection) -> None:
    group = groups.get(key)
    if group is not None:
        group.discard(connection)
        if not group:
            del groups[key]
