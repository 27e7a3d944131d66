"""How much of its CPU this pod uses."""

import time
from collections.abc import Callable
from pathlib import Path

QUOTA = Path("/sys/fs/cgroup/cpu.max")  # "max 100000", or the microseconds of CPU in so many of time
PERIOD_SECONDS = 0.1  # over which the share is measured


class CpuMeter:
    """The share of the CPU that the process used in the last period."""

    def __init__(
        self,
        quota: Path = QUOTA,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.process_time,
    ) -> None:
        """Both clocks are in seconds."""
        self._clock, self._cpu_clock = clock, cpu_clock
        # One event loop never uses more than one processor, however many the pod may have.
        self._processors = min(1.0, _processors(quota))
        self._began = clock()
        self._used = cpu_clock()
        self._share = 0.0

    def share(self) -> float:
        """From 0.0 to 1.0, and above with threads; at most a period old if it is asked often."""
        elapsed = self._clock() - self._began
        if elapsed >= PERIOD_SECONDS:
            used = self._cpu_clock()
            self._share = (used - self._used) / (elapsed * self._processors)
            self._began += elapsed
            self._used = used
        return self._share


def _processors(quota: Path) -> float:
    """The quota in processors; infinite where there is none."""
    try:
        allowed, period = quota.read_text(encoding="ascii").split()
        return float("inf") if allowed == "max" else int(allowed) / int(period)
    except (OSError, ValueError):
        return float("inf")
