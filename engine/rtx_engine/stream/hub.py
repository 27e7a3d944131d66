"""The WebSocket connections of this pod, and the messages that go to several of them."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import TypeVar

from rtx_engine import metrics
from rtx_engine.backlog import Backlog
from rtx_engine.domain.events import AccountEvent, message
from rtx_engine.domain.pricing import Quote
from rtx_engine.feed.source import PriceSource
from rtx_engine.stream import messages
from rtx_engine.stream.connection import Connection
from rtx_engine.stream.limits import PRODUCTION, StreamLimits

K = TypeVar("K")

TICK_INTERVAL_SECONDS = 0.25
SENDS_PER_YIELD = 100  # about 1 ms, during which orders wait for the event loop


class Hub:
    """The connections of this pod, by account and by symbol."""

    def __init__(self, source: PriceSource, limits: StreamLimits = PRODUCTION) -> None:
        self._source = source
        self.backlog = Backlog(limits.unread_bytes)
        self._open: set[Connection] = set()  # also those whose token has not come
        self._by_address: Counter[str] = Counter()
        self._by_account: defaultdict[int, set[Connection]] = defaultdict(set)
        self._by_symbol: defaultdict[str, set[Connection]] = defaultdict(set)
        self._last_quotes: dict[str, Quote] = {}
        self.pending: set[Connection] = set()  # waiting for their hello
        self.has_pending = asyncio.Event()  # set while `pending` is not empty

    @property
    def accounts(self) -> list[int]:
        """The accounts with a connection."""
        return list(self._by_account)

    @property
    def connections(self) -> list[Connection]:
        return list(self._open)

    def connections_of(self, account_id: int) -> Collection[Connection]:
        return self._by_account.get(account_id, ())

    def streams_of(self, account_id: int) -> int:
        return len(self.connections_of(account_id))

    def connections_from(self, address: str) -> int:
        return self._by_address[address]

    def open(self, connection: Connection) -> None:
        """A client has connected; `register` follows when it is known who it is."""
        self._open.add(connection)
        self._by_address[connection.address] += 1
        metrics.ACTIVE_CONNECTIONS.inc()

    def register(self, connection: Connection) -> None:
        """Send the events of its account to `connection`, which has claims, after its hello."""
        if connection.account_id is not None:
            self._by_account[connection.account_id].add(connection)
            self.pending.add(connection)
            self.has_pending.set()

    def close(self, connection: Connection) -> None:
        """A client has gone."""
        self._open.discard(connection)
        self._by_address[connection.address] -= 1
        if not self._by_address[connection.address]:
            del self._by_address[connection.address]
        self.pending.discard(connection)
        if connection.account_id is not None:
            _discard(self._by_account, connection.account_id, connection)
        for symbol in connection.symbols:
            _discard(self._by_symbol, symbol, connection)
        metrics.ACTIVE_CONNECTIONS.dec()

    def subscribe(self, connection: Connection) -> None:
        """Send the newest tick of each symbol of `connection`, and all later ones."""
        quotes = self._source.quotes()
        for symbol in connection.symbols:
            self._by_symbol[symbol].add(connection)
            if symbol in quotes:
                connection.send(messages.tick(quotes[symbol]))

    def deliver(self, events: Iterable[AccountEvent]) -> set[Connection]:
        """Send each event to the clients of its account. Returns the connections that lack an earlier event."""
        behind = set()
        for event in events:
            listeners = self.connections_of(event.account_id)
            if listeners:
                text = message(event)
                for connection in tuple(listeners):
                    connection.send_event(event, text)
                    if connection.behind:
                        behind.add(connection)
        return behind

    async def tick(self) -> None:
        """Wait for the next prices and send the changed ones to their subscribers. The caller repeats it."""
        # Aligned to the quarter second of the wall clock, when the simulator changes its prices.
        await asyncio.sleep(TICK_INTERVAL_SECONDS - time.time() % TICK_INTERVAL_SECONDS)
        for symbol, quote in self._source.quotes().items():
            last = self._last_quotes.get(symbol)
            self._last_quotes[symbol] = quote
            if last is None or (last.bid, last.ask) != (quote.bid, quote.ask):
                await self._broadcast(tuple(self._by_symbol.get(symbol, ())), messages.tick(quote))

    async def _broadcast(self, receivers: Sequence[Connection], text: bytes) -> None:
        for start in range(0, len(receivers), SENDS_PER_YIELD):
            for connection in receivers[start : start + SENDS_PER_YIELD]:
                connection.send(text)
            await asyncio.sleep(0)


def _discard(groups: dict[K, set[Connection]], key: K, connection: Connection) -> None:
    group = groups.get(key)
    if group is not None:
        group.discard(connection)
        if not group:
            del groups[key]
