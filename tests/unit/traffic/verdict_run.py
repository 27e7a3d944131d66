"""A run that kept every promise, and ways to break one thing in it; shared by the verdict's tests."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal

import msgspec
from rtx_traffic.ledger import (
    OPENING_BALANCE,
    End,
    Failure,
    Kind,
    Lane,
    Ledger,
    Order,
    OrderAnswer,
    Record,
    Request,
    Run,
    SocketClosed,
    SocketEvent,
    SocketOpened,
    SocketStarted,
    encode,
)
from rtx_traffic.rows import AccountFillRow, AccountRow, Database, EventRow, FillRow, HistoryRow, OrderRow, PositionRow
from rtx_traffic.stages import Stage
from rtx_traffic.verdict import Verdict, judge

ACCOUNT = "7"
RUN = Run("r", "http://e", 1e9, 600, 32, 100, sockets=1, accounts=1, duration=0)
NOON = dt.datetime(2026, 1, 2, 12, tzinfo=dt.UTC)
LOTS, PRICE, NOTHING = Decimal("0.1"), Decimal("1.08421"), Decimal(0)

Break = Callable[[list[Record], Database], Database | None]
"""Changes the records in place, or returns another database."""


def executed_at(number: int) -> dt.datetime:
    return NOON + dt.timedelta(seconds=number, microseconds=123450)


def request(number: int, *, kind: Kind = Kind.ORDER) -> Request:
    """An order that was bought and acknowledged, or its repeat."""
    order = Order(f"r-{number}", ACCOUNT, "EURUSD", "buy", "0.10")
    answer = OrderAnswer(
        order_id=f"id-{number}",
        client_order_id=f"r-{number}",
        status="filled",
        symbol="EURUSD",
        side="buy",
        quantity=Decimal("0.10"),
        price=Decimal("1.08421"),
        realised=Decimal("0.00"),
        executed_at=executed_at(number),
        epoch=1,
        colour="blue",
        sequence=number,
    )
    scheduled = number if kind is Kind.ORDER else 100 + number
    status = 201 if kind is Kind.ORDER else 200
    return Request(
        kind, Lane.NEW, number, number + 0.01, number, status, order=order, answer=answer, path="/o", number=scheduled
    )


def event(number: int, at: float, *, order: int | None = None) -> SocketEvent:
    return SocketEvent(0, ACCOUNT, number, at, f"r-{order or number}")


def order_row(number: int) -> OrderRow:
    """As numeric columns come back: equal, not spelled alike."""
    at = executed_at(number)
    return OrderRow(
        f"id-{number}", f"r-{number}", ACCOUNT, "EURUSD", "buy", LOTS, "filled", PRICE, NOTHING, at, 1, "blue", number
    )


def kept_run() -> tuple[list[Record], Database]:
    """Three orders, the second one repeated, and one socket that was cut off after the first event and came back."""
    records: list[Record] = [
        RUN,
        SocketStarted(0, ACCOUNT, 0.4),
        SocketOpened(0, ACCOUNT, 0.5, 0, "blue", None),
        request(1),
        event(1, 1.1),
        SocketClosed(0, 1.2, 1012),
        request(2),
        request(2, kind=Kind.REPEAT),
        SocketOpened(0, ACCOUNT, 2.5, 1, "green", 1),
        event(2, 2.6),
        request(3),
        event(3, 3.1),
        End(9.0, due=4),
    ]
    account = AccountRow(
        ACCOUNT,
        Decimal(OPENING_BALANCE),
        sequence=3,
        events=3,
        newest=3,
        fills_without_event=0,
        positions=(PositionRow("EURUSD", Decimal("0.30"), PRICE),),
        fills=(AccountFillRow("EURUSD", LOTS, PRICE, NOTHING),) * 3,
    )
    database = Database(
        orders=tuple(order_row(n) for n in (1, 2, 3)),
        fills=tuple(FillRow(f"id-{n}", ACCOUNT, "EURUSD", LOTS, PRICE, NOTHING, 1, committed_us=n) for n in (1, 2, 3)),
        events=tuple(EventRow(ACCOUNT, n, f"r-{n}", matches_order=True) for n in (1, 2, 3)),
        accounts=(account,),
        history=(HistoryRow(2, ("green",), "1.1.0-ab", 3), HistoryRow(1, ("blue",), "install", 0)),
    )
    return records, database


def judged(records: list[Record], database: Database, *stages: Stage) -> Verdict:
    ledger = Ledger.parse(encode(record) for record in records)
    return judge(ledger, Database.parse(msgspec.json.encode(database)), stages)


def judged_broken(broken: Break) -> Verdict:
    """The verdict over the kept run with one thing broken in it."""
    records, database = kept_run()
    return judged(records, broken(records, database) or database)


def replaced(records: list[Record], old: Record, *new: Record) -> None:
    """Put `new` where `old` stands."""
    place = records.index(old)
    records[place : place + 1] = new


def add_request(records: list[Record], request: Request) -> None:
    """One more that was due and is recorded, at the end."""
    end = records[-1]
    assert isinstance(end, End)
    number = 1000 + len(records)
    records[-1:] = [msgspec.structs.replace(request, number=number), End(end.at, end.due + 1)]


def unanswered(request: Request, **values: object) -> Request:
    """The same without an answer."""
    changes = {"status": None, "answer": None, "failure": Failure.RESET} | values
    return msgspec.structs.replace(request, **changes)


def other_order(**values: object) -> Break:
    """Another first order in the database."""
    return _other("orders", values)


def other_fill(**values: object) -> Break:
    return _other("fills", values)


def other_event(**values: object) -> Break:
    return _other("events", values)


def other_account(**values: object) -> Break:
    return _other("accounts", values)


def dropped(table: str, place: int) -> Break:
    """The database without one row."""

    def broken(_: list[Record], database: Database) -> Database:
        rows = list(getattr(database, table))
        del rows[place]
        return msgspec.structs.replace(database, **{table: tuple(rows)})

    return broken


def _other(table: str, values: dict[str, object]) -> Break:
    def broken(_: list[Record], database: Database) -> Database:
        first, *others = getattr(database, table)
        changed = msgspec.structs.replace(first, **values)
        return msgspec.structs.replace(database, **{table: (changed, *others)})

    return broken
