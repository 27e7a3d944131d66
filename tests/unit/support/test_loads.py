"""Helpers of loads: when a block fails, when a load is judged, and which broken promises a fault test may accept."""

import time
from typing import cast

import msgspec
import pytest
from loads import Load, assert_kept_across_tests, assert_nothing_lost, no_request_fails
from rtx_demo.traffic import Traffic, Watch
from rtx_traffic.progress import Progress
from rtx_traffic.verdict import Verdict
from verdict_run import judged, kept_run


class LateWatch:
    """A watch whose pods report a failure only after the block in which it happened."""

    def progress(self) -> Progress:
        return Progress(second=10)

    def progress_at(self, second: float) -> Progress:
        return Progress(second=11, failed=1) if second > 10 else self.progress()


def test_failure_in_the_last_second_of_a_block_fails_the_block() -> None:
    # Given a load in its eleventh second, of which the pods have reported ten.
    loaded = Load(cast("Traffic", None), cast("Watch", LateWatch()), began=time.time() - 10.5)

    # When a request fails in the block and the pods report it afterwards.
    # Then the block fails.
    with pytest.raises(AssertionError, match="1 requests failed"), no_request_fails(loaded):
        pass


def test_load_under_which_no_test_completed_is_not_judged() -> None:
    # Given a load that has just started, as after a failed test.
    loaded = Load(cast("Traffic", None), cast("Watch", LateWatch()), began=time.time())

    # When the whole load is to be judged.
    # Then that is skipped.
    with pytest.raises(pytest.skip.Exception):
        assert_kept_across_tests(loaded)


def verdict(**values: object) -> Verdict:
    return msgspec.structs.replace(judged(*kept_run()), **values)


def test_fault_may_fail_requests_and_delay_events() -> None:
    # Given a verdict with failed requests and late events only.
    faulty = verdict(failed_requests=7, websocket_gaps=3, websocket_late=3)

    # When the test of a fault checks it.
    # Then it passes.
    assert_nothing_lost(faulty)


@pytest.mark.parametrize(
    "values",
    [
        {"orders_lost": 1},
        {"orders_doubled": 1},
        {"orders_altered": 1},
        {"repeats_answered_otherwise": 1},
        {"accounts_wrong": 1},
        {"accounts_unbalanced": 1},
        {"fenced_executions": 1},
        {"websocket_gaps": 1},
        {"unrecorded_requests": 1},
        {"idle_parts": 1},
        {"load_crashes": 1},
        {"orders_acknowledged": 0},
    ],
)
def test_fault_must_not_break_any_other_promise(values: dict[str, int]) -> None:
    # Given a verdict with one other figure wrong.
    faulty = verdict(**values)

    # When the test of a fault checks it.
    # Then it fails.
    with pytest.raises(AssertionError):
        assert_nothing_lost(faulty)
