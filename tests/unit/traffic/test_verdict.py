"""Each check of the verdict is first seen to fail: a run in which everything was kept, then one thing broken in it."""

from collections.abc import Callable
from decimal import Decimal

import msgspec
import pytest
from rtx_traffic import fenced
from rtx_traffic.ledger import (
    End,
    Failure,
    IncompleteLedgerError,
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
    encode,
)
from rtx_traffic.rows import Database, EventRow, FillRow, HistoryRow, OrderRow, PositionRow
from rtx_traffic.stages import Count, Stage
from rtx_traffic.verdict import Verdict, judge

ACCOUNT = "7"
RUN = Run("r", "http://e", 1e9, 600, 32, 100, 1, 1, 30)


def request(number: int, *, kind: Kind = Kind.ORDER) -> Request:
    order = Order(f"r-{number}", ACCOUNT, "EURUSD", "buy", "0.10")
    answer = OrderAnswer(f"id-{number}", f"r-{number}", "filled", "EURUSD", "buy", "0.10", "1.08421", 1, "blue", number)
    return Request(kind, Lane.NEW, number, number + 0.01, number, 201, order=order, answer=answer, path="/o")


def kept_run() -> tuple[list[Record], Database]:
    """Three orders, the second one repeated, and one socket that was cut off after the first event and came back."""
    records: list[Record] = [
        RUN,
        SocketOpened(0, ACCOUNT, 0.5, 0, "blue", None),
        request(1),
        SocketEvent(0, ACCOUNT, 1, 1.1),
        SocketClosed(0, 1.2, 1012),
        request(2),
        request(2, kind=Kind.REPEAT),
        SocketOpened(0, ACCOUNT, 2.5, 2, "green", 1),
        SocketEvent(0, ACCOUNT, 2, 2.6),
        request(3),
        SocketEvent(0, ACCOUNT, 3, 3.1),
        End(9.0),
    ]
    lots, price = Decimal("0.1"), Decimal("1.08421")  # as numeric columns come back: equal, not spelled alike
    database = Database(
        orders=tuple(
            OrderRow(f"id-{n}", f"r-{n}", ACCOUNT, "EURUSD", "buy", lots, "filled", "blue") for n in (1, 2, 3)
        ),
        fills=tuple(FillRow(f"id-{n}", lots, price, 1, committed_us=n) for n in (1, 2, 3)),
        positions=(PositionRow(ACCOUNT, "EURUSD", Decimal("0.30"), Decimal("0.3")),),
        events=tuple(EventRow(ACCOUNT, n, f"r-{n}") for n in (1, 2, 3)),
        history=(HistoryRow(2, ("green",), "1.1.0-ab", 3), HistoryRow(1, ("blue",), "install", 0)),
    )
    return records, database


def judged(records: list[Record], database: Database, *stages: Stage) -> Verdict:
    ledger = Ledger.parse(encode(record) for record in records)
    return judge(ledger, Database.parse(msgspec.json.encode(database)), stages)


def test_a_run_in_which_everything_was_kept() -> None:
    # given a run with a repeat and a reconnect, when it is judged
    verdict = judged(*kept_run())

    # then every promise was kept, and the counts are those of the ledger
    assert verdict.kept
    assert verdict.findings == ()
    assert (verdict.requests, verdict.orders_sent, verdict.orders_acknowledged) == (4, 3, 3)
    assert (verdict.orders_in_database, verdict.websocket_events, verdict.websocket_reconnects) == (3, 3, 1)
    assert verdict.latency["order"].p50_ms == 10.0


Break = Callable[[list[Record], Database], Database | None]


def row_dropped(_: list[Record], database: Database) -> Database:
    return msgspec.structs.replace(database, orders=database.orders[:-1])


def fill_dropped(_: list[Record], database: Database) -> Database:
    return msgspec.structs.replace(database, fills=database.fills[:-1])


def event_row_dropped(_: list[Record], database: Database) -> Database:
    return msgspec.structs.replace(database, events=database.events[1:])


def other_order(**values: object) -> Break:
    def broken(_: list[Record], database: Database) -> Database:
        changed = msgspec.structs.replace(database.orders[0], **values)
        return msgspec.structs.replace(database, orders=(changed, *database.orders[1:]))

    return broken


def other_fill(**values: object) -> Break:
    def broken(_: list[Record], database: Database) -> Database:
        changed = msgspec.structs.replace(database.fills[0], **values)
        return msgspec.structs.replace(database, fills=(changed, *database.fills[1:]))

    return broken


@pytest.mark.parametrize(
    "broken",
    [
        row_dropped,
        fill_dropped,
        event_row_dropped,
        other_order(quantity=Decimal(2)),
        other_order(side="sell"),
        other_order(symbol="GBPUSD"),
        other_order(account_id="8"),
        other_order(status="rejected"),
        other_fill(price=Decimal("1.08422")),
        other_fill(quantity=Decimal("0.05")),
        other_fill(epoch=2),
        other_fill(quantity=Decimal("-0.1")),
        other_order(colour="green"),
    ],
)
def test_an_acknowledged_order_that_the_database_lacks_or_holds_otherwise_is_lost(broken: Break) -> None:
    # given a kept run, when one value of one acknowledged order is taken away or changed in the database
    records, database = kept_run()
    verdict = judged(records, broken(records, database) or database)

    # then exactly one order is lost, and the run was not kept
    assert verdict.orders_lost == 1
    assert not verdict.kept


