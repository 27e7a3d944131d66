"""The verdict over a run that kept every promise, and its figures of failed requests.

Each check is tested with one thing broken at a time; the other figures are in test_verdict_*.py.
"""

import msgspec
import pytest
from rtx_traffic.ledger import Failure, Kind, Lane, Request
from rtx_traffic.stages import Count, Stage
from rtx_traffic.verdict import MAX_FINDINGS_PER_FIGURE
from verdict_run import add_request, judged, kept_run, replaced, request, unanswered


def test_kept_run_has_no_findings() -> None:
    # given a run with a repeat and a reconnect, when it is judged
    verdict = judged(*kept_run())

    # then every promise was kept, and the counts are those of the ledger
    assert verdict.findings == ()
    assert verdict.kept
    assert (verdict.requests, verdict.orders_sent, verdict.orders_acknowledged) == (4, 3, 3)
    assert (verdict.orders_in_database, verdict.websocket_events, verdict.websocket_reconnects) == (3, 3, 1)
    assert verdict.latency["order"].p50_ms == 10.0


@pytest.mark.parametrize(
    "figure",
    [
        "failed_requests",
        "unrecorded_requests",
        "idle_parts",
        "load_crashes",
        "orders_lost",
        "orders_doubled",
        "orders_altered",
        "repeats_answered_otherwise",
        "accounts_wrong",
        "accounts_unbalanced",
        "fenced_executions",
        "websocket_gaps",
    ],
)
def test_each_figure_alone_breaks_the_run(figure: str) -> None:
    # given the verdict over a kept run, when one figure is not 0, then not every promise was kept
    assert not msgspec.structs.replace(judged(*kept_run()), **{figure: 1}).kept


def failed_request(due: float, *, version: str = "", status: int | None = 500, **values: object) -> Request:
    failure = Failure.SERVER_ERROR if status else Failure.RESET
    failed = Request(Kind.READ, Lane.NEW, due, due + 0.01, due, status, failure=failure, path="/p", version=version)
    return msgspec.structs.replace(failed, **values)


def test_own_500s_of_the_broken_version_are_counted_separately() -> None:
    # given a run in which a broken version was tried from second 4 to 6, and answered one request with 500
    records, database = kept_run()
    add_request(records, failed_request(5, version="1.2.0"))
    stages = Stage("upgrade", 0, 4), Stage("rollback", 4, 6, broken_version="1.2.0")

    # when it is judged, then no promise is broken, but it is counted
    verdict = judged(records, database, *stages)
    assert verdict.kept
    assert (verdict.failed_requests, verdict.broken_version_failed_requests) == (0, 1)
    assert verdict.stages == {"upgrade": Count(4, 0, 0), "rollback": Count(1, 0, 1)}


@pytest.mark.parametrize(
    "failed",
    [
        failed_request(5, version="1.1.0"),
        failed_request(5),
        failed_request(3.9, version="1.2.0"),
        failed_request(6, version="1.2.0"),
        failed_request(5, version="1.2.0", status=None),
        failed_request(5, version="1.2.0", status=503),  # its forwarder's: it reached nobody who executes
        failed_request(5, version="1.2.0", status=502),
        failed_request(5, version="1.2.0", status=504),
        failed_request(5, version="1.2.0", status=501),
        failed_request(5, version="1.2.0", failure=Failure.MALFORMED),
    ],
)
def test_other_failures_under_a_broken_version_count_as_failed(failed: Request) -> None:
    # given the same trial, when a request fails by another version, at another time, or otherwise than with its 500
    records, database = kept_run()
    add_request(records, failed)

    # then it is a failed request
    verdict = judged(records, database, Stage("rollback", 4, 6, broken_version="1.2.0"))
    assert (verdict.failed_requests, verdict.broken_version_failed_requests) == (1, 0)
    assert not verdict.kept


def test_unsent_due_request_is_a_failed_request() -> None:
    # given a request that found no free connection, when the run is judged
    records, database = kept_run()
    add_request(records, failed_request(8, status=None, sent=None, failure=Failure.UNSENT, detail="busy"))

    # then it counts, with its reason
    verdict = judged(records, database)
    assert (verdict.failed_requests, verdict.failures) == (1, {"unsent: busy": 1})
    assert not verdict.kept


def test_each_reason_has_one_finding_with_its_first_failure() -> None:
    # given two requests of a version that failed alike, and one reset
    records, database = kept_run()
    add_request(records, failed_request(5, version="1.1.0"))
    add_request(records, failed_request(4, version="1.1.0"))
    add_request(records, failed_request(6, status=None))

    # when the run is judged, then there is a sentence for each way, the more frequent first
    assert judged(records, database).findings == (
        "2 requests failed by version 1.1.0 with status 5xx; the first was /p on a new connection at 4.0 s.",
        "1 requests failed with reset; the first was /p on a new connection at 6.0 s.",
    )


def test_findings_of_one_figure_do_not_hide_those_of_another() -> None:
    # given a run of which the database lacks every order, many of them, and one request that failed
    records, database = kept_run()
    for number in range(10, 50):
        add_request(records, request(number))
    add_request(records, unanswered(request(60)))

    # when it is judged, then the first of the lost orders are named, and the failed request too
    verdict = judged(records, database)
    assert verdict.orders_lost == 40
    assert (
        sum("was acknowledged and is not in the database" in finding for finding in verdict.findings)
        == MAX_FINDINGS_PER_FIGURE
    )
    assert any("failed with reset" in finding for finding in verdict.findings)


@pytest.mark.parametrize("values", [{"sent": None}, {"status": None}, {"answer": None}])
def test_record_without_answer_and_failure_is_a_failed_request(values: dict[str, None]) -> None:
    # given a kept run, when the record of a request that did not fail lacks what shows that it did not
    records, database = kept_run()
    replaced(records, request(3), msgspec.structs.replace(request(3), **values))

    # then it counts as failed
    verdict = judged(records, database, Stage("all", 0, 9))
    assert (verdict.failed_requests, verdict.failures) == (1, {"neither answer nor failure": 1})
    assert verdict.stages["all"].failed == 1
    assert not verdict.kept
