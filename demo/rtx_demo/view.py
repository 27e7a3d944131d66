"""What the person in front of the terminal sees: rich there, plain lines elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.status import Status
from rich.table import Table
from rtx_lab.progress import Reporter
from rtx_traffic.progress import Progress

from .engine import Condition
from .report import Row

PLAIN_EVERY = 5  # seconds between lines of progress where there is no terminal


class View:
    """Prints in the order in which things happen."""

    def __init__(self, console: Console | None = None) -> None:
        """Prints to `console`, by default standard output."""
        self.console = console or Console(highlight=False)
        self.reporter = Reporter(self.console)

    def title(self, text: str) -> None:
        self.console.print(f"\n[bold]{text}[/bold]")

    def say(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)

    @contextmanager
    def conditions(self) -> Iterator["Story"]:
        yield Story(self)

    @contextmanager
    def traffic(self) -> Iterator["Counter"]:
        with self.console.status("logging the accounts in …") as status:
            yield Counter(self, status)

    def table(self, rows: list[Row], findings: tuple[str, ...]) -> None:
        """The figures, and below them what went wrong."""
        table = Table("id", "what", "value", "unit", title="what happened", title_style="bold")
        for row in rows:
            style = {True: "green", False: "bold red", None: ""}[row.good]
            table.add_row(row.id, row.what, f"{row.value:,}", row.unit, style=style)
        self.console.print()
        self.console.print(table)
        for finding in findings:
            self.say(f"- {finding}")


class Story:
    """An engine's conditions, a line when one changes."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._began = time.monotonic()
        self._last = ""

    def tell(self, condition: Condition) -> None:
        text = f"{condition.reason}: {condition.message}"
        if condition.type == "Ready" and text != self._last:
            self._last = text
            self._view.say(f"{time.monotonic() - self._began:6.1f} s  {text}")


class Counter:
    """The load's counts, live."""

    def __init__(self, view: View, status: Status) -> None:
        self._view = view
        self._status = status

    def show(self, progress: Progress) -> None:
        text = (
            f"{progress.second:4d} s  {progress.requests:,} requests, {progress.failed:,} failed, "
            f"{progress.orders_acknowledged:,} orders acknowledged, {progress.sockets} WebSockets, "
            f"p50 {progress.p50_ms:.1f} ms, p99 {progress.p99_ms:.1f} ms"
        )
        if self._view.console.is_terminal:
            self._status.update(text)
        elif progress.second % PLAIN_EVERY == 0:
            self._view.say(text)
