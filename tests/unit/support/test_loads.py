"""What a load's helpers see: a request that fails at the end of a block fails the block."""

import time
from typing import cast

import pytest
from loads import Load, assert_kept_over_all, nothing_fails
from rtx_demo.traffic import Traffic, Watch
from rtx_traffic.progress import Progress


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
