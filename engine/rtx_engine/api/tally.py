"""What this pod has answered by itself since it executes: how the operator judges a colour that has just taken over."""

import bisect
import math

import msgspec

UPPER_BOUNDS = (1, 2, 5, 10, 20, 50, 100, 150, 200, 300, 400, 500, 750, 1000, 1500, 2000, 3000, 5000, math.inf)  # ms


class Latencies(msgspec.Struct, frozen=True):
    """How many requests took at most each bound and more than the one before. JSON has no infinity: it is null."""

    upper_bounds: list[float | None]
    counts: list[int]


class Executed(msgspec.Struct, frozen=True):
    """Clients' requests that this pod answered itself since the fence named its colour at `epoch`."""

    epoch: int
    requests: int
    server_errors: int  # answers from 500 on
    latency_ms: Latencies


class Tally:
    """Counts. It begins anew with each epoch, and holds nothing while another colour executes."""

    def __init__(self) -> None:
        self._epoch: int | None = None
        self._server_errors = 0
        self._counts = [0] * len(UPPER_BOUNDS)

    def begin(self, epoch: int | None) -> None:
        """The fence names this pod's colour at `epoch`; None: another one."""
        self._epoch = epoch
        self._server_errors = 0
        self._counts = [0] * len(UPPER_BOUNDS)

    def answered(self, status: int, seconds: float) -> None:
        """A client's request was answered here."""
        if self._epoch is None:
            return
        self._counts[bisect.bisect_left(UPPER_BOUNDS, seconds * 1000)] += 1
        if status >= 500:
            self._server_errors += 1

    def executed(self) -> Executed | None:
        """What has been counted; None while another colour executes."""
        if self._epoch is None:
            return None
        bounds = [bound if math.isfinite(bound) else None for bound in UPPER_BOUNDS]
        latencies = Latencies(bounds, list(self._counts))
        return Executed(self._epoch, sum(self._counts), self._server_errors, latencies)
