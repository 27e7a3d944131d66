"""Sends the clients of this pod elsewhere: each is told 1012, which means to connect again, and not all at once."""

import asyncio
from collections.abc import Callable, Sequence

from picows import WSCloseCode

from rtx_engine import metrics
from rtx_engine.stream.connection import Connection
from rtx_engine.stream.hub import Hub

LARGEST_BURST = 100  # connections closed without a pause: each comes back, with a handshake and a query
SERVED = 1.0  # seconds that a client is served who still comes here while the pod drains
SWEEP_INTERVAL = 0.25  # seconds

_ELSEWHERE = "another colour serves now: connect again"


async def close_evenly(connections: Sequence[Connection], seconds: float, close: Callable[[Connection], None]) -> None:
    """Close each of `connections`, the first at once and the others spread evenly over `seconds`."""
    clock = asyncio.get_running_loop().time
    begin = clock()
    for number, connection in enumerate(connections):
        pause = begin + seconds * number / len(connections) - clock()
        if pause > 0 or number % LARGEST_BURST == 0:
            await asyncio.sleep(max(0.0, pause))
        close(connection)


class Drain:
    """One drain at a time. Clients may go on connecting: refusing would fail them, and not all know yet where to go."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._task: asyncio.Task[None] | None = None
        self.closed = 0  # connections closed by drains since the pod started

    @property
    def active(self) -> bool:
        return self._task is not None

    def begin(self, seconds: float) -> None:
        """Close all connections, spread evenly over `seconds`, and those that come later after SERVED seconds each.

        Goes on until `end`. A drain that is under way is left to go on as it began.
        """
        if self._task is None:
            self._task = asyncio.create_task(self._run(seconds), name="drain")

    def end(self) -> None:
        """Let clients stay again. Waits for nothing."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self, seconds: float) -> None:
        present = self._hub.connections
        async with asyncio.TaskGroup() as group:
            group.create_task(close_evenly(present, seconds, self._close))
            group.create_task(self._sweep(frozenset(present)))

    async def _sweep(self, present: frozenset[Connection]) -> None:
        """Close those who came after the drain began."""
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(SWEEP_INTERVAL)
            for connection in self._hub.connections:
                if connection not in present and connection.opened < clock() - SERVED:
                    self._close(connection)

    def _close(self, connection: Connection) -> None:
        if connection.close(WSCloseCode.SERVICE_RESTART, _ELSEWHERE):
            self.closed += 1
            metrics.DRAINED_CONNECTIONS.inc()
