"""How long a load got no order acknowledged, and which orders failed meanwhile."""

from collections.abc import Sequence

import msgspec
import pytest
from rtx_traffic.interruptions import failed_orders, longest_s
from rtx_traffic.ledger import Failure, Ledger, Request
from verdict_run import kept_run

STARTED_AT = 1000.0


def ledger_of(acknowledged: Sequence[float], failed: Sequence[float] = ()) -> Ledger:
    """Orders that were acknowledged, and others that failed, at these seconds of a run."""
    records, _ = kept_run()
    order = next(record for record in records if isinstance(record, Request) and record.answer)
    run = msgspec.structs.replace(records[0], started_at=STARTED_AT)
    good = [msgspec.structs.replace(order, due=at, ended=at) for at in acknowledged]
    refusal = {"answer": None, "status": 503, "failure": Failure.SERVER_ERROR}
    bad = [msgspec.structs.replace(order, due=at, ended=at, **refusal) for at in failed]
    return Ledger(run, (run, *good, *bad, records[-1]))


@pytest.mark.parametrize(
    ("acknowledged", "since", "until", "seconds"),
    [
        ([1, 2, 7, 8], 2.5, 7.5, 5),  # it began before the fault was over
        ([1, 2, 3, 9], 0, 10, 6),
        ([1, 2, 20, 30], 1, 8, 18),  # it ended after the last look
        ([1, 2], 1.5, 8, 6),  # nothing ends it
        ([], 1, 8, 7),
    ],
)
def test_longest_time_without_an_order(acknowledged: list[float], since: float, until: float, seconds: float) -> None:
    # given orders acknowledged at these seconds, when a fault is looked at, then its longest gap counts
    ledger = ledger_of(acknowledged, failed=[2.2, 5.0])
    assert longest_s(ledger, since=STARTED_AT + since, until=STARTED_AT + until) == pytest.approx(seconds)


def test_failed_orders_are_those_due_in_the_time() -> None:
    ledger = ledger_of([1, 2, 7], failed=[0.5, 3, 4, 9])

    assert failed_orders(ledger, since=STARTED_AT + 1, until=STARTED_AT + 5) == 2
