"""What the WebSockets saw against what they should have seen, each across its reconnects. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise

from .ledger import Ledger, SocketEvent, SocketOpened
from .rows import Database

EVENT_DEADLINE = 5.0  # seconds from an acknowledgement to its event on every socket of the account


def missed(ledger: Ledger, database: Database) -> Iterator[str]:
    """A sentence for each event that a socket never saw, saw twice, or saw out of order."""
    last: dict[str, int] = defaultdict(int)
    for row in database.events:
        last[row.account_id] = max(last[row.account_id], row.sequence)
    for _, order, answer in ledger.acknowledged():
        last[order.account_id] = max(last[order.account_id], answer.sequence)
    seen = _seen(ledger)
    for socket, start in _starts(ledger).items():
        sequences = [event.sequence for event in seen[socket]]
        yield from _missed_by(start, sequences, until=last[start.account_id])


def late(ledger: Ledger) -> Iterator[str]:
    """A sentence for each event that came later than EVENT_DEADLINE after its order was acknowledged."""
    acknowledged: dict[tuple[str, int], float] = {}
    for at, order, answer in ledger.acknowledged():
        acknowledged.setdefault((order.account_id, answer.sequence), at)
    for socket, events in _seen(ledger).items():
        for event in events:
            delay = event.at - acknowledged.get((event.account_id, event.sequence), event.at)
            if delay > EVENT_DEADLINE:
                yield f"WebSocket {socket} saw event {event.sequence} {delay:.1f} s after its order was acknowledged."


def _missed_by(start: SocketOpened, sequences: list[int], *, until: int) -> Iterator[str]:
    who = f"WebSocket {start.socket} of account {start.account_id}"
    times = Counter(sequences)
    for sequence in range(start.sequence + 1, until + 1):
        if sequence not in times:
            yield f"{who} never saw event {sequence}."
    for sequence, count in times.items():
        if count > 1:
            yield f"{who} saw event {sequence} {count} times."
        if sequence <= start.sequence:
            yield f"{who} saw event {sequence}, which its hello had counted already."
    for before, after in pairwise(sequences):
        if after < before:
            yield f"{who} saw event {after} after {before}."


def _starts(ledger: Ledger) -> dict[int, SocketOpened]:
    """Where each socket began to listen: its first hello."""
    starts: dict[int, SocketOpened] = {}
    for record in ledger.records:
        if isinstance(record, SocketOpened):
            starts.setdefault(record.socket, record)
    return starts


def _seen(ledger: Ledger) -> defaultdict[int, list[SocketEvent]]:
    seen: defaultdict[int, list[SocketEvent]] = defaultdict(list)
    for record in ledger.records:
        if isinstance(record, SocketEvent):
            seen[record.socket].append(record)
    return seen
