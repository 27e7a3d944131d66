"""Tasks in threads that end together: when one fails, or the user interrupts, the programs of the others are ended."""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

from rtx_lab.errors import LabError

Result = TypeVar("Result")
Program = subprocess.Popen[str]


@dataclass(frozen=True)
class Command:
    """A program to run to its end: `output` takes both its streams; without one they are captured."""

    words: Sequence[str]
    deadline_s: float
    stdin: str | None = None
    folder: Path | None = None
    environment: Mapping[str, str] | None = None
    output: IO[bytes] | None = None


class Group:
    """The tasks of one call of `together`, with those of calls inside them, and the programs that run for them now."""

    def __init__(self) -> None:
        """Begins without tasks."""
        self._lock = threading.Lock()
        self._programs: set[Program] = set()
        self.cause: BaseException | None = None  # what ended the group; the first counts, the rest follow from it

    def end(self, cause: BaseException) -> None:
        """Lets no further task or program begin, and asks the programs that run to end (SIGTERM)."""
        with self._lock:
            self.cause = self.cause or cause
            for program in self._programs:
                _signal(program, signal.SIGTERM)

    def check(self) -> None:
        """Raises LabError once the group was ended."""
        if self.cause:
            raise LabError("Given up, because what ran beside it failed.")

    @contextmanager
    def running(self, command: Command) -> Iterator[Program]:
        """The program, in a process group of its own, so that its children end with it."""
        with self._lock:
            self.check()
            program = _start(command)
            self._programs.add(program)
        with program:
            try:
                yield program
            except BaseException:
                _signal(program, signal.SIGKILL)
                raise
            finally:
                with self._lock:
                    self._programs.discard(program)


_current: ContextVar[Group | None] = ContextVar("group", default=None)


def together(tasks: Sequence[Callable[[], Result]], at_once: int) -> list[Result]:
    """Runs the tasks in up to `at_once` threads, begun in order, and returns their results in order.

    When one raises, or this thread is interrupted (Ctrl-C, SIGTERM): no further task begins, the programs that the
    others run are ended, and the first exception is raised once every thread is over. Inside a task, a further call
    joins the group of that task.
    """
    group = _current.get() or Group()

    def one(task: Callable[[], Result]) -> Result:
        _current.set(group)  # the thread's own: it does not outlive the pool
        try:
            group.check()
            return task()
        except BaseException as error:
            group.end(error)
            raise

    with ThreadPoolExecutor(max(1, at_once)) as pool:
        try:
            futures = [pool.submit(one, task) for task in tasks]
            wait(futures)
        except BaseException as interruption:
            group.end(interruption)
            raise
    if group.cause:
        raise group.cause
    return [future.result() for future in futures]


def check() -> None:
    """Raises LabError when this task's group was ended; between the steps of a long task."""
    if group := _current.get():
        group.check()


@contextmanager
def shielded() -> Iterator[None]:
    """What the block runs is no part of the group: it cleans up, also when the group was ended."""
    token = _current.set(None)
    try:
        yield
    finally:
        _current.reset(token)


def run_program(command: Command) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end, or to that of this task's group; whatever its exit code.

    Raises FileNotFoundError without such a program, subprocess.TimeoutExpired after its deadline (it is killed then),
    and LabError in a task whose group was ended before.
    """
    group = _current.get()
    stream = command.output or subprocess.PIPE
    if not group:  # it shares our process group, and a terminal's Ctrl-C with us
        return subprocess.run(
            command.words,
            input=command.stdin,
            stdout=stream,
            stderr=stream,
            cwd=command.folder,
            env=command.environment,
            text=True,
            timeout=command.deadline_s,
            check=False,
        )
    with group.running(command) as program:
        out, err = program.communicate(command.stdin, timeout=command.deadline_s)
    return subprocess.CompletedProcess(command.words, program.returncode, out, err)


def _start(command: Command) -> Program:
    stream = command.output or subprocess.PIPE
    return subprocess.Popen(
        command.words,
        # Not the terminal: a process group in its background is stopped when it sets its modes.
        stdin=subprocess.DEVNULL if command.stdin is None else subprocess.PIPE,
        stdout=stream,
        stderr=stream,
        cwd=command.folder,
        env=command.environment,
        text=True,
        process_group=0,
    )


def _signal(program: Program, number: signal.Signals) -> None:
    if program.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(program.pid, number)
