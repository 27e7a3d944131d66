"""Progress of a run: the line that a pod prints each second, and the sum over all pods. Pure."""

from collections.abc import Collection

import msgspec


class Progress(msgspec.Struct):
    """Counts since the run's start; latencies in ms of requests answered since the last line, 0.0 without any."""

    second: int = 0
    requests: int = 0
    failed: int = 0
    orders_acknowledged: int = 0
    sockets: int = 0
    p50_ms: float = 0.0
    p99_ms: float = 0.0


def total(parts: Collection[Progress]) -> Progress:
    """The summed counts of all parts, and the highest latencies, as percentiles cannot be added."""
    return Progress(
        second=max((part.second for part in parts), default=0),
        requests=sum(part.requests for part in parts),
        failed=sum(part.failed for part in parts),
        orders_acknowledged=sum(part.orders_acknowledged for part in parts),
        sockets=sum(part.sockets for part in parts),
        p50_ms=max((part.p50_ms for part in parts), default=0.0),
        p99_ms=max((part.p99_ms for part in parts), default=0.0),
    )
