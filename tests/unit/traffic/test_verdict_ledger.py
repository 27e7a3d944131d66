"""An incomplete ledger proves nothing: each due request has exactly one record."""

import msgspec
import pytest
from rtx_traffic.ledger import (
    Crash,
    End,
    IncompleteLedgerError,
    Kind,
    Ledger,
    MalformedLedgerError,
    Record,
    encode,
)
from rtx_traffic.rows import Database
from verdict_run import RUN, Break, judged, judged_broken, kept_run, request

REPEAT = request(2, kind=Kind.REPEAT)


def record_missing(records: list[Record], _: Database) -> None:
    records.remove(REPEAT)


def record_twice(records: list[Record], _: Database) -> None:
    records.insert(-1, REPEAT)


def record_missing_and_another_twice(records: list[Record], _: Database) -> None:
    records.remove(REPEAT)
    records.insert(-1, request(1))


def record_of_no_request(records: list[Record], _: Database) -> None:
    records.insert(-1, msgspec.structs.replace(REPEAT, number=None))


def ended(**values: object) -> Break:
    def broken(records: list[Record], _: Database) -> None:
        records[-1] = msgspec.structs.replace(records[-1], **values)

    return broken


@pytest.mark.parametrize(
    ("broken", "count"),
    [
        (record_missing, 1),
        (record_twice, 1),
        (record_missing_and_another_twice, 2),
        (record_of_no_request, 1),
        (ended(due=7), 3),
        (ended(due=3), 1),
        (ended(planned=6), 2),  # nobody stopped it, and it ended all the same
    ],
)
def test_due_request_without_exactly_one_record_is_unrecorded(broken: Break, count: int) -> None:
    # given a kept run, when a request that was due has no record, or one too many
    verdict = judged_broken(broken)

    # then it is counted with a finding, and the run is not kept
    assert verdict.unrecorded_requests == count
    assert any("requests were due" in finding for finding in verdict.findings)
    assert not verdict.kept


def nothing_due(records: list[Record], _: Database) -> Database:
    records[:] = [msgspec.structs.replace(RUN, sockets=0), End(9.0, due=0)]
    return Database()


def nothing_left(records: list[Record], _: Database) -> Database:
    failed = msgspec.structs.replace(REPEAT, sent=None, status=None, answer=None)
    records[:] = [msgspec.structs.replace(RUN, sockets=0), failed, End(9.0, due=1)]
    return Database()


@pytest.mark.parametrize("broken", [nothing_due, nothing_left])
def test_run_without_requests_is_not_kept(broken: Break) -> None:
    # given a load that sent nothing, when it is judged
    verdict = judged_broken(broken)

    # then it was not kept, and a sentence says so
    assert verdict.idle_parts == 1
    assert "Part 0 of the load sent no request, so it proves nothing." in verdict.findings
    assert not verdict.kept


def test_part_without_requests_is_not_kept() -> None:
    # given a run of two parts, of which the second sent nothing and was due nothing
    records, database = kept_run()
    records[0] = msgspec.structs.replace(RUN, parts=2)
    idle = [msgspec.structs.replace(RUN, sockets=0, part=1, parts=2), End(9.0, due=0)]

    # when its whole ledger is judged, then that is a finding
    whole = Ledger.merge([Ledger.parse(encode(record) for record in part) for part in (records, idle)])
    verdict = judged(list(whole.records), database)
    assert verdict.idle_parts == 1
    assert verdict.findings == ("Part 1 of the load sent no request, so it proves nothing.",)
    assert not verdict.kept


def test_merged_run_requires_the_requests_of_every_part() -> None:
    # given two parts, of which the first lacks a record and the second ended before its schedule did
    records, database = kept_run()
    records[0] = msgspec.structs.replace(RUN, parts=2)
    records.remove(REPEAT)
    short: list[Record] = [
        msgspec.structs.replace(RUN, sockets=0, part=1, parts=2),
        msgspec.structs.replace(REPEAT, number=500),
        End(9.0, due=1, planned=3),
    ]

    # when the whole is judged, then three requests are missing
    whole = Ledger.merge([Ledger.parse(encode(record) for record in part) for part in (records, short)])
    assert whole.end == End(9.0, due=5, planned=7)
    assert judged(list(whole.records), database).unrecorded_requests == 3


def test_crashed_load_task_is_a_finding() -> None:
    # given a kept run, when a WebSocket's client crashed after it had seen everything
    records, database = kept_run()
    records.insert(-1, Crash(8.0, "WebSocket 0", "KeyError('x')"))

    # then the run was not kept
    verdict = judged(records, database)
    assert verdict.load_crashes == 1
    assert verdict.findings == ("The load generator's task 'WebSocket 0' crashed at 8.0 s with KeyError('x').",)
    assert not verdict.kept


def test_incomplete_ledger_is_refused() -> None:
    # given a ledger without its last line, or without its first
    records, _ = kept_run()

    # when it is read, then it is refused in a sentence
    with pytest.raises(IncompleteLedgerError, match="cut off"):
        Ledger.parse(encode(record) for record in records[:-1])
    with pytest.raises(IncompleteLedgerError, match="begin"):
        Ledger.parse(encode(record) for record in records[1:])


def test_ledger_that_continues_after_its_end_is_refused() -> None:
    # given a ledger with a request after its end, or with two beginnings
    records, _ = kept_run()
    for wrong in ([*records, request(4), records[-1]], [RUN, *records]):
        # when it is read, then it is refused in a sentence
        with pytest.raises(MalformedLedgerError, match="continues after its end record, or begins twice"):
            Ledger.parse(encode(record) for record in wrong)
    with pytest.raises(IncompleteLedgerError, match="no end record"):
        Ledger.parse(encode(record) for record in [*records, request(4)])
