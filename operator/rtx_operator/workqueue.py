"""A keyed work queue: many events of one object become one reconcile, and a key is in one worker at most.

The semantics are client-go's. A key added while a worker has it runs once more afterwards. A key added many times while
it waits runs once. A key that failed runs again after an exponential delay with jitter; a success resets its failures.
Of several delays of one key, the earliest counts.
"""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

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


class WorkQueue(Generic[Key]):
    """Runs `work(key)` for every added key. `work` returns the seconds until the key is due again, or None.

    After an exception of `work` the queue calls `failed(key, error)`, and runs the key again after its backoff.
    """

    def __init__(
        self,
        work: Callable[[Key], Awaitable[float | None]],
        failed: Callable[[Key, Exception], None],
        backoff: Backoff | None = None,
    ) -> None:
        self._work = work
        self._failed = failed
        self._backoff = backoff or Backoff()
        self._ready: deque[Key] = deque()
        self._waiting: set[Key] = set()  # the keys in _ready
        self._running: set[Key] = set()
        self._again: set[Key] = set()  # added while running
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, int] = {}
        self._wake = asyncio.Semaphore(0)

    @property
    def depth(self) -> int:
        """Number of keys that wait for a worker now, without the delayed ones."""
        return len(self._ready) + len(self._again)

    def add(self, key: Key) -> None:
        """Run `key` as soon as a worker is free."""
        self._cancel_timer(key)
        if key in self._running:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.append(key)
            self._wake.release()

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
        """Run until cancelled, with up to `workers` keys at a time."""
        async with asyncio.TaskGroup() as group:
            for number in range(workers):
                group.create_task(self._worker(), name=f"reconcile-{number}")

    async def _worker(self) -> None:
        while True:
            await self._wake.acquire()
            key = self._ready.popleft()
            self._waiting.discard(key)
            self._running.add(key)
            try:
                due = await self._attempt(key)
            finally:
                self._running.discard(key)
            if key in self._again:
                self._again.discard(key)
                self.add(key)
            elif due is not None:
                self.add_after(key, due)

    async def _attempt(self, key: Key) -> float | None:
        """One run of `work`; returns the seconds until the key is due again."""
        try:
            due = await self._work(key)
        except Exception as error:  # noqa: BLE001 - the boundary of a reconcile: no error may end the worker
            self._failed(key, error)
            self._failures[key] = self._failures.get(key, 0) + 1
            return self._backoff.delay(self._failures[key], random.random())  # noqa: S311 - jitter is no secret
        self._failures.pop(key, None)
        return due

    def _cancel_timer(self, key: Key) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
