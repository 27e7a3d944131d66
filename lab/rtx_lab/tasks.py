"""Tasks in threads that end together: when one fails, or the user interrupts, the programs of the others are ended."""

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

    def _signal_all(self, number: signal.Signals) -> None:
        for program in self._programs:
            _signal(program, number)

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


def run_concurrently(tasks: Sequence[Callable[[], Result]], concurrency: int) -> list[Result]:
    """Runs the tasks in up to `concurrency` threads, begun in order, and returns their results in order.

    When one raises, or this thread is interrupted (Ctrl-C, SIGTERM): no further task begins, the programs that the
    others run are ended, and the first exception is raised once every thread is over. Inside a task, a further call
    joins the group of that task.
    """
    group = _current.get() or Group()
    waiting, results = deque(enumerate(tasks)), dict[int, Result]()
    over: SimpleQueue[None] = SimpleQueue()  # not a pool's locks: an interruption may come while they are half taken

    def work() -> None:
        _current.set(group)  # the thread's own
        while True:
            try:
                number, task = waiting.popleft()
            except IndexError:  # the others have taken the last one
                return
            try:
                group.check()
                results[number] = task()
            except BaseException as error:  # noqa: BLE001  raised by the caller's thread
                group.end(error)
            over.put(None)

    threads = [threading.Thread(target=work) for _ in range(min(max(1, concurrency), len(tasks)))]
    try:
        for thread in threads:
            thread.start()
        for _ in tasks:
            _wait(over)
    except BaseException as interruption:
        group.end(interruption)
        raise
    finally:
        for thread in threads:
            with suppress(RuntimeError):  # it was interrupted before it had started
                thread.join()
    if group.cause:
        raise group.cause
    return [results[number] for number in range(len(tasks))]


def _wait(over: "SimpleQueue[None]") -> None:
    """Waits for the next task's end; short waits, as a signal that comes just before one does not interrupt it."""
    while True:
        with suppress(Empty):
            return over.get(timeout=SIGNAL_POLL_SECONDS)


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
    """To the program's process group, also when only children are left: until the program is reaped it is theirs."""
    if program.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(program.pid, number)
