"""A keyed work queue: many events of one object become one reconcile, and a key is in one worker at most.

The semantics are client-go's. A key added while a worker has it runs once more afterwards. A key added many times while
it waits runs once. A key that failed runs again after an exponential delay with jitter; a success resets its failures.
Of several delays of one key, the earliest counts.

Keys have a priority, and none waits for what another key waits for (workers.py, ADR 0035).
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from rtx_operator.workers import Priority, Workers

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delay before the n-th retry: `first * 2**(n-1)` up to `limit` seconds, less up to half of it at random."""

    first: float = 0.2
    limit: float = 10.0  # below OBSERVATION_GAP_SECONDS: deadlines fire although reconciles fail

    def delay(self, failures: int, jitter: float) -> float:
        """Seconds to wait after `failures` ≥ 1 failures in a row; `jitter` is in [0, 1)."""
        # The exponent is bounded so that a key that fails for weeks cannot overflow a float.
        longest = min(self.limit, self.first * 2.0 ** min(failures - 1, 30))
        return longest * (1.0 - jitter / 2)


@dataclass(frozen=True, slots=True)
class Due:
    """When a key runs again, and from now on before which others."""

    seconds: float
    priority: Priority = Priority.NORMAL


class WorkQueue(Generic[Key]):
    """Runs `work(key)` for every added key. `work` returns when the key is due again; None: not before it is added.

    After an exception of `work` the queue calls `failed(key, error)`, and runs the key again after its backoff.
    """

    def __init__(
        self,
        work: Callable[[Key], Awaitable[Due | None]],
        failed: Callable[[Key, Exception], None],
        backoff: Backoff | None = None,
    ) -> None:
        self._work = work
        self._failed = failed
        self._backoff = backoff or Backoff()
        self._workers = Workers()
        self._group: asyncio.TaskGroup | None = None  # of the reconciles under way; None: not started yet
        self._waiting: set[Key] = set()  # for a worker
        self._running: set[Key] = set()
        self._again: set[Key] = set()  # added while running
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, int] = {}
        self._priorities: dict[Key, Priority] = {}  # of those that have another than NORMAL

    @property
    def depth(self) -> int:
        """Number of keys that wait for a worker now, without the delayed ones."""
        return len(self._waiting) + len(self._again)

    def add(self, key: Key, priority: Priority | None = None) -> None:
        """Run `key` as soon as a worker is free. `priority` is kept for later; None leaves it as it is."""
        rises = priority is not None and priority.goes_before(self._priority(key))
        if priority is not None:
            self._set_priority(key, priority)
        self._cancel_timer(key)
        if key in self._running:
            self._again.add(key)
        elif key not in self._waiting or rises:
            self._waiting.add(key)
            turn = self._priority(key)
            self._workers.submit(lambda: self._start(key, turn), turn)

    def add_after(self, key: Key, seconds: float) -> None:
        """Run `key` in `seconds`, unless it is due earlier."""
        if key in self._waiting or key in self._again:
            return
        due = asyncio.get_running_loop().time() + seconds
        timer = self._timers.get(key)
        if timer is not None and timer.when() <= due:
            return
        self._cancel_timer(key)
        self._timers[key] = asyncio.get_running_loop().call_at(due, self.add, key)

    async def run(self, workers: int) -> None:
        """Run until cancelled, with up to `workers` keys at a time, besides those that wait for what may hang."""
        async with asyncio.TaskGroup() as self._group:
            self._workers.open(workers)
            try:
                await asyncio.get_running_loop().create_future()  # until cancelled
            finally:
                self._workers.open(0)  # those that end now make room for nobody

    def _start(self, key: Key, turn: Priority) -> bool:
        """Start a key that waits; False when it does not wait any more, because it had an earlier turn."""
        if self._group is None or key not in self._waiting:
            return False
        self._waiting.discard(key)
        self._running.add(key)
        self._group.create_task(self._run(key, turn), name=f"reconcile {key}")
        return True

    async def _run(self, key: Key, turn: Priority) -> None:
        try:
            async with self._workers.place(turn):
                due = await self._attempt(key)
        finally:
            self._running.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)
        elif due is not None:
            self.add_after(key, due.seconds)

    async def _attempt(self, key: Key) -> Due | None:
        """One run of `work`; returns when the key is due again."""
        try:
            due = await self._work(key)
        except Exception as error:  # noqa: BLE001 - the boundary of a reconcile: no error may end the queue
            self._failed(key, error)
            self._failures[key] = self._failures.get(key, 0) + 1
            delay = self._backoff.delay(self._failures[key], random.random())  # noqa: S311 - jitter is no secret
            return Due(delay, self._priority(key))
        self._failures.pop(key, None)
        self._set_priority(key, due.priority if due else Priority.NORMAL)
        return due

    def _priority(self, key: Key) -> Priority:
        return self._priorities.get(key, Priority.NORMAL)

    def _set_priority(self, key: Key, priority: Priority) -> None:
        if priority is Priority.NORMAL:
            self._priorities.pop(key, None)
        else:
            self._priorities[key] = priority

    def _cancel_timer(self, key: Key) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
