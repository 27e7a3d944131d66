"""Reports of engine pods: an answer that follows the contract is parsed, any other is refused."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rtx_operator.pod_reports import (
    EngineReport,
    Latency,
    ReachReport,
    ReportError,
    ServedRequests,
    engine_report,
    reach_report,
)

ANSWER: dict[str, Any] = {
    "pod": "rtx-engine-green-0",
    "colour": "green",
    "version": "1.1.0",
    "epoch": 4,
    "executors": ["green"],
    "executing": True,
    "draining": False,
    "ending": False,
    "websockets": 3,
    "quiet_seconds": 0,
    "forwarded": 0,
    "drained_connections": 0,
    "executed": {
        "epoch": 4,
        "requests": 200,
        "server_errors": 3,
        "latency_ms": {"upper_bounds": [5.0, 10, 25.0, None], "counts": [100, 97, 2, 1]},
    },
}


def report(**changes: Any) -> EngineReport:
    return engine_report(json.dumps({**ANSWER, **changes}).encode())


def executed(epoch: int, bounds: tuple[float, ...], counts: tuple[int, ...], errors: int = 0) -> EngineReport:
    latency = {"upper_bounds": [*bounds, None], "counts": counts}
    served = {"epoch": epoch, "requests": sum(counts), "server_errors": errors, "latency_ms": latency}
    return report(executed=served)


def test_status_report_is_parsed() -> None:
    latency = Latency((5.0, 10.0, 25.0, math.inf), (100, 97, 2, 1))

    assert report() == EngineReport(
        pod="rtx-engine-green-0",
        colour="green",
        version="1.1.0",
        epoch=4,
        executors=("green",),
        executing=True,
        draining=False,
        ending=False,
        websockets=3,
        quiet_seconds=0.0,
        forwarded=0,
        drained_connections=0,
        executed=ServedRequests(4, 200, 3, latency),
    )


def test_report_of_an_idle_pod_without_an_epoch_is_parsed() -> None:
    idle = report(epoch=None, executed=None, executing=False)

    assert (idle.epoch, idle.executed) == (None, None)


def test_unknown_fields_of_a_later_engine_are_ignored() -> None:
    assert report(mood="good") == report()


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"websockets": "3"}, "websockets: "),
        ({"websockets": -1}, "websockets: "),
        ({"executing": "yes"}, "executing: "),
        ({"executing": None}, "executing: "),
        ({"quiet_seconds": math.nan}, "quiet_seconds: "),
        ({"executors": "green"}, "executors: "),
        ({"executed": {}}, "executed.epoch: "),
        (
            {"executed": {**ANSWER["executed"], "latency_ms": {"upper_bounds": [None], "counts": []}}},
            "differ in length",
        ),
        ({"executed": {**ANSWER["executed"], "latency_ms": {"upper_bounds": [1], "counts": [0]}}}, "is not null"),
        (
            {"executed": {**ANSWER["executed"], "latency_ms": {"upper_bounds": [2, 1, None], "counts": [0, 0, 0]}}},
            "do not ascend",
        ),
    ],
)
def test_answer_that_breaks_the_contract_is_refused(changes: dict[str, Any], error: str) -> None:
    with pytest.raises(ReportError, match=error):
        report(**changes)


@pytest.mark.parametrize(
    "answer", [b"", b"<html>", b"null", b"[]", b"{}", b'{"reaches": 1, "colour": "", "error": ""}']
)
def test_answer_that_is_no_report_is_refused(answer: bytes) -> None:
    with pytest.raises(ReportError):
        engine_report(answer)
    with pytest.raises(ReportError):
        reach_report(answer)


def test_reach_report_is_parsed() -> None:
    answer = b'{"reaches": false, "colour": "green", "error": "no response within 2 s"}'

    assert reach_report(answer) == ReachReport(reaches=False, colour="green", error="no response within 2 s")


def test_served_requests_of_pods_are_added() -> None:
    pods = [executed(4, (5, 10), (90, 8, 2), errors=1), executed(4, (5, 10), (10, 0, 0), errors=3)]

    whole = ServedRequests.total(pod.executed for pod in pods)

    assert whole == ServedRequests(4, 110, 4, Latency((5, 10, math.inf), (100, 8, 2)))
    assert whole.error_percent() == pytest.approx(400 / 110)
    assert whole.p99_milliseconds() == math.inf  # 108 of 110 are less than 99 %


def test_total_can_be_limited_to_one_epoch() -> None:
    pods = [executed(3, (5,), (1, 0)), report(executed=None), executed(4, (5,), (7, 0))]

    parts = [pod.executed for pod in pods]

    assert ServedRequests.total(parts).requests == 8
    assert ServedRequests.total(parts, epoch=4).requests == 7
    assert ServedRequests.total(parts, epoch=5) == ServedRequests(5, 0, 0, Latency((), ()))


def test_total_without_requests_has_no_errors_and_no_latency() -> None:
    nothing = ServedRequests.total([])

    assert (nothing.requests, nothing.error_percent(), nothing.p99_milliseconds()) == (0, 0.0, 0.0)


def test_histograms_of_two_builds_are_added_at_their_common_bounds() -> None:
    pods = [executed(4, (5, 10), (1, 2, 4)), executed(4, (10, 20), (8, 16, 32))]

    whole = ServedRequests.total(pod.executed for pod in pods)

    assert whole.latency_ms == Latency((10, math.inf), (11, 52))


@given(st.lists(st.floats(min_value=0, max_value=2000), min_size=1, max_size=300))
def test_p99_is_never_below_the_true_quantile(latencies: list[float]) -> None:
    bounds = (1.0, 5.0, 20.0, 100.0, 500.0, math.inf)
    counts = [0] * len(bounds)
    for latency in latencies:
        counts[next(at for at, bound in enumerate(bounds) if latency <= bound)] += 1
    truth = sorted(latencies)[math.ceil(0.99 * len(latencies)) - 1]

    bound_of_p99 = Latency(bounds, tuple(counts)).quantile(0.99)

    assert truth <= bound_of_p99
    assert bound_of_p99 == next(bound for bound in bounds if truth <= bound)
