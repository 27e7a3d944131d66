"""The stream service: started and stopped by the server, and served through uvicorn."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog
from picows import WSCloseCode, WSUpgradeRequest

from rtx_engine.api.client_address import FORWARDED_FOR, forwarded_address
from rtx_engine.api.errors import RETRY, ApiError, ErrorReason
from rtx_engine.api.limits import Admission
from rtx_engine.config import Network
from rtx_engine.domain.events import AccountEvent
from rtx_engine.feed.source import PriceSource
from rtx_engine.store.errors import UnavailableError
from rtx_engine.stream import handshake
from rtx_engine.stream.access import Access, TokenCheck
from rtx_engine.stream.adaptor import protocol_class
from rtx_engine.stream.bus import Bus
from rtx_engine.stream.catchup import CatchUp, EventLog
from rtx_engine.stream.connection import CLOSE_TIMEOUT_SECONDS, Connection
from rtx_engine.stream.drain import Drain, close_evenly
from rtx_engine.stream.hub import Hub
from rtx_engine.stream.limits import StreamLimits

SUBSCRIPTION_INTERVAL_SECONDS = 1.0
RETRY_INTERVAL_SECONDS = 0.25  # after a failed step

log = structlog.get_logger(__name__)


class Stream:
    """The WebSockets of a pod."""

    def __init__(
        self,
        log: EventLog,
        bus: Bus,
        source: PriceSource,
        tokens: TokenCheck,
        colour: str,
        limits: StreamLimits,
        admission: Admission,
        proxies: Sequence[Network] = (),
    ) -> None:
        """`proxies`: whose x-forwarded-for is believed."""
        self._bus = bus
        self._proxies = proxies
        self._hub = Hub(source, limits)
        self._access = Access(tokens, self._hub, limits)
        self._catch_up = CatchUp(log, self._hub, colour, limits)
        self.drain = Drain(self._hub)
        self._work: list[asyncio.Task[None]] = []
        self._stopping = False
        self.protocol_class = protocol_class(self._accept, admission)

    @property
    def connections(self) -> int:
        """The number of connected clients."""
        return len(self._hub.connections)

    async def start(self) -> None:
        """Start sending; does not block. Needs a running event loop. The caller starts and stops the bus."""
        self._bus.on_events(self._deliver)
        steps = {
            "tick sender": self._hub.tick,
            "hello sender": self._catch_up.send_hello,
            "event poll": self._catch_up.poll,
            "event subscription": self._update_subscription,
            "end of tokens": self._access.sweep,
        }
        self._work = [asyncio.create_task(_repeat(step), name=name) for name, step in steps.items()]

    @property
    def tasks(self) -> tuple[asyncio.Task[None], ...]:
        """The tasks that run from `start` to `stop`."""
        return tuple(self._work)

    async def stop(self, grace: float) -> None:
        """Refuse new clients and close all with 1012, spread evenly, so that none is left after `grace` seconds."""
        self._stopping = True
        self.drain.end()
        await close_evenly(self._hub.connections, max(0.0, grace - CLOSE_TIMEOUT_SECONDS), _close_for_shutdown)
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        await self._catch_up.stop()

    def begin_anew(self) -> None:
        """Close all clients that have had their hello: the database has other data now. Does not block."""
        self._catch_up.begin_anew()

    def _accept(self, request: WSUpgradeRequest, peer: str) -> Connection:
        if self._stopping:
            raise ApiError(
                503, ErrorReason.SHUTTING_DOWN, "This server is shutting down: connect again.", headers=RETRY
            )
        self._bus.set_subscribed(subscribed=True)
        address = forwarded_address(request.headers.getall(FORWARDED_FOR.decode(), []), peer, self._proxies)
        return self._access.accept(handshake.parse(request.path, request.headers), address)

    async def _update_subscription(self) -> None:
        """Unsubscribe from other pods' events while this pod has no clients."""
        self._bus.set_subscribed(subscribed=bool(self._hub.connections))
        await asyncio.sleep(SUBSCRIPTION_INTERVAL_SECONDS)

    def _deliver(self, events: Sequence[AccountEvent]) -> None:
        self._catch_up.start_replays(self._hub.deliver(events))


def _close_for_shutdown(connection: Connection) -> None:
    connection.close(WSCloseCode.SERVICE_RESTART, "this server is shutting down: connect again")


async def _repeat(step: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await step()
        except UnavailableError:
            await asyncio.sleep(RETRY_INTERVAL_SECONDS)
        except Exception:  # one failed step must not end the stream of all clients
            log.exception("stream step failed")
            await asyncio.sleep(RETRY_INTERVAL_SECONDS)
