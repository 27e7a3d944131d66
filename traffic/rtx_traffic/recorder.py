"""The run's clock, ledger file and progress counts."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from .ledger import Crash, End, Kind, Record, Request, Run, SocketClosed, SocketOpened, encode
from .progress import Progress

_FLUSH_BYTES = 1 << 18


class Recorder:
    """Writes records to `path` in call order."""

    def __init__(self, path: Path, run: Run, on_crash: Callable[[str], None] = lambda _: None) -> None:
        """Writes the run's record; `on_crash` receives a sentence for each crashed task."""
        self._on_crash = on_crash
        self._origin = time.monotonic() - (time.time() - run.started_at)
        self._file = path.open("wb")
        self._buffer = bytearray()
        self._ended = False
        self._progress = Progress()
        self._latencies: list[float] = []
        self._open: set[int] = set()
        self.record(run)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()
        self._file.close()

    def clock(self) -> float:
        """Monotonic seconds since the run's start."""
        return round(time.monotonic() - self._origin, 6)

    def record(self, record: Record) -> None:
        """Write a record. Records after the End, of closing sockets, are dropped."""
        if self._ended:
            return
        self._ended = isinstance(record, End)
        self._buffer += encode(record)
        if len(self._buffer) > _FLUSH_BYTES:
            self.flush()
        if isinstance(record, Request):
            self._count(record)
        elif isinstance(record, SocketOpened):
            self._open.add(record.socket)
        elif isinstance(record, SocketClosed):
            self._open.discard(record.socket)  # it may have been closed before its hello

    def watch(self, task: "asyncio.Task[None]", name: str) -> None:
        """Record a Crash when the task ends with an exception, as its own record is then missing."""
        task.add_done_callback(lambda ended: self._crashed(ended, name))

    def flush(self) -> None:
        self._file.write(self._buffer)
        self._file.flush()
        self._buffer.clear()

    def progress(self) -> Progress:
        """The current counts; resets the latencies."""
        self.flush()
        latencies = sorted(self._latencies)
        self._latencies.clear()
        for name, quantile in (("p50_ms", 50), ("p99_ms", 99)):
            value = latencies[len(latencies) * quantile // 100] if latencies else 0.0
            setattr(self._progress, name, round(value * 1000, 1))
        self._progress.second = int(self.clock())
        self._progress.sockets = len(self._open)
        return self._progress

    def _crashed(self, task: "asyncio.Task[None]", name: str) -> None:
        error = None if task.cancelled() else task.exception()
        if error:
            self.record(Crash(self.clock(), name, repr(error)))
            self._on_crash(f"Task {name!r} of the load generator crashed with {error!r}.")

    def _count(self, request: Request) -> None:
        self._progress.requests += 1
        if request.failure:
            self._progress.failed += 1
        elif request.kind.is_scheduled:
            self._latencies.append(request.ended - request.due)
        if request.answer and request.kind is Kind.ORDER:
            self._progress.orders_acknowledged += 1
