"""The reporter's output during builds."""

import io
import time
from collections.abc import Callable

import pytest
from rich.console import Console
from rtx_lab import progress
from rtx_lab.estimate import Builds
from rtx_lab.progress import Reporter
from rtx_lab.tracker import Tracker

SECONDS = {"one": 600.0, "two": 600.0}


def wait_for(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.005)


@pytest.fixture
def output() -> io.StringIO:
    return io.StringIO()


def tracker(output: io.StringIO, *, terminal: bool) -> Tracker:
    console = Console(file=output, width=100, force_terminal=terminal)
    return Tracker(Builds(SECONDS, concurrency=1, pending=("one", "two")), "programs", Reporter(console))


@pytest.mark.parametrize("terminal", [False, True])
def test_remaining_time_is_shown_during_builds(
    output: io.StringIO, monkeypatch: pytest.MonkeyPatch, *, terminal: bool
) -> None:
    # given
    monkeypatch.setattr(progress, "REMINDER_SECONDS", 0.01)
    builds = tracker(output, terminal=terminal)
    with builds.displayed():
        # when
        wait_for(lambda: "0 of 2 programs built, about 20 min left" in output.getvalue())
        with builds.building("one"):
            # then
            wait_for(lambda: "0 of 2 programs built, about 20 min left (one 0 s)" in output.getvalue())
        wait_for(lambda: "1 of 2 programs built" in output.getvalue())
    # then
    assert builds.snapshot().pending == ("two",)
    assert set(builds.snapshot().built) == {"one"}


def test_failed_build_does_not_count_as_built(output: io.StringIO) -> None:
    # given
    builds = tracker(output, terminal=False)
    # when
    with pytest.raises(OSError, match="full"), builds.building("one"):
        raise OSError("full")
    # then
    assert builds.snapshot().built == {}
    assert set(builds.snapshot().running) == {"one"}


def test_step_without_reminders_is_reported_at_its_end(output: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    # given
    monkeypatch.setattr(progress, "REMINDER_SECONDS", 0.01)
    reporter = Reporter(Console(file=output, width=100))
    # when
    with reporter.step("reported"):
        with reporter.step("quiet", reminders=False):
            wait_for(lambda: "reported … 0 s" in output.getvalue())
        wait_for(lambda: "quiet: " in output.getvalue())
    # then
    assert "quiet …" not in output.getvalue()


def test_long_sentence_is_not_wrapped_in_a_log(output: io.StringIO) -> None:
    Reporter(Console(file=output, width=20)).print_line("a sentence longer than twenty characters")
    assert output.getvalue() == "a sentence longer than twenty characters\n"
