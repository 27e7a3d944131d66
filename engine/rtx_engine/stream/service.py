"""The stream as the server sees it: something to start, to hand to uvicorn, and to stop."""

import asyncio
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
from rtx_engine.stream.drain import Drain, close_evenly
from rtx_engine.stream.hub import Hub

ATTENTION_INTERVAL = 1.0  # seconds
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
        self.drain = Drain(self._hub)
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
        rounds = (self._hub.tick, self._catch_up.greet, self._catch_up.poll, self._attend)
        self._work = [asyncio.create_task(_for_ever(one_round)) for one_round in rounds]

    async def stop(self, grace: float) -> None:
        """Take no one in any more and close all with 1012, spread evenly, so that they are gone after `grace` s."""
        self._stopping = True
        self.drain.end()
        await close_evenly(self._hub.connections, max(0.0, grace - GOODBYE), _send_away)
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        await self._catch_up.stop()

    def _accept(self, request: WSUpgradeRequest) -> Connection:
        if self._stopping:
            raise ApiError(503, ErrorReason.SHUTTING_DOWN, "This server stops: connect again.", headers=RETRY)
        self._bus.listen(wanted=True)
        target = request.path.decode("ascii", "replace")
        return Connection(handshake.parse(target, request.headers, self._verify_token), self._hub)

    async def _attend(self) -> None:
        """A pod without clients, such as one of a colour that is kept, need not hear of other pods' events."""
        self._bus.listen(wanted=bool(self._hub.connections))
        await asyncio.sleep(ATTENTION_INTERVAL)

    def _deliver(self, events: Sequence[AccountEvent]) -> None:
        self._catch_up.look(self._hub.deliver(events))


def _send_away(connection: Connection) -> None:
    connection.close(WSCloseCode.SERVICE_RESTART, "this server stops: connect again")


async def _for_ever(one_round: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await one_round()
        except UnavailableError:
            await asyncio.sleep(RETRY_INTERVAL)
        except Exception:  # the stream of everyone must not end with a round
            log.exception("a round of the stream failed")
            await asyncio.sleep(RETRY_INTERVAL)
