"""WebSockets: missing, repeated, late and wrong events, and missing sockets."""

import msgspec
import pytest
from rtx_traffic.ledger import Record, SocketClosed, SocketEvent, SocketOpened, SocketStarted
from rtx_traffic.rows import Database, EventRow
from verdict_run import ACCOUNT, Break, event, judged_broken, other_account, replaced, request, unanswered

STARTED = SocketStarted(0, ACCOUNT, 0.4)
HELLO = SocketOpened(0, ACCOUNT, 0.5, 0, "blue", None)
HELLO_AGAIN = SocketOpened(0, ACCOUNT, 2.5, 1, "green", 1)


def event_missing(records: list[Record], _: Database) -> None:
    records.remove(event(2, 2.6))


def last_event_missing(records: list[Record], _: Database) -> None:
    records.remove(event(3, 3.1))


def event_twice(records: list[Record], _: Database) -> None:
    records.insert(-1, event(3, 3.2))


def event_late(records: list[Record], _: Database) -> None:
    records.remove(event(3, 3.1))
    records.insert(-1, event(3, 8.1))


def events_swapped(records: list[Record], _: Database) -> None:
    one, two = event(2, 2.6), event(3, 3.1)
    records[records.index(two)], records[records.index(one)] = one, two


def event_of_another_order(records: list[Record], _: Database) -> None:
    replaced(records, event(3, 3.1), event(3, 3.1, order=2))


def event_that_the_account_does_not_have(records: list[Record], _: Database) -> None:
    records.insert(-1, event(4, 3.2))


def event_of_the_unanswered_order_missing(records: list[Record], database: Database) -> Database:
    return msgspec.structs.replace(database, events=(*database.events, EventRow(ACCOUNT, 4, "r-4", matches_order=True)))


def event_of_another_run_with_an_order_id_of_this_run(records: list[Record], database: Database) -> Database:
    records.insert(-1, event(4, 3.2))
    return other_account(sequence=4, events=4, newest=4)(records, database)


@pytest.mark.parametrize(
    "broken",
    [
        event_of_another_run_with_an_order_id_of_this_run,
        event_missing,
        last_event_missing,
        event_twice,
        event_late,
        events_swapped,
        event_of_another_order,
        event_that_the_account_does_not_have,
        event_of_the_unanswered_order_missing,
        other_account(sequence=4),  # an event of which nothing else is known
    ],
)
def test_missing_repeated_reordered_late_or_wrong_event_is_a_gap(broken: Break) -> None:
    # given a kept run, when one event goes wrong on the socket
    verdict = judged_broken(broken)

    # then there is one gap, and the run was not kept
    assert verdict.websocket_gaps == 1
    assert verdict.websocket_late == (broken is event_late)
    assert any(finding.startswith("WebSocket 0 of account 7 ") for finding in verdict.findings)
    assert not verdict.kept


def without(records: list[Record], *kinds: type[Record]) -> None:
    records[:] = [record for record in records if not isinstance(record, kinds)]


def never_started(records: list[Record], _: Database) -> None:
    without(records, SocketStarted, SocketOpened, SocketEvent)


def without_a_hello(records: list[Record], _: Database) -> None:
    without(records, SocketOpened, SocketEvent)


def hello_without_events(records: list[Record], _: Database) -> None:
    without(records, SocketEvent)


def one_of_two_never_started(records: list[Record], _: Database) -> None:
    records[0] = msgspec.structs.replace(records[0], sockets=2)


def another_socket_without_a_start(records: list[Record], _: Database) -> None:
    records.insert(-1, SocketOpened(1, ACCOUNT, 0.5, 3, "blue", None))


def another_socket_without_a_hello(records: list[Record], _: Database) -> None:
    records[0] = msgspec.structs.replace(records[0], sockets=2)
    records.insert(1, SocketStarted(1, ACCOUNT, 0.4))


def a_socket_of_an_account_that_did_not_trade(records: list[Record], database: Database) -> Database:
    records[0] = msgspec.structs.replace(records[0], sockets=2)
    records.insert(1, SocketStarted(1, "8", 0.4))
    return msgspec.structs.replace(
        database, accounts=(*database.accounts, msgspec.structs.replace(database.accounts[0], account_id="8"))
    )


