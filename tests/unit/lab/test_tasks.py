"""Concurrent tasks are cancelled together."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from rtx_lab import tasks
from rtx_lab.errors import LabError
from rtx_lab.processes import run

INTERRUPTED = """
import pathlib, signal, sys
from rtx_lab import tasks
from rtx_lab.processes import run
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
command = ["sh", "-c", 'echo $$ >"$0"; sleep 300 & wait', sys.argv[1]]
tasks.run_concurrently([lambda: run(command, deadline_s=300)], concurrency=1)
"""


def long_program(pid_file: Path) -> None:
    run(["sh", "-c", 'echo $$ >"$0"; sleep 300 & wait', pid_file], deadline_s=300)


def wait_for(file: Path) -> int:
    """The process group that wrote the file, once it is written."""
    while not (file.exists() and file.read_text().endswith("\n")):
        time.sleep(0.01)
    return int(file.read_text())


def wait_until_gone(group: int) -> None:
    """Returns when no process of the group runs; zombies that nobody waits for in a container do not count."""
    command = ["ps", "-o", "stat=", "-g", str(group)]

    def states() -> list[str]:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()

    while any(not state.startswith("Z") for state in states()):
        time.sleep(0.01)


def test_results_come_in_the_order_of_the_tasks() -> None:
    # given: the second ends first
    first_may_end = threading.Event()

    def first() -> str:
        first_may_end.wait()
        return "first"

    def second() -> str:
        first_may_end.set()
        return "second"

    # then
    assert tasks.run_concurrently([first, second], concurrency=2) == ["first", "second"]


def test_failure_terminates_the_other_program_and_its_children(tmp_path: Path) -> None:
    # given
    pid_file = tmp_path / "pid"

    def fails() -> None:
        wait_for(pid_file)
        raise LabError("no space left")

    # when
    with pytest.raises(LabError, match=r"^no space left$"):
        tasks.run_concurrently([lambda: long_program(pid_file), fails], concurrency=2)
    # then
    wait_until_gone(wait_for(pid_file))


def test_no_task_and_no_program_starts_after_a_failure() -> None:
    # given
    begun: list[str] = []
    failed = threading.Event()

    def fails() -> None:
        failed.set()
        raise LabError("no space left")

    def goes_on() -> None:
        failed.wait()
        while True:  # until the group is ended
            run(["true"], deadline_s=10)

    # when
    with pytest.raises(LabError, match=r"^no space left$"):
        tasks.run_concurrently(
            [fails, goes_on, lambda: begun.append("third"), lambda: begun.append("fourth")], concurrency=2
        )
    # then
    assert len(begun) <= 1  # the third may have begun before the failure was known, the fourth waits for the second
    assert "fourth" not in begun


def test_failure_in_a_nested_call_cancels_the_outer_tasks(tmp_path: Path) -> None:
    # given: what `prepare` does: programs, several at once, beside images
    pid_file = tmp_path / "pid"

    def fails() -> None:
        wait_for(pid_file)
        raise LabError("does not compile")

    def programs() -> None:
        tasks.run_concurrently([fails, lambda: None], concurrency=2)

    # when
    with pytest.raises(LabError, match=r"^does not compile$"):
        tasks.run_concurrently([lambda: long_program(pid_file), programs], concurrency=2)
    # then
    wait_until_gone(wait_for(pid_file))


def test_interruption_terminates_the_programs(tmp_path: Path) -> None:
    # given
    pid_file = tmp_path / "pid"
    process = subprocess.Popen([sys.executable, "-c", INTERRUPTED, pid_file])
    group = wait_for(pid_file)
    # when
    process.send_signal(signal.SIGTERM)
    # then
    assert process.wait(timeout=60) == 143
    wait_until_gone(group)


def test_shielded_cleanup_runs_in_a_cancelled_group(tmp_path: Path) -> None:
    # given
    pid_file, cleaned = tmp_path / "pid", tmp_path / "cleaned"

    def cleans_up() -> None:
        try:
            long_program(pid_file)
        finally:
            with tasks.shielded():
                run(["touch", cleaned], deadline_s=10)

    def fails() -> None:
        wait_for(pid_file)
        raise LabError("no space left")

    # when
    with pytest.raises(LabError, match="no space left"):
        tasks.run_concurrently([cleans_up, fails], concurrency=2)
    # then
    assert cleaned.exists()


def test_a_program_past_its_deadline_is_killed_with_its_children(tmp_path: Path) -> None:
    # given
    pid_file = tmp_path / "pid"
    stubborn = ["sh", "-c", 'trap "" TERM; echo $$ >"$0"; sleep 300 & wait', pid_file]
    # when
    with pytest.raises(LabError, match="did not end within 1 s"):
        tasks.run_concurrently([lambda: run(stubborn, deadline_s=1)], concurrency=1)
    # then
    wait_until_gone(wait_for(pid_file))


def ended_by_a_failure(script: str, pid_file: Path) -> str:
    """What the program of a group comes to when another task fails: its output, or the error of its end."""
    outcome: list[str] = []

    def runs() -> None:
        try:
            outcome.append(run(["sh", "-c", script, pid_file], deadline_s=60))
        except LabError as error:
            outcome.append(str(error))

    def fails() -> None:
        wait_for(pid_file)
        raise LabError("no space left")

    with pytest.raises(LabError, match="no space left"):
        tasks.run_concurrently([runs, fails], concurrency=2)
    return outcome[0]


def test_orphaned_child_ends_with_its_group(tmp_path: Path) -> None:
    # given a program that has ended and left a child, which holds its output open; when another task fails
    outcome = ended_by_a_failure('sleep 300 & echo $$ >"$0"', tmp_path / "pid")
    # then the child ends, and is not waited for until the deadline
    assert outcome == ""


def test_program_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a program that ignores SIGTERM; when another task fails
    monkeypatch.setattr(tasks, "KILL_AFTER_SECONDS", 0.1)
    outcome = ended_by_a_failure('trap "" TERM; sleep 300 & echo $$ >"$0"; wait', tmp_path / "pid")
    # then it is killed, and not waited for until the deadline
    assert "did not end" not in outcome


def test_cancellation_check_outside_of_a_group_passes() -> None:
    tasks.raise_if_cancelled()
    assert run(["echo", os.sep], deadline_s=10) == "/\n"
