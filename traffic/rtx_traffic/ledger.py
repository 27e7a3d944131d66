"""The ledger of a run: everything sent and received, one JSON object per line, in order of observation.

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

OPENING_BALANCE = "100000000.00"  # dollars; large enough that no order is rejected for its margin


class Lane(StrEnum):
    """How a request reaches the engine."""

    KEEP_ALIVE = "keep-alive"  # one of the connections that stay open during the run
    NEW = "new"  # a connection of its own


class Kind(StrEnum):
    """The kind of a request."""

    ORDER = "order"
    REPEAT = "repeat"  # an order sent before, under the same client_order_id with the same payload
    READ = "read"
    SOCKET = "socket"  # the handshake of a WebSocket
    SESSION = "session"  # another token for an account

    @property
    def is_scheduled(self) -> bool:
        """Whether the schedule says when it is due."""
        return self not in {Kind.SOCKET, Kind.SESSION}


class Failure(StrEnum):
    """Why a request counts as failed."""

    UNSENT = "unsent"  # due, but not sent within load.MAX_QUEUE_SECONDS
    REFUSED = "refused"
    CONNECT_TIMEOUT = "connect time-out"
    RESET = "reset"
    CLOSED = "closed before the answer"
    ANSWER_TIMEOUT = "answer time-out"
    MALFORMED = "malformed answer"
    CLIENT_ERROR = "status 4xx"
    SERVER_ERROR = "status 5xx"
    INCOMPLETE = "neither answer nor failure"  # of a record that lacks both; never recorded


class Run(msgspec.Struct, frozen=True, tag="run", tag_field="record"):
    """The first line: the run's settings."""

    run: str  # prefix of every client_order_id; the same in all parts of a run
    url: str
    started_at: float
    rate: float
    keep_alive: int
    new_per_second: float
    sockets: int
    accounts: int
    duration: float  # 0: until stopped
    part: int = 0  # of `parts`, from 0: a load may come from several pods, each with a share of the numbers above
    parts: int = 1
    opening_balance: str = OPENING_BALANCE  # of every account that the run trades on


class Order(msgspec.Struct, frozen=True):
    """An order as requested; quantity is a decimal string in lots."""

    client_order_id: str
    account_id: str
    symbol: str
    side: str
    quantity: str


class OrderAnswer(msgspec.Struct, frozen=True):
    """The engine's acknowledgement. Two are equal when their values are equal.

    Numbers and times are compared by value: "0" equals "0.00".
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
    quoted_at: dt.datetime | None = None  # absent in answers of version 1.0


class Request(msgspec.Struct, frozen=True, tag="request", tag_field="record", omit_defaults=True):
    """One request and its end. It is acknowledged when `answer` is set."""

    kind: Kind
    lane: Lane
    due: float
    ended: float
    sent: float | None = None
    status: int | None = None
    failure: Failure | None = None
    detail: str = ""  # the engine's own reason, or the operating system's
    path: str = ""
    version: str = ""  # of the responding build; set with each 5xx
    order: Order | None = None
    answer: OrderAnswer | None = None
    number: int | None = None  # in the schedule, unique over all parts of a run; None: not of the schedule

    @property
    def failed(self) -> Failure | None:
        """The reason why it counts as failed; None only when it was sent and answered, an order as filled."""
        is_answered = self.answer if self.kind in {Kind.ORDER, Kind.REPEAT} else self.status
        if self.failure or not (self.sent is None or self.status is None or is_answered is None):
            return self.failure
        return Failure.INCOMPLETE


class SocketStarted(msgspec.Struct, frozen=True, tag="started", tag_field="record"):
    """A WebSocket client started to connect; from now on it must receive its account's events."""

    socket: int
    account_id: str
    at: float


class SocketOpened(msgspec.Struct, frozen=True, tag="opened", tag_field="record"):
    """A WebSocket received its hello. `since` is None the first time: events up to `sequence` are not expected."""

    socket: int
    account_id: str  # from the engine's hello
    at: float
    sequence: int
    colour: str
    since: int | None


