"""Which of several builds are done, and what that makes of the estimate; for those who watch."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from rtx_lab import estimate
from rtx_lab.estimate import Builds
from rtx_lab.progress import Reporter


class Tracker:
    """Builds under way, begun and ended by any thread."""

    def __init__(self, planned: Builds, noun: str, reporter: Reporter) -> None:
        """None of the `planned` builds has begun; `noun` is what several of them are called."""
        self._planned = planned
        self._noun = noun
        self._reporter = reporter
        self._lock = threading.Lock()
        self._began: dict[str, float] = {}
        self._took: dict[str, float] = {}

    @contextmanager
    def one(self, name: str) -> Iterator[None]:
        """The block builds `name`. One that fails stays under way."""
        with self._lock:
            self._began[name] = time.monotonic()
        yield
        with self._lock:
            self._took[name] = time.monotonic() - self._began.pop(name)

    def now(self) -> Builds:
        """The builds as of now."""
        with self._lock:
            moment = time.monotonic()
            return replace(
                self._planned,
                pending=tuple(
                    name for name in self._planned.pending if name not in self._began and name not in self._took
                ),
                running={name: moment - began for name, began in self._began.items()},
                built=dict(self._took),
            )

    @contextmanager
    def displayed(self) -> Iterator[None]:
        """While the block builds, the reporter says how many are built and about how long the rest takes."""
        with self._reporter.overview(lambda: estimate.state(self.now(), self._noun)):
            yield
