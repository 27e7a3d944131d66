"""The stream as the server sees it: something to start, to hand to uvicorn, and to stop."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence

import structlog
from picows import WSCloseCode, WSUpgradeRequest

from rtx_engine.api.errors import RETRY, ApiError, ErrorReason
from rtx_engine.domain.events import AccountEvent
from rtx_engine.feed.source import PriceSource
from rtx_engine.store.errors import UnavailableError
from rtx_engine.stream import handshake
from rtx_engine.stream.adaptor import protocol_class
from rtx_engine.stream.bus import Bus
from rtx_engine.stream.catchup import CatchUp, EventLog
from rtx_engine.stream.connection import GOODBYE, Connection
from rtx_engine.stream.hub import Hub

LARGEST_SLICE = 100  # connections closed at once: each comes back to another pod, with a handshake and a query
SLICE_INTERVAL = 0.1  # seconds
RETRY_INTERVAL = 0.25  # seconds after a round that failed

log = structlog.get_logger(__name__)


class Stream:
    """The WebSockets of a pod. `verify_token` gives a token's account, or raises ValueError with a sentence."""

    def __init__(
        self, log: EventLog, bus: Bus, source: PriceSource, verify_token: Callable[[str], int], colour: str
    ) -> None:
        self._bus = bus
        self._verify_token = verify_token
        self._hub = Hub(source)
        self._catch_up = CatchUp(log, self._hub, colour)
        self._work: list[asyncio.Task[None]] = []
        self._stopping = False
        self.protocol_class = protocol_class(self._accept)

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._hub.connections)

    async def start(self) -> None:
        """Begin to send. Waits for nothing. Needs a running loop; the bus is started and stopped by its owner."""
        self._bus.on_events(self._deliver)
        rounds = (self._hub.tick, self._catch_up.greet, self._catch_up.poll)
        self._work = [asyncio.create_task(_for_ever(one_round)) for one_round in rounds]

    async def stop(self, grace: float) -> None:
        """Take no one in any more and close all with 1012, slice by slice, so that they are gone after `grace` s."""
        self._stopping = True
        await self._close_all(max(0.0, grace - GOODBYE))
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        await self._catch_up.stop()

    async def _close_all(self, within: float) -> None:
        connections = self._hub.connections
        slices = max(1, math.ceil(len(connections) / LARGEST_SLICE))
        pause = min(SLICE_INTERVAL, within / slices)
        for start in range(0, len(connections), LARGEST_SLICE):
            for connection in connections[start : start + LARGEST_SLICE]:
                connection.close(WSCloseCode.SERVICE_RESTART, "this server stops: connect again")
            await asyncio.sleep(pause)

    def _accept(self, request: WSUpgradeRequest) -> Connection:
        if self._stopping:
            raise ApiError(503, ErrorReason.SHUTTING_DOWN, "This server stops: connect again.", headers=RETRY)
        target = request.path.decode("ascii", "replace")
        return Connection(handshake.parse(target, request.headers, self._verify_token), self._hub)

    def _deliver(self, events: Sequence[AccountEvent]) -> None:
        self._catch_up.look(self._hub.deliver(events))


async def _for_ever(one_round: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await one_round()
        except UnavailableError:
            await asyncio.sleep(RETRY_INTERVAL)
        except Exception:  # the stream of everyone must not end with a round
            log.exception("a round of the stream failed")
            await asyncio.sleep(RETRY_INTERVAL)
