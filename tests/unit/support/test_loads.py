"""What a load's helpers see, what a test of a fault may forgive a load, and what never."""

import time
from typing import cast

import msgspec
import pytest
from loads import Load, assert_kept_over_all, assert_nothing_lost, nothing_fails
from rtx_demo.traffic import Traffic, Watch
from rtx_traffic.progress import Progress
from rtx_traffic.verdict import Verdict
from verdict_run import judged, kept_run


class LateWatch:
    """The lines of pods that tell of a failure only after the block in which it came."""

    def progress(self) -> Progress:
        return Progress(second=10)

    def progress_at(self, second: float) -> Progress:
        return Progress(second=11, failed=1) if second > 10 else self.progress()


def test_a_request_that_fails_at_the_end_of_a_block_fails_it() -> None:
    # given a load in its eleventh second, of which the pods have told ten
    loaded = Load(cast("Traffic", None), cast("Watch", LateWatch()), began=time.time() - 10.5)

    # when a request fails in the block, and that is told after it, then the block has failed
    with pytest.raises(AssertionError), nothing_fails(loaded):
        pass


def test_a_load_that_has_gone_through_nothing_is_not_judged() -> None:
    # given a load that has just begun, as after a test that failed, when all of it is to be judged, then it is not
    loaded = Load(cast("Traffic", None), cast("Watch", LateWatch()), began=time.time())
    with pytest.raises(pytest.skip.Exception):
        assert_kept_over_all(loaded)


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
