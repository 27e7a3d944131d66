"""What a run sent and saw: one JSON object a line, in the order in which it was known.

Times are monotonic seconds since the run's start; `Run.started_at` is the wall clock (Unix seconds) of second 0, the
same in all parts of a run.
"""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Self

import msgspec


class Lane(StrEnum):
    """How a request reaches the engine."""

    KEEP_ALIVE = "keep-alive"  # one of the connections that stay open for the whole run
    NEW = "new"  # a connection of its own


class Kind(StrEnum):
    """What a request is."""

    ORDER = "order"
    REPEAT = "repeat"  # an order sent before, under the same client_order_id with the same payload
    READ = "read"
    SOCKET = "socket"  # the handshake of a WebSocket


class Failure(StrEnum):
    """Why a request counts as failed."""

    UNSENT = "unsent"  # due, but not sent within the patience of the schedule
    REFUSED = "refused"
    CONNECT_TIMEOUT = "connect time-out"
    RESET = "reset"
    CLOSED = "closed before the answer"
    ANSWER_TIMEOUT = "answer time-out"
    MALFORMED = "malformed answer"
    CLIENT_ERROR = "status 4xx"
    SERVER_ERROR = "status 5xx"


class Run(msgspec.Struct, frozen=True, tag="run", tag_field="record"):
    """The first line: what was asked for."""

    run: str  # prefix of every client_order_id; the same in all parts of a run
    url: str
    started_at: float
    rate: float
    keep_alive: int
    new_per_second: float
    sockets: int
    accounts: int
    duration: float  # 0: until told
    part: int = 0  # of `parts`, from 0: a load may come from several pods, each with a share of the numbers above
    parts: int = 1


class Order(msgspec.Struct, frozen=True):
    """An order as it was asked for; quantity is a decimal string in lots."""

    client_order_id: str
    account_id: str
    symbol: str
    side: str
    quantity: str


class OrderAnswer(msgspec.Struct, frozen=True):
    """The engine's acknowledgement, as it was read from the wire."""

    order_id: str
    client_order_id: str
    status: str
    symbol: str
    side: str
    quantity: str
    price: str
    epoch: int
    colour: str
    sequence: int


class Request(msgspec.Struct, frozen=True, tag="request", tag_field="record", omit_defaults=True):
    """One request and its end. Acknowledged means: `answer` is there."""

    kind: Kind
    lane: Lane
    due: float
    ended: float
    sent: float | None = None
    status: int | None = None
    failure: Failure | None = None
    detail: str = ""  # the engine's own reason, or the operating system's
    path: str = ""
    version: str = ""  # of the engine's build that answered, when it says so: it does with each 5xx
    order: Order | None = None
    answer: OrderAnswer | None = None


class SocketOpened(msgspec.Struct, frozen=True, tag="opened", tag_field="record"):
    """A WebSocket said hello. `since` is None the first time: events up to `sequence` are not expected on it."""

    socket: int
    account_id: str
    at: float
    sequence: int
    colour: str
    since: int | None


class SocketEvent(msgspec.Struct, frozen=True, tag="event", tag_field="record"):
    """An account event that a WebSocket received."""

    socket: int
    account_id: str
    sequence: int
    at: float


class SocketClosed(msgspec.Struct, frozen=True, tag="closed", tag_field="record"):
    """A WebSocket ended; code 1006 means that no close frame came."""

    socket: int
    at: float
    code: int


class End(msgspec.Struct, frozen=True, tag="end", tag_field="record"):
    """The last line. A ledger without it is of a run that was cut off."""

    at: float


Record = Run | Request | SocketOpened | SocketEvent | SocketClosed | End

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Record)


class IncompleteLedgerError(ValueError):
    """The ledger lacks its first or its last line, so nothing can be concluded from it."""


class MismatchedLedgersError(ValueError):
    """The ledgers are not the parts of one run."""


class Ledger(msgspec.Struct, frozen=True):
    """A whole run, read back."""

    run: Run
    records: tuple[Record, ...]

    @classmethod
    def parse(cls, lines: Iterable[bytes]) -> Self:
        """Read a ledger file's lines; raises IncompleteLedgerError or msgspec.DecodeError."""
        records = tuple(_decoder.decode(line) for line in lines if line.strip())
        if not records or not isinstance(records[0], Run):
            raise IncompleteLedgerError(
                "The ledger does not begin with its run record: fetch it again from its first line."
            )
        if not isinstance(records[-1], End):
            raise IncompleteLedgerError("The ledger has no end record: the run was cut off, or is still going on.")
        return cls(run=records[0], records=records)

    @classmethod
    def merge(cls, parts: Sequence[Self]) -> Self:
        """The one run that the parts of a load were; raises MismatchedLedgersError."""
        runs = sorted((part.run for part in parts), key=lambda run: run.part)
        told = [(run.run, run.started_at, run.part, run.parts) for run in runs]
        if told != [(runs[0].run, runs[0].started_at, part, len(parts)) for part in range(len(parts))]:
            raise MismatchedLedgersError(
                f"These are not the parts of one run: {told}. Fetch the ledger of each pod again."
            )
        whole = msgspec.structs.replace(
            runs[0],
            rate=sum(run.rate for run in runs),
            keep_alive=sum(run.keep_alive for run in runs),
            new_per_second=sum(run.new_per_second for run in runs),
            sockets=sum(run.sockets for run in runs),
            parts=1,
        )
        between = heapq.merge(*(part.records[1:-1] for part in parts), key=_known_at)
        end = End(max(part.records[-1].at for part in parts if isinstance(part.records[-1], End)))
        return cls(run=whole, records=(whole, *between, end))

    def write(self, path: Path) -> None:
        """Write it to a file that `parse` reads again; its folder is made."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.writelines(encode(record) for record in self.records)

    def requests(self) -> Iterator[Request]:
        return (record for record in self.records if isinstance(record, Request))

    def acknowledged(self) -> Iterator[tuple[float, Order, OrderAnswer]]:
        """When, what was asked, what was answered; repeats included."""
        for request in self.requests():
            if request.order and request.answer:
                yield request.ended, request.order, request.answer


def _known_at(record: Record) -> float:
    if isinstance(record, Request):
        return record.ended
    return 0.0 if isinstance(record, Run) else record.at


def encode(record: Record) -> bytes:
    """The line of a record, newline included."""
    return _encoder.encode(record) + b"\n"
