"""Runs a coroutine on a thread with an event loop of its own, which no work on other loops keeps waiting."""

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

STOP_SECONDS = 5.0  # cancelled work only closes its connections


class OwnThread:
    """Runs `work` from now on until it ends or is stopped. The end of the process does not wait for it."""

    def __init__(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._task = self._loop.create_task(work)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Cancel the work, and wait until it has ended. Raises TimeoutError when it has not after STOP_SECONDS."""
        with suppress(RuntimeError):  # the loop is closed: it has ended
            self._loop.call_soon_threadsafe(self._task.cancel)
        await asyncio.to_thread(self._thread.join, STOP_SECONDS)
        if self._thread.is_alive():
            raise TimeoutError(f"the thread {self._thread.name} has not ended {STOP_SECONDS:g} s after it was stopped")

    def _run(self) -> None:
        with suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._task)
        self._loop.close()
