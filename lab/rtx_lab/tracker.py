"""Tracks concurrent builds and shows their progress and estimate."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from rtx_lab import estimate
from rtx_lab.estimate import Builds
from rtx_lab.progress import Reporter


class Tracker:
    """The state of several builds; any thread may start and end them."""

    def __init__(self, planned: Builds, noun: str, reporter: Reporter) -> None:
        """None of the `planned` builds has started; `noun` names them in the plural."""
        self._planned = planned
        self._noun = noun
        self._reporter = reporter
        self._lock = threading.Lock()
        self._began: dict[str, float] = {}
        self._took: dict[str, float] = {}

    @contextmanager
    def building(self, name: str) -> Iterator[None]:
        """The block builds `name`. A failed build stays in state running."""
        with self._lock:
            self._began[name] = time.monotonic()
        yield
        with self._lock:
            self._took[name] = time.monotonic() - self._began.pop(name)

    def snapshot(self) -> Builds:
        """The current state of the builds."""
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
        """Shows the number of finished builds and the estimated remaining time during the block."""
        with self._reporter.overview(lambda: estimate.state(self.snapshot(), self._noun)):
            yield