def test_an_order_that_was_never_acknowledged_cannot_be_lost() -> None:
    # given a kept run whose third order got no answer but is in the database all the same
    records, database = kept_run()
    failed = msgspec.structs.replace(request(3), status=None, answer=None, failure=Failure.RESET)
    records[records.index(request(3))] = failed

    # when it is judged, then it is a failed request and nothing else
    verdict = judged(records, database)
    assert (verdict.orders_lost, verdict.orders_doubled, verdict.websocket_gaps) == (0, 0, 0)
    assert (verdict.failed_requests, verdict.failures) == (1, {"reset": 1})
    assert not verdict.kept


def filled_twice(_: list[Record], database: Database) -> Database:
    return msgspec.structs.replace(database, fills=(*database.fills, database.fills[0]))


def in_the_table_twice(_: list[Record], database: Database) -> Database:
    return msgspec.structs.replace(database, orders=(*database.orders, database.orders[0]))


def position_too_large(_: list[Record], database: Database) -> Database:
    position = msgspec.structs.replace(database.positions[0], quantity=Decimal("0.4"))
    return msgspec.structs.replace(database, positions=(position,))


def repeat_answered_as_another_order(records: list[Record], _: Database) -> None:
    place = next(n for n, record in enumerate(records) if isinstance(record, Request) and record.kind is Kind.REPEAT)
    repeat = request(2, kind=Kind.REPEAT)
    assert repeat.answer
    answer = msgspec.structs.replace(repeat.answer, order_id="id-2b")
    records[place] = msgspec.structs.replace(repeat, answer=answer)


@pytest.mark.parametrize(
    "broken", [filled_twice, in_the_table_twice, position_too_large, repeat_answered_as_another_order]
)
def test_an_order_executed_twice_is_doubled(broken: Break) -> None:
    # given a kept run, when one sign of a double execution is put in
    records, database = kept_run()
    verdict = judged(records, broken(records, database) or database)

    # then one order is doubled, and the run was not kept
    assert verdict.orders_doubled == 1
    assert not verdict.kept


def event_missing(records: list[Record], _: Database) -> None:
    records.remove(SocketEvent(0, ACCOUNT, 2, 2.6))


def last_event_missing(records: list[Record], _: Database) -> None:
    records.remove(SocketEvent(0, ACCOUNT, 3, 3.1))


def event_twice(records: list[Record], _: Database) -> None:
    records.insert(-1, SocketEvent(0, ACCOUNT, 3, 3.2))


def event_late(records: list[Record], _: Database) -> None:
    records.remove(SocketEvent(0, ACCOUNT, 3, 3.1))
    records.insert(-1, SocketEvent(0, ACCOUNT, 3, 8.1))


def events_swapped(records: list[Record], _: Database) -> None:
    one, two = SocketEvent(0, ACCOUNT, 2, 2.6), SocketEvent(0, ACCOUNT, 3, 3.1)
    records[records.index(two)], records[records.index(one)] = one, two


def event_of_the_unanswered_order_missing(records: list[Record], database: Database) -> Database:
    event = EventRow(ACCOUNT, 4, "r-4")
    return msgspec.structs.replace(database, events=(*database.events, event))


@pytest.mark.parametrize(
    "broken",
    [
        event_missing,
        last_event_missing,
        event_twice,
        event_late,
        events_swapped,
        event_of_the_unanswered_order_missing,
    ],
)
def test_an_event_missed_doubled_swapped_or_late_is_a_gap(broken: Break) -> None:
    # given a kept run, when one event goes wrong on the socket
    records, database = kept_run()
    verdict = judged(records, broken(records, database) or database)

    # then there is one gap, and the run was not kept
    assert verdict.websocket_gaps == 1
    assert verdict.websocket_late == (broken is event_late)
    assert not verdict.kept


def history(*rows: HistoryRow) -> Break:
    return lambda _, database: msgspec.structs.replace(database, history=rows)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (other_fill(epoch=7), "A fill of order id-1 bears epoch 7, which the fence never had."),
        (other_fill(epoch=2), "A fill of order id-1 is of colour blue, and epoch 2 named green."),
        (other_fill(committed_us=5), "A fill of order id-1 of epoch 1 was committed 2 µs after the next epoch."),
        (other_fill(committed_us=None), "A fill of order id-1 of epoch 1 has no commit time to compare"),
        (
            history(HistoryRow(1, ("blue",), "c", 0), HistoryRow(2, (), "c", 2), HistoryRow(3, ("blue",), "c", 9)),
            "A fill of order id-3 of epoch 1 was committed 1 µs after the next epoch.",
        ),
    ],
)
def test_a_fill_that_the_fence_should_have_prevented_is_found(broken: Break, said: str) -> None:
    # given a kept run, when one fill comes from a colour or at a time that the fence did not allow
    records, database = kept_run()
    verdict = judged(records, broken(records, database) or database)

    # then it is counted, told, and the run was not kept
    assert verdict.fenced_executions == 1
    assert any(finding.startswith(said) for finding in verdict.findings)
    assert not verdict.kept


