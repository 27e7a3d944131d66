"""One line per step: a live line with seconds in a terminal, plain lines elsewhere (a build log, CI)."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

PLAIN_REMINDER_S = 30.0


class Reporter:
    """Shows steps, also several at once from several threads."""

    def __init__(self, console: Console | None = None) -> None:
        """Reports to `console`; standard error when absent, so that output meant for pipes stays clean."""
        self.console = console or Console(stderr=True, highlight=False)
        self._live: Progress | None = None
        self._open = 0
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        self.console.print(text, markup=False)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Announces `title`, and when the block ends, how long it took. A failure is left to its exception."""
        began = time.monotonic()
        with self._terminal_line(title) if self.console.is_terminal else self._reminders(title, began):
            yield
        self.say(f"{title}: {time.monotonic() - began:.1f} s")

    @contextmanager
    def _terminal_line(self, title: str) -> Iterator[None]:
        with self._lock:
            if self._live is None:
                columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
                self._live = Progress(*columns, console=self.console, transient=True)
                self._live.start()
            live, self._open = self._live, self._open + 1
            task = live.add_task(title)
        try:
            yield
        finally:
            with self._lock:
                live.remove_task(task)
                self._open -= 1
                if self._open == 0:
                    live.stop()
                    self._live = None

    @contextmanager
    def _reminders(self, title: str, began: float) -> Iterator[None]:
        done = threading.Event()

        def remind() -> None:
            while not done.wait(PLAIN_REMINDER_S):
                self.say(f"{title} … {time.monotonic() - began:.0f} s")

        thread = threading.Thread(target=remind, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
