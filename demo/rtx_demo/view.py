"""Output of the demo: live updates in a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text
from rtx_lab.progress import Reporter
from rtx_traffic.progress import Progress

from .cutovers import FINAL_PHASES, Cutover
from .engine import Condition
from .errors import DemoError
from .report import Row

REFRESH_PER_SECOND = 4


class View:
    """Prints events as they happen."""

    def __init__(self, console: Console | None = None) -> None:
        """Prints to `console`, standard output by default."""
        self.console = console or Console(highlight=False)
        self.reporter = Reporter(self.console)

    def title(self, text: str) -> None:
        self.console.print(f"\n[bold]{text}[/bold]")

    def print_line(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)

    @contextmanager
    def conditions(self) -> Iterator["ConditionLog"]:
        """A log of an engine's conditions for the block."""
        yield ConditionLog(self)

    @contextmanager
    def cutover(self, progress: Callable[[], Progress]) -> Iterator["PhaseList"]:
        """The phases of a cutover as they happen, with the load's counts."""
        phases = PhaseList(self, progress)
        if not self.console.is_terminal:
            yield phases
            return
        with Live(phases, console=self.console, refresh_per_second=REFRESH_PER_SECOND):
            yield phases

    @staticmethod
    def progress(progress: Progress) -> str:
        """The load's counts as one line."""
        latencies = f", p50 {progress.p50_ms:.1f} ms, p99 {progress.p99_ms:.1f} ms" if progress.p99_ms else ""
        return (
            f"{progress.second:4d} s  {progress.requests:,} requests, {progress.failed:,} failed, "
            f"{progress.orders_acknowledged:,} orders acknowledged, {progress.sockets} WebSockets{latencies}"
        )

    def table(self, rows: Sequence[Row], findings: Sequence[str], *, caption: str = "") -> None:
        """Print the figures, and below them the findings."""
        table = Table("id", "what", "value", "unit", title="results", title_style="bold", caption=caption)
        for row in rows:
            style = {True: "green", False: "bold red", None: ""}[row.good]
            table.add_row(row.id, row.what, f"{row.value:,}", row.unit, style=style)
        self.console.print()
        self.console.print(table)
        for finding in findings:
            self.print_line(f"- {finding}")


class ConditionLog:
    """Prints an engine's Ready condition whenever it changes."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._began = time.monotonic()
        self._last = ""

    def update(self, condition: Condition) -> None:
        text = f"{condition.reason}: {condition.message}"
        if condition.type == "Ready" and text != self._last:
            self._last = text
            self._view.print_line(f"{time.monotonic() - self._began:6.1f} s  {text}")


class PhaseList:
    """The phases of one cutover: a growing list in a terminal, one line each elsewhere."""

    def __init__(self, view: View, progress: Callable[[], Progress]) -> None:
        """Starts empty; `progress` supplies the load's counts."""
        self._view = view
        self._progress = progress
        self._began = time.monotonic()
        self._passed: list[tuple[str, float, str]] = []  # name, start in seconds, last message

    def update(self, cutover: Cutover) -> None:
        """Add the cutover's current phase or message."""
        at = time.monotonic() - self._began
        is_new = not self._passed or self._passed[-1][0] != cutover.phase
        if is_new:
            self._passed.append((cutover.phase, at, cutover.message))
        elif cutover.message:
            self._passed[-1] = (cutover.phase, self._passed[-1][1], cutover.message)
        if not self._view.console.is_terminal and is_new:
            counts = self._progress()
            requests = f"{counts.requests:,} requests, {counts.failed:,} failed"
            self._view.print_line(f"{at:6.1f} s  {cutover.phase:<14} {requests}  {cutover.message}".rstrip())

    def __rich__(self) -> Group:
        """The current list; the running phase's seconds count up."""
        now = time.monotonic() - self._began
        grid = Table.grid("", "", "", padding=(0, 2))
        passed = list(self._passed)  # rich calls this from its own thread
        for (phase, began, message), (_, end, _) in zip(passed, [*passed[1:], ("", now, "")], strict=False):
            took = "" if phase in FINAL_PHASES else f"{end - began:5.1f} s"
            grid.add_row(Text(f"{began:6.1f} s  {phase}"), Text(took), Text(message, overflow="ellipsis", no_wrap=True))
        return Group(grid, Text(self._counts(), style="dim"))

    def _counts(self) -> str:
        try:
            return self._view.progress(self._progress())
        except DemoError as error:  # raised in rich's refresh thread it would be lost
            return str(error)
