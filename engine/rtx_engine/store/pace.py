"""When the next batch begins: at once, unless this pod measures that something is short. Pure.

A batch of one order costs some 0.4 ms of CPU in engine and PostgreSQL together: 300 orders a second, each in a batch of
its own, take a ninth of a core. So orders do not wait for company while there is CPU. When it is short, or the database
slow, a few milliseconds of waiting make one transaction of several.
"""

from dataclasses import dataclass, replace

MAX_WAIT_SECONDS = 0.005
# A batch costs some 280 us whatever is in it, and each order 25: so at 8 orders most of what waiting can save is saved,
# and at 32 nearly all.
ENOUGH_ORDERS = 8
ENOUGH_ORDERS_WHEN_BUSY = 32
BUSY_CPU_SHARE = 0.8  # of what the pod may use
SLOW_COMMIT_FACTOR = 3.0  # against the best: the database, its disk or its standby is what is short

_RECENT_WEIGHT = 0.2  # of the newest commit in the average: five commits make it
_BEST_DRIFT = 1.002  # a commit: a best that is not reached any more doubles within 350 commits


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

    def enough_orders(self, cpu_share: float) -> int:
        """For how many orders the next batch waits, MAX_WAIT_SECONDS at most; 1: it begins at once."""
        if cpu_share > BUSY_CPU_SHARE:
            return ENOUGH_ORDERS_WHEN_BUSY
        slow = self.recent_seconds > SLOW_COMMIT_FACTOR * self.best_seconds
        return ENOUGH_ORDERS if slow else 1
