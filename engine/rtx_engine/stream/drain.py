"""Drains the WebSockets of this pod: closes each with 1012 (connect again), spread over time."""

import asyncio
from collections.abc import Callable, Sequence

from picows import WSCloseCode

from rtx_engine import metrics
from rtx_engine.stream.connection import Connection
from rtx_engine.stream.hub import Hub
from rtx_engine.tasks import log_failure

MAX_BURST = 100  # connections closed without a pause; each client reconnects, with a handshake and a query
LATE_CLIENT_SECONDS = 1.0  # how long a client stays that connects during the drain
SWEEP_INTERVAL_SECONDS = 0.25

_ELSEWHERE = "another colour executes now: connect again"


async def close_evenly(connections: Sequence[Connection], seconds: float, close: Callable[[Connection], None]) -> None:
    """Close `connections`: the first at once, the others spread evenly over `seconds`."""
    clock = asyncio.get_running_loop().time
    begin = clock()
    for number, connection in enumerate(connections):
        pause = begin + seconds * number / len(connections) - clock()
        if pause > 0 or number % MAX_BURST == 0:
            await asyncio.sleep(max(0.0, pause))
        close(connection)


class Drain:
    """Runs at most one drain. Clients may still connect: the live Service may not have switched for all of them."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._task: asyncio.Task[None] | None = None
        self.closed = 0  # by drains since the pod started

    @property
    def active(self) -> bool:
        return self._task is not None

    def begin(self, seconds: float) -> None:
        """Close all connections, spread evenly over `seconds`, and later ones after LATE_CLIENT_SECONDS each.

        Continues until `end`. Does nothing if a drain is already running.
        """
        if self._task is None:
            self._task = asyncio.create_task(self._run(seconds), name="drain")
            self._task.add_done_callback(log_failure)

    def end(self) -> None:
        """Stop the drain. Does not block."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self, seconds: float) -> None:
        present = self._hub.connections
        async with asyncio.TaskGroup() as group:
            group.create_task(close_evenly(present, seconds, self._close))
            group.create_task(self._close_late_clients(frozenset(present)))

    async def _close_late_clients(self, present: frozenset[Connection]) -> None:
        """Close the clients that connected after the drain began."""
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(SWEEP_INTERVAL_SECONDS)
            for connection in self._hub.connections:
                if connection not in present and connection.opened_at < clock() - LATE_CLIENT_SECONDS:
                    self._close(connection)

    def _close(self, connection: Connection) -> None:
        if connection.close(WSCloseCode.SERVICE_RESTART, _ELSEWHERE):
            self.closed += 1
            metrics.DRAINED_CONNECTIONS.inc()