def test_a_fence_without_its_history_proves_nothing() -> None:
    # given a kept run, when the fence's history does not know the epoch of the fills, then no fill is taken for right
    records, database = kept_run()
    assert judged(records, msgspec.structs.replace(database, history=())).fenced_executions == len(database.fills)


@pytest.mark.parametrize(("green_at", "overlap"), [((4, 5), 0.0), ((2, 4), 1e-6), ((2,), 1e-6), ((), 0.0)])
def test_how_long_two_colours_executed_at_once_is_told(green_at: tuple[int, ...], overlap: float) -> None:
    # given blue's fills at 1, 2 and 3 µs, and green's
    _, database = kept_run()
    row, fill = database.orders[0], database.fills[0]
    ids = [f"g-{at}" for at in green_at]
    orders = [msgspec.structs.replace(row, order_id=id_, colour="green") for id_ in ids]
    fills = [
        msgspec.structs.replace(fill, order_id=id_, committed_us=at) for id_, at in zip(ids, green_at, strict=True)
    ]

    # when the time is asked for in which both executed, then it is from green's first to blue's last
    both = Database(orders=(*database.orders, *orders), fills=(*database.fills, *fills))
    assert fenced.overlap_s(both) == overlap


def failed_request(due: float, *, version: str = "", failure: Failure = Failure.SERVER_ERROR) -> Request:
    status = 500 if failure is Failure.SERVER_ERROR else None
    return Request(Kind.READ, Lane.NEW, due, due + 0.01, due, status, failure=failure, path="/p", version=version)


def test_what_the_broken_version_answers_itself_is_counted_apart() -> None:
    # given a run in which a broken version was tried from second 4 to 6, and answered one request with 500
    records, database = kept_run()
    records.insert(-1, failed_request(5, version="1.2.0"))
    stages = Stage("upgrade", 0, 4), Stage("rollback", 4, 6, broken_version="1.2.0")

    # when it is judged, then that is no broken promise, but it is told
    verdict = judged(records, database, *stages)
    assert verdict.kept
    assert (verdict.failed_requests, verdict.broken_version_failed_requests) == (0, 1)
    assert verdict.stages == {"upgrade": Count(4, 0, 0), "rollback": Count(1, 0, 1)}


@pytest.mark.parametrize(
    "request_",
    [
        failed_request(5, version="1.1.0"),
        failed_request(5),
        failed_request(3.9, version="1.2.0"),
        failed_request(6, version="1.2.0"),
        failed_request(5, version="1.2.0", failure=Failure.RESET),
    ],
)
def test_every_other_failure_is_nobodys_excuse(request_: Request) -> None:
    # given the same trial, when a request fails by another version, at another time, or without an answer
    records, database = kept_run()
    records.insert(-1, request_)

    # then it is a failed request
    verdict = judged(records, database, Stage("rollback", 4, 6, broken_version="1.2.0"))
    assert (verdict.failed_requests, verdict.broken_version_failed_requests) == (1, 0)
    assert not verdict.kept


def test_a_request_that_was_due_and_not_sent_is_a_failed_one() -> None:
    # given a request that found no free connection, when the run is judged
    records, database = kept_run()
    records.insert(1, Request(Kind.READ, Lane.KEEP_ALIVE, 0.1, 1.1, failure=Failure.UNSENT, detail="busy", path="/p"))

    # then it counts, with its reason
    verdict = judged(records, database)
    assert (verdict.failed_requests, verdict.failures) == (1, {"unsent: busy": 1})


def test_each_way_to_fail_is_told_once_with_its_first() -> None:
    # given two requests of a version that failed alike, and one reset
    records, database = kept_run()
    records.insert(-1, failed_request(5, version="1.1.0"))
    records.insert(-1, failed_request(4, version="1.1.0"))
    records.insert(-1, failed_request(6, failure=Failure.RESET))

    # when the run is judged, then there is a sentence for each way, the more frequent first
    assert judged(records, database).findings == (
        "2 failed by version 1.1.0 with status 5xx; the first was /p on a new connection at 4.0 s.",
        "1 failed with reset; the first was /p on a new connection at 6.0 s.",
    )


def test_a_ledger_that_was_cut_off_proves_nothing() -> None:
    # given a ledger without its last line, or without its first
    records, _ = kept_run()

    # when it is read, then it is refused in a sentence
    with pytest.raises(IncompleteLedgerError, match="cut off"):
        Ledger.parse(encode(record) for record in records[:-1])
    with pytest.raises(IncompleteLedgerError, match="begin"):
        Ledger.parse(encode(record) for record in records[1:])
