"""Concurrent tasks in threads: when one fails or the user interrupts, the others are cancelled with their programs."""

import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO, TypeVar

from rtx_lab.errors import LabError

Result = TypeVar("Result")
Program = subprocess.Popen[str]
SIGNAL_POLL_SECONDS = 0.2
KILL_AFTER_SECONDS = 10.0


@dataclass(frozen=True)
class Command:
    """A program to run to its end. Both streams go to `output`; without it they are captured."""

    words: Sequence[str]
    deadline_s: float
    stdin: str | None = None
    folder: Path | None = None
    environment: Mapping[str, str] | None = None
    output: IO[bytes] | None = None


class Group:
    """The tasks of one call of `run_concurrently` and of nested calls, with their running programs."""

    def __init__(self) -> None:
        """Starts without tasks."""
        self._lock = threading.Lock()
        self._programs: set[Program] = set()
        self.cause: BaseException | None = None  # the first reason for the cancellation

    def cancel(self, cause: BaseException) -> None:
        """Starts no further task or program. Running programs get SIGTERM, and SIGKILL after KILL_AFTER_SECONDS."""
        with self._lock:
            self.cause = self.cause or cause
            self._signal_all(signal.SIGTERM)
        killer = threading.Timer(KILL_AFTER_SECONDS, self._kill)
        killer.daemon = True
        killer.start()

    def _kill(self) -> None:
        with self._lock:
            self._signal_all(signal.SIGKILL)

    def _signal_all(self, signal_number: signal.Signals) -> None:
        for program in self._programs:
            _signal(program, signal_number)

    def raise_if_cancelled(self) -> None:
        """Raises LabError once the group is cancelled."""
        if self.cause:
            raise LabError("Cancelled, because a concurrent task failed.")

    @contextmanager
    def running(self, command: Command) -> Iterator[Program]:
        """Runs the program in its own process group, so that its children end with it."""
        with self._lock:
            self.raise_if_cancelled()
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


def run_concurrently(tasks: Sequence[Callable[[], Result]], concurrency: int) -> list[Result]:
    """Runs the tasks in up to `concurrency` threads, started in order; returns their results in order.

    When one raises, or this thread is interrupted (Ctrl-C, SIGTERM): no further task starts, the programs of the others
    are terminated, and the first exception is raised after all threads have ended. A nested call inside a task joins
    the group of that task.
    """
    group = _current.get() or Group()
    waiting, results = deque(enumerate(tasks)), dict[int, Result]()
    over: SimpleQueue[None] = SimpleQueue()  # a pool's locks would be inconsistent after an interruption

    def work() -> None:
        _current.set(group)  # context variables are per thread
        while True:
            try:
                number, task = waiting.popleft()
            except IndexError:  # no task is left
                return
            try:
                group.raise_if_cancelled()
                results[number] = task()
            except BaseException as error:  # noqa: BLE001  raised by the caller's thread
                group.cancel(error)
            over.put(None)

    threads = [threading.Thread(target=work) for _ in range(min(max(1, concurrency), len(tasks)))]
    try:
        for thread in threads:
            thread.start()
        for _ in tasks:
            _wait(over)
    except BaseException as interruption:
        group.cancel(interruption)
        raise
    finally:
        for thread in threads:
            with suppress(RuntimeError):  # interrupted before it was started
                thread.join()
    if group.cause:
        raise group.cause
    return [results[number] for number in range(len(tasks))]


def _wait(over: "SimpleQueue[None]") -> None:
    """Waits for the next task's end in short waits: a signal that arrives just before a wait does not interrupt it."""
    while True:
        with suppress(Empty):
            return over.get(timeout=SIGNAL_POLL_SECONDS)


def raise_if_cancelled() -> None:
    """Raises LabError when this task's group is cancelled. Call it between the steps of a long task."""
    if group := _current.get():
        group.raise_if_cancelled()


@contextmanager
def shielded() -> Iterator[None]:
    """Programs of the block are not part of the group, so that cleanup runs also in a cancelled group."""
    token = _current.set(None)
    try:
        yield
    finally:
        _current.reset(token)


def run_program(command: Command) -> subprocess.CompletedProcess[str]:
    """Runs a program until it ends or this task's group is cancelled; does not check its exit code.

    Raises FileNotFoundError when it does not exist, subprocess.TimeoutExpired after its deadline (it is then killed),
    and LabError when the group is already cancelled.
    """
    group = _current.get()
    stream = command.output or subprocess.PIPE
    if not group:  # it shares this process group, and so a terminal's Ctrl-C
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
        # Not the terminal: a background process group is stopped when it changes terminal modes.
        stdin=subprocess.DEVNULL if command.stdin is None else subprocess.PIPE,
        stdout=stream,
        stderr=stream,
        cwd=command.folder,
        env=command.environment,
        text=True,
        process_group=0,
    )


def _signal(program: Program, signal_number: signal.Signals) -> None:
    """Signals the program's process group; until the program is reaped, the group id cannot be another one's."""
    if program.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(program.pid, signal_number)
