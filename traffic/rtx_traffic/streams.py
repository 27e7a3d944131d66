"""Compares the events that each WebSocket received with those expected, across its reconnects. Pure.

A socket's first hello gives the sequence from which it listens; later hellos repeat the requested `since`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from .ledger import Ledger, SocketClosed, SocketEvent, SocketOpened, SocketStarted
from .rows import Database

EVENT_DEADLINE_SECONDS = 5.0  # from an acknowledgement to its event on every socket of the account
HELLO_DEADLINE_SECONDS = 10.0  # from a client's start or disconnect to its hello

Key = tuple[str, int]  # account and sequence identify an event


@dataclass
class Client:
    """All records of one socket, in ledger order."""

    socket: int
    started: SocketStarted | None = None
    hellos: list[SocketOpened] = field(default_factory=list)
    events: list[SocketEvent] = field(default_factory=list)
    disconnected_at: float | None = None  # None once a later hello was received

    @property
    def account_id(self) -> str:
        return self.started.account_id if self.started else ""

    @property
    def name(self) -> str:
        return f"WebSocket {self.socket} of account {self.account_id}"


@dataclass
class Expected:
    """The expected events, from ledger and database."""

    last: Mapping[str, int]  # sequence of each account's newest event, 0 without any
    sent: Mapping[str, Mapping[int, float]]  # per account and sequence: when the event's order was first sent
    orders: Mapping[Key, str]  # client order id of an event of the run
    run_prefix: str  # prefix of the run's client order ids


def gaps(ledger: Ledger, database: Database) -> Iterator[str]:
    """A sentence for each event that a socket missed, or received twice, out of order or with another order's id.

    And for each socket that was never started, that never received a hello, or that received one with a wrong sequence.
    """
    clients, expected = _clients(ledger), _expected(ledger, database)
    started = [client for client in clients.values() if client.started]
    for number in range(len(started), ledger.run.sockets):
        yield f"Only {number} of {ledger.run.sockets} WebSockets were started."
    for client in clients.values():
        if not client.started:
            yield f"WebSocket {client.socket} has records, but its client was never started."
            continue
        if not client.hellos:
            yield f"{client.name} never received a hello."
            continue
        if client.disconnected_at is not None and ledger.end.at - client.disconnected_at > HELLO_DEADLINE_SECONDS:
            yield f"{client.name} was disconnected at {client.disconnected_at:.1f} s and received no hello after that."
        yield from _wrong_hellos(client, expected)
        yield from _sequence_gaps(client, expected.last[client.account_id])
        yield from _wrong_orders(client, expected)


def late(ledger: Ledger) -> Iterator[str]:
    """A sentence for each event past EVENT_DEADLINE_SECONDS, and for each first hello past HELLO_DEADLINE_SECONDS."""
    acknowledged: dict[Key, float] = {}
    for at, order, answer in ledger.acknowledged():
        acknowledged.setdefault((order.account_id, answer.sequence), at)
    for client in _clients(ledger).values():
        if (
            client.started
            and client.hellos
            and (took := client.hellos[0].at - client.started.at) > HELLO_DEADLINE_SECONDS
        ):
            yield f"{client.name} received its first hello {took:.1f} s after it started to connect."
        for event in client.events:
            delay = event.at - acknowledged.get((event.account_id, event.sequence), event.at)
            if delay > EVENT_DEADLINE_SECONDS:
                yield f"{client.name} received event {event.sequence} {delay:.1f} s after its order was acknowledged."


def _wrong_hellos(client: Client, expected: Expected) -> Iterator[str]:
    first, *later = client.hellos
    for hello in client.hellos:
        if hello.account_id != client.account_id:
            yield f"{client.name} received the hello of account {hello.account_id}."
        if hello.sequence > expected.last[client.account_id]:
            newest = expected.last[client.account_id]
            yield f"{client.name} received a hello with sequence {hello.sequence}, but the account has {newest} events."
    for hello in later:
        if hello.sequence != hello.since:
            yield f"{client.name} requested events since {hello.since}, but its hello has sequence {hello.sequence}."
    for sequence, sent in expected.sent[client.account_id].items():
        if sequence <= first.sequence and sent > first.at:
            yield f"{client.name} received a hello that counts event {sequence}, whose order was sent later."


def _sequence_gaps(client: Client, last: int) -> Iterator[str]:
    start = client.hellos[0]
    sequences = [event.sequence for event in client.events]
    times = Counter(sequences)
    for sequence in range(start.sequence + 1, last + 1):
        if sequence not in times:
            yield f"{client.name} missed event {sequence}."
    for sequence, count in times.items():
        if count > 1:
            yield f"{client.name} received event {sequence} {count} times."
        if sequence <= start.sequence:
            yield f"{client.name} received event {sequence}, which its hello had already counted."
        if sequence > last:
            yield f"{client.name} received event {sequence}, which the account does not have."
    for before, after in pairwise(sequences):
        if after < before:
            yield f"{client.name} received event {after} after event {before}."


def _wrong_orders(client: Client, expected: Expected) -> Iterator[str]:
    for event in client.events:
        order = expected.orders.get((client.account_id, event.sequence))
        is_of_run = (
            event.client_order_id.startswith(expected.run_prefix) and event.sequence <= expected.last[client.account_id]
        )
        if event.client_order_id != order and (order or is_of_run):
            other = order or "another run's"
            yield f"{client.name} received event {event.sequence} of order {event.client_order_id}, not {other}."


def _expected(ledger: Ledger, database: Database) -> Expected:
    sent: dict[str, float] = {}
    for request in ledger.requests():
        if request.order and request.sent is not None:
            client_order_id = request.order.client_order_id
            sent[client_order_id] = min(request.sent, sent.get(client_order_id, request.sent))
    last: defaultdict[str, int] = defaultdict(int, {row.account_id: row.sequence for row in database.accounts})
    orders: dict[Key, str] = {}
    for _, order, answer in ledger.acknowledged():
        orders[order.account_id, answer.sequence] = order.client_order_id
    for row in database.events:
        orders[row.account_id, row.sequence] = row.client_order_id
    sent_for: defaultdict[str, dict[int, float]] = defaultdict(dict)
    for (account_id, sequence), client_order_id in orders.items():
        last[account_id] = max(last[account_id], sequence)
        if client_order_id in sent:
            sent_for[account_id][sequence] = sent[client_order_id]
    return Expected(last, sent_for, orders, f"{ledger.run.run}-")


def _clients(ledger: Ledger) -> dict[int, Client]:
    clients: dict[int, Client] = {}
    for record in ledger.records:
        if isinstance(record, SocketStarted | SocketOpened | SocketEvent):
            client = clients.setdefault(record.socket, Client(record.socket))
            if isinstance(record, SocketStarted):
                client.started = record
            elif isinstance(record, SocketOpened):
                client.hellos.append(record)
                client.disconnected_at = None
            else:
                client.events.append(record)
        elif isinstance(record, SocketClosed) and record.socket in clients:
            client = clients[record.socket]
            client.disconnected_at = record.at if client.disconnected_at is None else client.disconnected_at
    return clients
