"""What a run sent and saw: one JSON object a line, in the order in which it was known.

Times are monotonic seconds since the run's start; `Run.started_at` is the wall clock (Unix seconds) of second 0, the
same in all parts of a run.
"""

import datetime as dt
import heapq
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Self

import msgspec

OPENING_BALANCE = "100000000.00"  # dollars; so large that no order of a load is ever refused for its margin


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
    INCOMPLETE = "neither answer nor failure"  # what a record says that lacks both; no request is recorded as such


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
    opening_balance: str = OPENING_BALANCE  # of every account that the run trades on, when it was made


class Order(msgspec.Struct, frozen=True):
    """An order as it was asked for; quantity is a decimal string in lots."""

    client_order_id: str
    account_id: str
    symbol: str
    side: str
    quantity: str


class OrderAnswer(msgspec.Struct, frozen=True):
    """The engine's acknowledgement: all that releases answer. Two are equal when their values are.

    Numbers and times are compared by value: "0" and "0.00" are the same dollars.
    """

    order_id: str
    client_order_id: str
    status: str
    symbol: str
    side: str
    quantity: Decimal
    price: Decimal
    realised: Decimal
    executed_at: dt.datetime
    epoch: int
    colour: str
    sequence: int
    quoted_at: dt.datetime | None = None  # version 1.0 does not answer it, whoever has filled the order


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
    number: int | None = None  # in the schedule, unique over all parts of a run; None: not of the schedule

    @property
    def failed(self) -> Failure | None:
        """Why it counts as failed. Only a request that was sent and answered, an order as filled, does not."""
        is_answered = self.answer if self.kind in {Kind.ORDER, Kind.REPEAT} else self.status
        if self.failure or not (self.sent is None or self.status is None or is_answered is None):
            return self.failure
        return Failure.INCOMPLETE


class SocketStarted(msgspec.Struct, frozen=True, tag="started", tag_field="record"):
    """A WebSocket client began to connect. From now on it must see its account's events."""

    socket: int
    account_id: str
    at: float


class SocketOpened(msgspec.Struct, frozen=True, tag="opened", tag_field="record"):
    """A WebSocket received its hello. `since` is None the first time: events up to `sequence` are not expected."""

    socket: int
    account_id: str  # as the engine's hello has it
    at: float
    sequence: int
    colour: str
    since: int | None


class SocketEvent(msgspec.Struct, frozen=True, tag="event", tag_field="record"):
    """An account event that a WebSocket received, and the order that it told."""

    socket: int
    account_id: str
    sequence: int
    at: float
    client_order_id: str


class SocketClosed(msgspec.Struct, frozen=True, tag="closed", tag_field="record"):
    """A WebSocket ended; code 1006 means that no close frame came."""

    socket: int
    at: float
    code: int


class Crash(msgspec.Struct, frozen=True, tag="crash", tag_field="record"):
    """A task of the load generator itself ended with an exception; what it was to record is missing."""

    at: float
    task: str
    error: str


class End(msgspec.Struct, frozen=True, tag="end", tag_field="record"):
    """The last line. A ledger without it is of a run that was cut off."""

    at: float
    due: int  # requests of the schedule whose time came, counted by the clock and not by their records
    planned: int = 0  # requests that the whole schedule has; 0: it has no end, or the run was stopped before it
    idle_parts: tuple[int, ...] = ()  # of a merged run: the parts that sent nothing

    @property
    def expected_requests(self) -> int:
        """How many requests the ledger must hold."""
        return max(self.due, self.planned)


Record = Run | Request | SocketStarted | SocketOpened | SocketEvent | SocketClosed | Crash | End

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Record)


class IncompleteLedgerError(ValueError):
    """The ledger lacks its first or its last line, so nothing can be concluded from it."""


class MalformedLedgerError(ValueError):
    """The ledger has a first or a last record between the others, so it is not of one run."""


class MismatchedLedgersError(ValueError):
    """The ledgers are not the parts of one run."""


class Ledger(msgspec.Struct, frozen=True):
    """A whole run, read back."""

    run: Run
    records: tuple[Record, ...]

    @classmethod
    def parse(cls, lines: Iterable[bytes]) -> Self:
        """Read a ledger file's lines; raises IncompleteLedgerError, MalformedLedgerError or msgspec.DecodeError."""
        records = tuple(_decoder.decode(line) for line in lines if line.strip())
        if not records or not isinstance(records[0], Run):
            raise IncompleteLedgerError(
                "The ledger does not begin with its run record: fetch it again from its first line."
            )
        if not isinstance(records[-1], End):
            raise IncompleteLedgerError("The ledger has no end record: the run was cut off, or is still going on.")
        if any(isinstance(record, Run | End) for record in records[1:-1]):
            raise MalformedLedgerError("The ledger goes on after its end record, or begins twice: fetch it again.")
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
        return cls(run=whole, records=(whole, *between, _merged_end(parts)))

    @property
    def end(self) -> End:
        """The last record."""
        end = self.records[-1]
        if not isinstance(end, End):
            raise IncompleteLedgerError("The ledger has no end record.")
        return end

    def write(self, path: Path) -> None:
        """Write it to a file that `parse` reads again; its folder is made."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.writelines(encode(record) for record in self.records)

    def requests(self) -> Iterator[Request]:
        return (record for record in self.records if isinstance(record, Request))

    def scheduled(self) -> Iterator[Request]:
        """The requests of the schedule: all but the handshakes of WebSockets."""
        return (request for request in self.requests() if request.kind is not Kind.SOCKET)

    def idle_parts(self) -> tuple[int, ...]:
        """The parts of the run that sent no request of the schedule."""
        if any(request.sent is not None for request in self.scheduled()):
            return self.end.idle_parts
        return self.end.idle_parts or (self.run.part,)

    def account_ids(self) -> list[str]:
        """The accounts on which the run traded or listened."""
        traded = {request.order.account_id for request in self.requests() if request.order}
        listened = {record.account_id for record in self.records if isinstance(record, SocketStarted)}
        return sorted(traded | listened)

    def acknowledged(self) -> Iterator[tuple[float, Order, OrderAnswer]]:
        """When, what was asked, what was answered; repeats included."""
        for request in self.requests():
            if request.order and request.answer:
                yield request.ended, request.order, request.answer


def _merged_end(parts: Sequence[Ledger]) -> End:
    ends = [part.end for part in parts]
    return End(
        at=max(end.at for end in ends),
        due=sum(end.due for end in ends),
        planned=sum(end.expected_requests for end in ends),
        idle_parts=tuple(sorted(number for part in parts for number in part.idle_parts())),
    )


def _known_at(record: Record) -> float:
    if isinstance(record, Request):
        return record.ended
    return 0.0 if isinstance(record, Run) else record.at


def encode(record: Record) -> bytes:
    """The line of a record, newline included."""
    return _encoder.encode(record) + b"\n"
