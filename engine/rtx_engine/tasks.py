"""Every task has an owner: one that ends before it is told to is noticed.

A task that must run as long as the pod does is watched here: when it ends, /ready says so and the pod ends.
A task that may end is awaited by whoever started it, or logs its failure (`log_failure`).
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

log = structlog.get_logger(__name__)


class Supervisor:
    """Watches the tasks without which the pod is of no use."""

    def __init__(self, on_failure: Callable[[], None]) -> None:
        """`on_failure` is called when a task ended although it must not. It must not block."""
        self._on_failure = on_failure
        self.failure: str | None = None  # the name of the first task that ended although it must not
        self._watched: set[asyncio.Task[Any]] = set()

    @property
    def watched(self) -> frozenset[asyncio.Task[Any]]:
        return frozenset(self._watched)

    def start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """A watched task that runs `work`; the caller cancels it after its `release`."""
        task = asyncio.create_task(work, name=name)
        self.watch(task)
        return task

    def watch(self, *tasks: asyncio.Task[Any]) -> None:
        """From now on the end of one of `tasks` is a failure, whether by an exception, a cancellation or a return."""
        for task in tasks:
            self._watched.add(task)
            task.add_done_callback(self._on_end)

    def release(self) -> None:
        """From now on all tasks may end: the pod does."""
        self._watched.clear()

    def _on_end(self, task: asyncio.Task[Any]) -> None:
        if task not in self._watched:
            return
        self._watched.discard(task)
        error = None if task.cancelled() else task.exception()
        log.error("a task that must not end has ended: the pod ends", task=task.get_name(), exc_info=error)
        self.failure = self.failure or task.get_name()
        self._on_failure()


def log_failure(task: asyncio.Task[Any]) -> None:
    """A done callback for a task that may end, and whose result nobody awaits."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a task failed", task=task.get_name(), exc_info=error)
