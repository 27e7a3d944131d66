"""When the next batch begins: at once, unless this pod measures that something is short. Pure.

A batch of one order costs some 0.4 ms of CPU in engine and PostgreSQL together: 300 orders a second, each in a batch of
its own, take a ninth of a core. So orders do not wait for company while there is CPU. When it is short, or the database
slow, a few milliseconds of waiting make one transaction of several.
"""

from dataclasses import dataclass, replace

MAX_WAIT_SECONDS = 0.005
# A batch costs some 280 us whatever is in it, and each order 25: so at 8 orders most of what waiting can save is saved,
# and at 16 nearly all. With 32 a pod of 64 clients waited for half of them, and the database idled (ADR 0205).
ENOUGH_ORDERS = 8
ENOUGH_ORDERS_WHEN_BUSY = 16
BUSY_CPU_SHARE = 0.8  # of what the pod may use
SLOW_COMMIT_FACTOR = 3.0  # against the best: the database, its disk or its standby is what is short
# What is there or expected within the wait, or an order begins at once: 400 a second. At 300 on a busy machine most
# waited in vain (ADR 0152).
MIN_COMPANY_ORDERS = 2
ARRIVALS_PERIOD_SECONDS = 0.1  # over which orders are counted

_RECENT_WEIGHT = 0.2  # of the newest commit in the average: five commits make it
_BEST_DRIFT = 1.002  # a commit: a best that is not reached any more doubles within 350 commits


@dataclass(frozen=True, slots=True)
class Arrivals:
    """How many orders come, counted over the last period."""

    per_second: float = 0.0
    counted: int = 0  # orders until `counted_at`
    counted_at: float = 0.0

    def after(self, orders: int, now: float) -> "Arrivals":
        """The arrivals at `now`, when so many have come since the start."""
        elapsed = now - self.counted_at
        if elapsed < ARRIVALS_PERIOD_SECONDS:
            return self
        return Arrivals((orders - self.counted) / elapsed, orders, now)


@dataclass(frozen=True, slots=True)
class Pace:
    """What the commits of small batches took: large ones take longer for what is in them."""

    recent_seconds: float = 0.0  # average of the last few; 0.0 before the first
    best_seconds: float = 0.0

    def after_commit(self, seconds: float, orders: int) -> "Pace":
        """The pace after a commit of so many orders that took so long."""
        if orders >= ENOUGH_ORDERS:
            return self
        if not self.recent_seconds:
            return Pace(seconds, seconds)
        return replace(
            self,
            recent_seconds=self.recent_seconds + _RECENT_WEIGHT * (seconds - self.recent_seconds),
            best_seconds=min(seconds, self.best_seconds * _BEST_DRIFT),
        )

    def enough_orders(self, cpu_share: float, waiting: int, per_second: float) -> int:
        """For how many orders the next batch waits, MAX_WAIT_SECONDS at most; 1: it begins at once.

        `waiting`: the orders that are there; `per_second`: how many come. One alone does not wait where none come, and
        for a slow database no batch waits that would not double.
        """
        expected = per_second * MAX_WAIT_SECONDS
        if max(waiting, expected) < MIN_COMPANY_ORDERS:
            return 1
        if cpu_share > BUSY_CPU_SHARE:
            return ENOUGH_ORDERS_WHEN_BUSY
        slow = self.recent_seconds > SLOW_COMMIT_FACTOR * self.best_seconds
        return ENOUGH_ORDERS if slow and expected >= max(waiting, MIN_COMPANY_ORDERS) else 1
