"""Progress output: a live line per step in a terminal, plain lines elsewhere (a log, CI)."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, ProgressColumn, SpinnerColumn, Task, TimeElapsedColumn
from rich.text import Text

REMINDER_SECONDS = 30.0
Line = Callable[[], str]
"""Returns a line's current text; called repeatedly, from another thread."""


class _TextColumn(ProgressColumn):
    """The current text of a task's line, truncated to the terminal's width."""

    def render(self, task: Task) -> Text:
        return Text(task.fields["line"](), no_wrap=True, overflow="ellipsis")


class Reporter:
    """Shows steps, also concurrent ones of several threads."""

    def __init__(self, console: Console | None = None) -> None:
        """Prints to `console`, standard error by default, so that standard output stays clean for pipes."""
        self.console = console or Console(stderr=True, highlight=False)
        self._live: Progress | None = None
        self._open = 0
        self._lock = threading.Lock()

    def print_line(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)

    @contextmanager
    def step(self, title: str, *, reminders: bool = True) -> Iterator[None]:
        """Shows `title` during the block, and its duration at the end. A failure is reported by its exception.

        Without a terminal and with `reminders`, a line every 30 s reports that the step is still running.
        """
        began = time.monotonic()
        if self.console.is_terminal:
            displayed = self._terminal_line(lambda: title)
        else:
            displayed = self._plain_lines(lambda: f"{title} … {time.monotonic() - began:.0f} s" if reminders else "")
        with displayed:
            yield
        self.print_line(f"{title}: {time.monotonic() - began:.1f} s")

    @contextmanager
    def overview(self, line: Line) -> Iterator[None]:
        """Shows `line` during the block: always in a terminal, every 30 s elsewhere."""
        with self._terminal_line(line) if self.console.is_terminal else self._plain_lines(line):
            yield

    @contextmanager
    def _terminal_line(self, line: Line) -> Iterator[None]:
        with self._lock:
            if self._live is None:
                columns = (SpinnerColumn(), _TextColumn(), TimeElapsedColumn())
                self._live = Progress(*columns, console=self.console, transient=True)
                self._live.start()
            live, self._open = self._live, self._open + 1
            task = live.add_task("", line=line)
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
    def _plain_lines(self, line: Line) -> Iterator[None]:
        done = threading.Event()

        def remind() -> None:
            while not done.wait(REMINDER_SECONDS):
                if text := line():
                    self.print_line(text)

        thread = threading.Thread(target=remind, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
