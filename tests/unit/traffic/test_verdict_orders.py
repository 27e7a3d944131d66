"""Orders against the database: lost, doubled, altered, repeats answered differently, fills against the fence."""

import datetime as dt
from decimal import Decimal

import msgspec
import pytest
from rtx_traffic import fenced
from rtx_traffic.ledger import Failure, Kind, Record
from rtx_traffic.rows import Database, EventRow, HistoryRow
from verdict_run import (
    ACCOUNT,
    Break,
    dropped,
    event,
    executed_at,
    judged,
    judged_broken,
    kept_run,
    order_row,
    other_event,
    other_fill,
    other_order,
    replaced,
    request,
    unanswered,
)

OTHER_VALUES = [
    dropped("fills", 0),
    dropped("events", 0),
    other_order(quantity=Decimal(2)),
    other_order(side="sell"),
    other_order(symbol="GBPUSD"),
    other_order(account_id="8"),
    other_order(status="rejected"),
    other_fill(account_id="8"),
    other_fill(symbol="GBPUSD"),
    other_fill(quantity=Decimal("0.05")),
    other_fill(quantity=Decimal("-0.1")),
    other_fill(price=Decimal("1.08422")),
    other_fill(realised=Decimal("0.01")),
    other_fill(epoch=2),
    other_event(account_id="8"),
    other_event(matches_order=False),
    other_event(sequence=9),
]
"""Each makes of the first order in the database another one than was sent."""

OTHER_ANSWERS = [
    other_order(price=Decimal("1.08422")),
    other_order(realised=Decimal("0.01")),
    other_order(executed_at=executed_at(2)),
    other_order(epoch=2),
    other_order(colour="green"),
    other_order(sequence=9),
]
"""Each makes of it another one than was answered."""


@pytest.mark.parametrize("broken", [dropped("orders", -1), *OTHER_VALUES, *OTHER_ANSWERS])
def test_acknowledged_order_missing_or_different_in_the_database_is_lost(broken: Break) -> None:
    # given a kept run, when one value of one acknowledged order is taken away or changed in the database
    verdict = judged_broken(broken)

    # then exactly one order is lost, and the run was not kept
    assert verdict.orders_lost == 1
    assert not verdict.kept


@pytest.mark.parametrize("value", [{"client_order_id": "r-9"}, {"symbol": "GBPUSD"}, {"status": "rejected"}])
def test_answer_with_another_orders_values_is_lost(value: dict[str, str]) -> None:
    # given a kept run, when an order is acknowledged with an answer that is not of it
    records, database = kept_run()
    first = request(1)
    replaced(records, first, msgspec.structs.replace(first, answer=msgspec.structs.replace(first.answer, **value)))

    # then it is lost
    verdict = judged(records, database)
    assert verdict.orders_lost == 1


def test_rejected_but_acknowledged_order_is_lost() -> None:
    # given an order that is answered with 201 and in the database as rejected, both alike
    records, database = kept_run()
    first = request(1)
    answer = msgspec.structs.replace(first.answer, status="rejected")
    replaced(records, first, msgspec.structs.replace(first, answer=answer))
    database = msgspec.structs.replace(other_order(status="rejected")(records, database), fills=database.fills[1:])

    # then it is lost
    assert judged(records, database).orders_lost == 1


def test_unacknowledged_order_is_not_lost() -> None:
    # given a kept run whose third order got no answer but is in the database all the same
    records, database = kept_run()
    replaced(records, request(3), unanswered(request(3)))

    # when it is judged, then it is a failed request and nothing else
    verdict = judged(records, database)
    assert (verdict.orders_lost, verdict.orders_doubled, verdict.orders_altered) == (0, 0, 0)
    assert verdict.websocket_gaps == 0
    assert (verdict.failed_requests, verdict.failures) == (1, {"reset": 1})
    assert not verdict.kept


@pytest.mark.parametrize("broken", [dropped("orders", 0), *OTHER_VALUES])
def test_unanswered_order_with_other_values_in_the_database_is_altered(broken: Break) -> None:
    # given a run whose first order got no answer, when the database holds another order, or only a part of it
    records, database = kept_run()
    replaced(records, request(1), unanswered(request(1)))
    verdict = judged(records, broken(records, database) or database)

    # then one order is altered, and the run was not kept
    assert (verdict.orders_altered, verdict.orders_lost) == (1, 0)
    assert any(finding.startswith("Order r-1 ") for finding in verdict.findings)
    assert not verdict.kept


