"""What a test of a fault may forgive a load, and what never."""

import msgspec
import pytest
from loads import assert_nothing_lost
from rtx_traffic.verdict import Verdict
from verdict_run import judged, kept_run


def verdict(**values: object) -> Verdict:
    return msgspec.structs.replace(judged(*kept_run()), **values)


def test_requests_that_failed_and_events_that_were_late_are_forgiven() -> None:
    assert_nothing_lost(verdict(failed_requests=7, websocket_gaps=3, websocket_late=3))


@pytest.mark.parametrize(
    "values",
    [
        {"orders_lost": 1},
        {"orders_doubled": 1},
        {"orders_altered": 1},
        {"repeats_answered_otherwise": 1},
        {"accounts_wrong": 1},
        {"fenced_executions": 1},
        {"websocket_gaps": 1},
        {"unrecorded_requests": 1},
        {"idle_parts": 1},
        {"load_crashes": 1},
        {"orders_acknowledged": 0},
    ],
)
def test_nothing_else_is_forgiven(values: dict[str, int]) -> None:
    # given the verdict over a run, when one other figure is not as it must be, then the test of the fault fails
    with pytest.raises(AssertionError):
        assert_nothing_lost(verdict(**values))