class SocketEvent(msgspec.Struct, frozen=True, tag="event", tag_field="record"):
    """An account event that a WebSocket received, with its order."""

    socket: int
    account_id: str
    sequence: int
    at: float
    client_order_id: str


class SocketClosed(msgspec.Struct, frozen=True, tag="closed", tag_field="record"):
    """A WebSocket ended; code 1006: without a close frame."""

    socket: int
    at: float
    code: int


class Crash(msgspec.Struct, frozen=True, tag="crash", tag_field="record"):
    """A task of the load generator ended with an exception; its record is missing."""

    at: float
    task: str
    error: str


class End(msgspec.Struct, frozen=True, tag="end", tag_field="record"):
    """The last line. A ledger without it is incomplete."""

    at: float
    due: int  # scheduled requests whose time came, by the clock and not by their records
    planned: int = 0  # requests in the whole schedule; 0: endless, or stopped early
    idle_parts: tuple[int, ...] = ()  # of a merged run: the parts that sent nothing

    @property
    def expected_requests(self) -> int:
        """The number of scheduled requests that the ledger must hold."""
        return max(self.due, self.planned)


Record = Run | Request | SocketStarted | SocketOpened | SocketEvent | SocketClosed | Crash | End

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Record)


class IncompleteLedgerError(ValueError):
    """The ledger lacks its first or last line, so it proves nothing."""


class MalformedLedgerError(ValueError):
    """The ledger has a first or last record in the middle, so it is not of one run."""


class MismatchedLedgersError(ValueError):
    """The ledgers are not the parts of one run."""


class Ledger(msgspec.Struct, frozen=True):
    """The parsed ledger of a whole run."""

    run: Run
    records: tuple[Record, ...]

    @classmethod
    def parse(cls, lines: Iterable[bytes]) -> Self:
        """Parse a ledger file's lines. Raises IncompleteLedgerError, MalformedLedgerError or msgspec.DecodeError."""
        records = tuple(_decoder.decode(line) for line in lines if line.strip())
        if not records or not isinstance(records[0], Run):
            raise IncompleteLedgerError(
                "The ledger does not begin with its run record: fetch it again from its first line."
            )
        if not isinstance(records[-1], End):
            raise IncompleteLedgerError("The ledger has no end record: the run was cut off or is still running.")
        if any(isinstance(record, Run | End) for record in records[1:-1]):
            raise MalformedLedgerError("The ledger continues after its end record, or begins twice: fetch it again.")
        return cls(run=records[0], records=records)

    @classmethod
    def merge(cls, parts: Sequence[Self]) -> Self:
        """Merge the ledgers of all parts of a run. Raises MismatchedLedgersError."""
        runs = sorted((part.run for part in parts), key=lambda run: run.part)
        identities = [(run.run, run.started_at, run.part, run.parts) for run in runs]
        if identities != [(runs[0].run, runs[0].started_at, part, len(parts)) for part in range(len(parts))]:
            raise MismatchedLedgersError(
                f"These are not the parts of one run: {identities}. Fetch the ledger of each pod again."
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
        """Write the ledger to a file for `parse`; creates the folder."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.writelines(encode(record) for record in self.records)

    def requests(self) -> Iterator[Request]:
        return (record for record in self.records if isinstance(record, Request))

    def scheduled(self) -> Iterator[Request]:
        """The requests of the schedule: all but the handshakes of WebSockets and the renewals of tokens."""
        return (request for request in self.requests() if request.kind.is_scheduled)

    def idle_parts(self) -> tuple[int, ...]:
        """The parts of the run that sent no scheduled request."""
        if any(request.sent is not None for request in self.scheduled()):
            return self.end.idle_parts
        return self.end.idle_parts or (self.run.part,)

    def account_ids(self) -> list[str]:
        """The sorted ids of the accounts on which the run traded or listened."""
        traded = {request.order.account_id for request in self.requests() if request.order}
        listened = {record.account_id for record in self.records if isinstance(record, SocketStarted)}
        return sorted(traded | listened)

    def acknowledged(self) -> Iterator[tuple[float, Order, OrderAnswer]]:
        """(time, order, answer) of each acknowledged request, repeats included."""
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