def test_unanswered_order_missing_in_the_database_is_only_a_failed_request() -> None:
    # given an order that got no answer, when the database has nothing of it
    records, database = kept_run()
    replaced(records, request(3), unanswered(request(3)))
    records.remove(event(3, 3.1))
    rows = {table: getattr(database, table)[:-1] for table in ("orders", "fills", "events")}

    # then no order was altered
    assert judged(records, msgspec.structs.replace(database, **rows)).orders_altered == 0


def unsent(records: list[Record], _: Database) -> None:
    replaced(records, request(1), unanswered(request(1), sent=None, failure=Failure.UNSENT))


def refused(records: list[Record], _: Database) -> None:
    replaced(records, request(1), unanswered(request(1), status=400, failure=Failure.CLIENT_ERROR))


def row_of_an_unsent_order(_: list[Record], database: Database) -> Database:
    return msgspec.structs.replace(database, orders=(*database.orders, order_row(4)))


def an_event_without_an_order(_: list[Record], database: Database) -> Database:
    row = EventRow(ACCOUNT, 4, "r-4", matches_order=False)
    return msgspec.structs.replace(database, events=(*database.events, row))


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        (unsent, "Order r-1 is in the database, but was never sent."),
        (refused, "Order r-1 was rejected each time, but the database holds it as filled."),
        (row_of_an_unsent_order, "Order r-4 is in the database, but was never sent."),
        (an_event_without_an_order, "Order r-4 is in event 4 of account 7, but not in the orders table."),
    ],
)
def test_unsent_or_rejected_order_in_the_database_is_altered(broken: Break, expected: str) -> None:
    # given a kept run, when the database holds an order that it should not know of
    verdict = judged_broken(broken)

    # then it is counted with a finding, and the run is not kept
    assert verdict.orders_altered == 1
    assert expected in verdict.findings
    assert not verdict.kept


def filled_twice(_: list[Record], database: Database) -> Database:
    return msgspec.structs.replace(database, fills=(*database.fills, database.fills[0]))


def filled_and_taken_back(_: list[Record], database: Database) -> Database:
    back = msgspec.structs.replace(database.fills[0], quantity=-database.fills[0].quantity)
    return msgspec.structs.replace(database, fills=(*database.fills, back))


def in_the_table_twice(_: list[Record], database: Database) -> Database:
    return msgspec.structs.replace(database, orders=(*database.orders, database.orders[0]))


def two_events(_: list[Record], database: Database) -> Database:
    return msgspec.structs.replace(database, events=(*database.events, database.events[0]))


def answered_again(**values: object) -> Break:
    """The repeat gets another answer than the order got first."""

    def broken(records: list[Record], _: Database) -> None:
        repeat = request(2, kind=Kind.REPEAT)
        answer = msgspec.structs.replace(repeat.answer, **values)
        replaced(records, repeat, msgspec.structs.replace(repeat, answer=answer))

    return broken


@pytest.mark.parametrize(
    "broken", [filled_twice, filled_and_taken_back, in_the_table_twice, two_events, answered_again(order_id="id-2b")]
)
def test_order_executed_twice_is_doubled(broken: Break) -> None:
    # given a kept run, when one sign of a double execution is put in
    verdict = judged_broken(broken)

    # then one order is doubled, and the run was not kept
    assert verdict.orders_doubled == 1
    assert not verdict.kept


def test_order_answered_twice_as_a_new_fill_is_doubled() -> None:
    # given an order that was answered with 201, when its repeat is too, and not with 200
    def broken(records: list[Record], _: Database) -> None:
        repeat = request(2, kind=Kind.REPEAT)
        replaced(records, repeat, msgspec.structs.replace(repeat, status=201))

    # then it was executed twice, whatever it was answered with
    verdict = judged_broken(broken)
    assert verdict.orders_doubled == 1
    assert verdict.findings == ("Client order id r-2 was answered 2 times as a new fill.",)
    assert not verdict.kept


