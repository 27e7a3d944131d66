"""Statistics of the requests that this pod served itself. The operator judges a new version by them."""

import bisect
import math

import msgspec

UPPER_BOUNDS_MS = (1, 2, 5, 10, 20, 50, 100, 150, 200, 300, 400, 500, 750, 1000, 1500, 2000, 3000, 5000, math.inf)  # ms


class LatencyHistogram(msgspec.Struct, frozen=True):
    """Requests per latency bucket, not cumulative. Bounds in ms; the last is null, since JSON has no infinity."""

    upper_bounds: list[float | None]
    counts: list[int]


class ServedRequests(msgspec.Struct, frozen=True):
    """What this pod's own handlers answered to clients since the fence named its colour at `epoch`.

    Without answers 4xx, which are the clients' faults: they neither spoil nor dilute what the release did.
    """

    epoch: int
    requests: int
    server_errors: int  # responses with a 5xx status
    latency_ms: LatencyHistogram


class RequestStats:
    """Counts from the start of each epoch; empty while another colour executes."""

    def __init__(self) -> None:
        self._epoch: int | None = None
        self._server_errors = 0
        self._counts = [0] * len(UPPER_BOUNDS_MS)

    def restart(self, epoch: int | None) -> None:
        """Reset the counts. `epoch`: that of the fence if it names this pod's colour, or else None."""
        self._epoch = epoch
        self._server_errors = 0
        self._counts = [0] * len(UPPER_BOUNDS_MS)

    def record(self, status: int, seconds: float) -> None:
        """Count a client's request, handled in `seconds`. Does nothing for a 4xx, or while another colour executes."""
        if self._epoch is None or 400 <= status < 500:
            return
        self._counts[bisect.bisect_left(UPPER_BOUNDS_MS, seconds * 1000)] += 1
        if status >= 500:
            self._server_errors += 1

    def served(self) -> ServedRequests | None:
        """The counts; None while another colour executes."""
        if self._epoch is None:
            return None
        bounds = [bound if math.isfinite(bound) else None for bound in UPPER_BOUNDS_MS]
        histogram = LatencyHistogram(bounds, list(self._counts))
        return ServedRequests(self._epoch, sum(self._counts), self._server_errors, histogram)