@pytest.mark.parametrize(
    ("broken", "gaps"),
    [
        (never_started, 1),
        (without_a_hello, 1),
        (hello_without_events, 3),
        (one_of_two_never_started, 1),
        (another_socket_without_a_start, 1),
        (another_socket_without_a_hello, 1),
        (a_socket_of_an_account_that_did_not_trade, 1),
    ],
)
def test_socket_without_start_hello_or_events_is_a_gap(broken: Break, gaps: int) -> None:
    # given a kept run, when a socket is never started, or receives no hello and no event
    verdict = judged_broken(broken)

    # then there is a gap, and the run was not kept
    assert (verdict.websocket_gaps, verdict.websocket_late) == (gaps, 0)
    assert not verdict.kept


def hello_that_excuses_a_later_event(records: list[Record], _: Database) -> None:
    replaced(records, HELLO, msgspec.structs.replace(HELLO, sequence=1))
    records.remove(event(1, 1.1))


def hello_that_excuses_the_event_of_an_unanswered_order(records: list[Record], database: Database) -> None:
    replaced(records, request(1), unanswered(request(1)))
    hello_that_excuses_a_later_event(records, database)


def hello_that_counts_more_than_there_is(records: list[Record], _: Database) -> None:
    without(records, SocketEvent)
    records.remove(HELLO_AGAIN)
    replaced(records, HELLO, msgspec.structs.replace(HELLO, at=3.5, sequence=4))


def hello_of_another_account(records: list[Record], _: Database) -> None:
    replaced(records, HELLO, msgspec.structs.replace(HELLO, account_id="8"))


def second_hello(**values: object) -> Break:
    return lambda records, _: replaced(records, HELLO_AGAIN, msgspec.structs.replace(HELLO_AGAIN, **values))


def late_hello(records: list[Record], _: Database) -> None:
    replaced(records, STARTED, msgspec.structs.replace(STARTED, at=-10.0))


@pytest.mark.parametrize(
    "broken",
    [
        hello_that_excuses_a_later_event,
        hello_that_excuses_the_event_of_an_unanswered_order,
        hello_that_counts_more_than_there_is,
        hello_of_another_account,
        second_hello(sequence=2),
        second_hello(sequence=0),
        second_hello(account_id="8"),
        second_hello(since=None),
        late_hello,
    ],
)
def test_wrong_hello_is_a_gap(broken: Break) -> None:
    # given a kept run, when a hello excuses, repeats or counts what it should not, or comes late
    verdict = judged_broken(broken)

    # then there is one gap, and the run was not kept
    assert verdict.websocket_gaps == 1, verdict.findings
    assert verdict.websocket_late == (broken is late_hello)
    assert not verdict.kept


def test_hello_may_count_orders_sent_before_it() -> None:
    # given a socket that received its hello after the first order, which was repeated later
    def hello_after_the_first_order(records: list[Record], _: Database) -> None:
        records.remove(event(1, 1.1))
        replaced(records, HELLO, msgspec.structs.replace(HELLO, at=1.05, sequence=1))
        repeat = msgspec.structs.replace(request(1), status=200, due=4, sent=4, ended=4.1, number=99)
        records[-1:] = [repeat, msgspec.structs.replace(records[-1], due=5)]

    # when it is judged, then that is no gap
    assert judged_broken(hello_after_the_first_order).kept


@pytest.mark.parametrize(("ended", "gaps"), [(13.0, 0), (20.0, 1)])
def test_disconnected_socket_without_a_new_hello_is_a_gap(ended: float, gaps: int) -> None:
    # given a kept run, when its socket is cut off after the last event, and the run goes on for a while
    def disconnected_at(records: list[Record], _: Database) -> None:
        records[-1:] = [SocketClosed(0, 5.0, 1012), msgspec.structs.replace(records[-1], at=ended)]

    # then that is a gap, but not when the run ended before a hello was due
    verdict = judged_broken(disconnected_at)
    assert (verdict.websocket_gaps, verdict.websocket_late) == (gaps, 0)
    assert verdict.kept == (not gaps)
