"""How long a load got no order acknowledged. Pure."""

from itertools import pairwise

from .ledger import Kind, Ledger


def longest_s(ledger: Ledger, *, since: float, until: float) -> float:
    """Seconds of the longest time without an acknowledged order that overlaps [since, until] (Unix seconds).

    A time that nothing ends counts up to `until`.
    """
    begin, end = since - ledger.run.started_at, until - ledger.run.started_at
    acknowledged = sorted(
        request.ended for request in ledger.requests() if request.kind is Kind.ORDER and request.answer is not None
    )
    before = [at for at in acknowledged if at <= begin][-1:]
    within = [at for at in acknowledged if begin < at < end]
    after = [at for at in acknowledged if at >= end][:1] or [end]
    times = [*(before or [begin]), *within, *after]
    return max(later - earlier for earlier, later in pairwise(times))


def failed_orders(ledger: Ledger, *, since: float, until: float) -> int:
    """The orders due in [since, until] (Unix seconds) that failed."""
    begin, end = since - ledger.run.started_at, until - ledger.run.started_at
    return sum(bool(request.failed) for request in ledger.requests() if request.order and begin <= request.due <= end)