@pytest.mark.parametrize(
    "value",
    [
        {"order_id": "id-2b"},
        {"client_order_id": "r-3"},
        {"status": "rejected"},
        {"symbol": "GBPUSD"},
        {"side": "sell"},
        {"quantity": Decimal("0.11")},
        {"price": Decimal("1.08422")},
        {"realised": Decimal("0.01")},
        {"executed_at": executed_at(2) + dt.timedelta(microseconds=1)},
        {"epoch": 2},
        {"colour": "green"},
        {"sequence": 3},
    ],
)
def test_repeat_with_a_different_answer_breaks_the_run(value: dict[str, object]) -> None:
    # given a kept run, when the repeat of an order is answered with one other value
    verdict = judged_broken(answered_again(**value))

    # then it is counted with a finding, and the run is not kept
    assert verdict.repeats_answered_otherwise == 1
    assert any(
        finding.startswith(f"A repeat of order r-2 was answered with {next(iter(value))} ")
        for finding in verdict.findings
    )
    assert not verdict.kept


def test_equal_values_in_another_spelling_are_the_same_answer() -> None:
    # given a repeat whose numbers come back from the database, and whose time has another offset
    offset = dt.timezone(dt.timedelta(hours=2))
    spelled = answered_again(
        realised=Decimal(0), price=Decimal("1.084210"), executed_at=executed_at(2).astimezone(offset)
    )

    # when it is judged, then it is the first answer
    assert judged_broken(spelled).kept


def quoted(*times: int | None) -> Break:
    """The second order and its repeats are answered with these times of their quote, None by version 1.0."""

    def broken(records: list[Record], _: Database) -> None:
        first, repeat = request(2), request(2, kind=Kind.REPEAT)
        quoted_at = [time and executed_at(time) for time in times]
        requests = [
            msgspec.structs.replace(
                request if not place else repeat,
                number=2 if not place else 101 + place,
                answer=msgspec.structs.replace(request.answer, quoted_at=time),
            )
            for place, (request, time) in enumerate(zip([first, *[repeat] * (len(times) - 1)], quoted_at, strict=True))
        ]
        records.remove(repeat)
        replaced(records, first, *requests)
        records[-1] = msgspec.structs.replace(records[-1], due=2 + len(times))

    return broken


@pytest.mark.parametrize("times", [(1, 1, 1), (None, None, None), (1, None, 1)])
def test_repeat_may_lack_quoted_at(times: tuple[int | None, ...]) -> None:
    # given an order and two repeats, of which version 1.0 answers some, when the others tell one time, then it is kept
    verdict = judged_broken(quoted(*times))
    assert verdict.kept, verdict.findings


@pytest.mark.parametrize("times", [(1, 1, 3), (1, None, 3), (None, 1, 3)])
def test_repeat_with_another_quoted_at_is_a_different_answer(times: tuple[int | None, ...]) -> None:
    # given an order and two repeats, when two of the answers tell different times, then one is not the first answer
    verdict = judged_broken(quoted(*times))
    assert verdict.repeats_answered_otherwise == 1
    assert verdict.findings[0].startswith("A repeat of order r-2 was answered with quoted_at ")


def history(*rows: HistoryRow) -> Break:
    return lambda _, database: msgspec.structs.replace(database, history=rows)


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        (other_fill(epoch=7), "A fill of order id-1 has epoch 7, which the fence never had."),
        (other_fill(epoch=2), "A fill of order id-1 is of colour blue, and epoch 2 named green."),
        (other_fill(committed_us=5), "A fill of order id-1 of epoch 1 was committed 2 µs after the next epoch."),
        (other_fill(committed_us=None), "A fill of order id-1 of epoch 1 cannot be checked"),
        (
            history(HistoryRow(1, ("blue",), "c", 0), HistoryRow(2, (), "c", 2), HistoryRow(3, ("blue",), "c", 9)),
            "A fill of order id-3 of epoch 1 was committed 1 µs after the next epoch.",
        ),
    ],
)
def test_fill_against_the_fence_is_found(broken: Break, expected: str) -> None:
    # given a kept run, when one fill comes from a colour or at a time that the fence did not allow
    verdict = judged_broken(broken)

    # then it is counted with a finding, and the run is not kept
    assert verdict.fenced_executions == 1
    assert any(finding.startswith(expected) for finding in verdict.findings)
    assert not verdict.kept


def test_fill_without_fence_history_is_a_violation() -> None:
    # given a kept run, when the fence's history does not know the epoch of the fills, then no fill is taken for right
    records, database = kept_run()
    assert judged(records, msgspec.structs.replace(database, history=())).fenced_executions == len(database.fills)


@pytest.mark.parametrize(("green_at", "overlap"), [((4, 5), 0.0), ((2, 4), 1e-6), ((2,), 1e-6), ((), 0.0)])
def test_overlap_of_two_colours_in_seconds(green_at: tuple[int, ...], overlap: float) -> None:
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
