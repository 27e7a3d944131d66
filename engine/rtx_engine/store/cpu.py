"""Whether CPU is what this pod lacks."""

import time
from collections.abc import Callable
from pathlib import Path

QUOTA = Path("/sys/fs/cgroup/cpu.max")  # "max 100000", or the microseconds of CPU in so many of time
SCHEDULER = Path("/proc/self/schedstat")  # of the event loop's thread: nanoseconds that it ran and that it waited to
PERIOD_SECONDS = 0.1  # over which the share is measured


class CpuMeter:
    """The share of its CPU that the pod used or waited for in the last period: neighbours may have the rest."""

    def __init__(
        self,
        quota: Path = QUOTA,
        scheduler: Path = SCHEDULER,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.process_time,
    ) -> None:
        """Both clocks are in seconds."""
        self._clock, self._cpu_clock, self._scheduler = clock, cpu_clock, scheduler
        # One event loop never uses more than one processor, however many the pod may have.
        self._processors = min(1.0, _processors(quota))
        self._measured_at = clock()
        self._wanted = self._cpu_wanted()
        self._share = 0.0

    def share(self) -> float:
        """From 0.0 to 1.0, and above with threads; at most a period old if it is asked often."""
        elapsed = self._clock() - self._measured_at
        if elapsed >= PERIOD_SECONDS:
            wanted = self._cpu_wanted()
            self._share = (wanted - self._wanted) / (elapsed * self._processors)
            self._measured_at += elapsed
            self._wanted = wanted
        return self._share

    def _cpu_wanted(self) -> float:
        """Seconds of CPU that the process has used, and that its event loop has waited for."""
        try:
            waited = int(self._scheduler.read_text(encoding="ascii").split()[1]) / 1e9
        except (OSError, ValueError, IndexError):  # a kernel that does not say so
            waited = 0.0
        return self._cpu_clock() + waited


def _processors(quota: Path) -> float:
    """The quota in processors; infinite where there is none."""
    try:
        allowed, period = quota.read_text(encoding="ascii").split()
        return float("inf") if allowed == "max" else int(allowed) / int(period)
    except (OSError, ValueError):
        return float("inf")
