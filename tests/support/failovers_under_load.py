"""A load that a fault of the database interrupts, and what must be true of it afterwards."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

from loads import DATABASE_OUTAGE_ERRORS, Load, assert_nothing_lost
from rtx_demo import database, members
from rtx_demo.engine import Engine
from rtx_traffic.interruptions import longest_s

INSTANCES = 3
MAX_INTERRUPTION_SECONDS = 60.0  # far above what bench/failover measures: a busy machine must not fail a test
SETTLE_SECONDS = 5.0  # of load after the fault
_EPOCHS = "SELECT json_agg(json_build_array(epoch, executors, cutover) ORDER BY moved_at, epoch) " + (
    "FROM rtx_operator.execution_fence_history;"
)


@contextmanager
def interrupted(
    engine: Engine, loaded: Load, *, instances: int = INSTANCES, reasons: tuple[str, ...] = ()
) -> Iterator[None]:
    """A fault inside the block. After it all servers are together again, orders go on, and no promise is broken.

    `reasons`: why requests may fail besides for an outage of the database.
    """
    before, began = epochs(engine), time.time()
    yield
    members.wait_until_formed(engine, instances)
    engine.wait_until_ready()
    time.sleep(SETTLE_SECONDS)
    ended, after = time.time(), epochs(engine)
    verdict = loaded.verdict()
    assert_nothing_lost(verdict)
    expected = (*DATABASE_OUTAGE_ERRORS, *reasons)
    assert [reason for reason in verdict.failures if not reason.startswith(expected)] == []
    assert longest_s(loaded.end(), since=began, until=ended) < MAX_INTERRUPTION_SECONDS
    assert after[: len(before)] == before, "the fence's history was lost or rewritten"
    assert after == sorted(after), "an epoch was written after a higher one"


def epochs(engine: Engine) -> list[list[object]]:
    """The epochs of the fence with what they name, in the order in which they were written."""
    found: list[list[object]] = json.loads(database.psql(engine, _EPOCHS))
    return found
