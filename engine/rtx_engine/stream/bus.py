"""Sends account events between pods by Redis pub/sub. Clients get lost events from the database (catchup.py).

It publishes on a connection of our own (publisher.py), and receives by the Redis client: nothing waits for that.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Iterable, Sequence

import msgspec
import redis.asyncio
import structlog
from redis.exceptions import RedisError

from rtx_engine import config
from rtx_engine.domain.events import AccountEvent
from rtx_engine.redis_master import MasterConnection, RedisMaster
from rtx_engine.stream.publisher import Publisher

CHANNEL = "rtx:account-events"
MAX_QUEUED_EVENTS = 20_000  # beyond, the oldest are dropped; clients get them from the database
MAX_EVENTS_PER_MESSAGE = 500
TIMEOUT_SECONDS = 2.0  # of each Redis command
RETRY_INTERVAL_SECONDS = 0.5  # between attempts to connect
CANCEL_INTERVAL_SECONDS = 0.5
LOG_INTERVAL_SECONDS = 60.0
PING_AFTER_SECONDS = 5.0  # without a message; as long again without an answer, and the subscription fails

log = structlog.get_logger(__name__)
_CONNECTION_ERRORS = (RedisError, OSError, TimeoutError)


class Batch(msgspec.Struct, frozen=True):
    """A message on the channel, as JSON."""

    origin: str  # the publishing pod, which has already sent the events to its own clients
    events: list[AccountEvent]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Batch).decode


class Bus:
    """Publishes the events of this pod and receives those of the others. Reconnects in the background."""

    def __init__(self, settings: config.Redis) -> None:
        self._settings = settings
        self._master = RedisMaster(settings)
        self._origin = secrets.token_hex(8)
        self._receive: Callable[[Sequence[AccountEvent]], None] = _discard
        self._queue: list[AccountEvent] = []
        self._publisher = Publisher(settings, CHANNEL, self._next_message)
        self._subscribed = asyncio.Event()
        self._subscribed.set()
        self._tasks: list[asyncio.Task[None]] = []

    def on_events(self, receive: Callable[[Sequence[AccountEvent]], None]) -> None:
        """Call `receive` with the events of all pods, including this one. An event may come twice or not at all."""
        self._receive = receive

    def set_subscribed(self, *, subscribed: bool) -> None:
        """Subscribe to the events of the other pods (the default) or not: parsing them costs CPU."""
        if subscribed:
            self._subscribed.set()
        else:
            self._subscribed.clear()

    def publish(self, events: Sequence[AccountEvent]) -> None:
        """Send events to the clients of this pod at once and queue them for the other pods. Never blocks or raises."""
        self._receive(events)
        self._queue.extend(events)
        del self._queue[:-MAX_QUEUED_EVENTS]
        self._publisher.wake()

    async def start(self) -> None:
        """Start connecting, in the background."""
        works = {"event publisher": self._publisher.run(), "event receiver": self._receive_again()}
        self._tasks = [asyncio.create_task(work, name=name) for name, work in works.items()]

    @property
    def tasks(self) -> tuple[asyncio.Task[None], ...]:
        """The tasks that run from `start` to `stop`."""
        return tuple(self._tasks)

    async def stop(self) -> None:
        """Disconnect. Queued events are dropped; clients get them from the database."""
        while pending := [task for task in self._tasks if not task.done()]:
            for task in pending:
                task.cancel()
            # Repeated: the Redis client may swallow a cancellation while it disconnects.
            await asyncio.wait(pending, timeout=CANCEL_INTERVAL_SECONDS)

    def _next_message(self) -> bytes | None:
        events, self._queue[:MAX_EVENTS_PER_MESSAGE] = self._queue[:MAX_EVENTS_PER_MESSAGE], []
        return _encode(Batch(self._origin, events)) if events else None

    async def _receive_again(self) -> None:
        clock = asyncio.get_running_loop().time
        logged = -LOG_INTERVAL_SECONDS
        while True:
            client = self._connect()
            try:
                await self._receive_loop(client)
            except _CONNECTION_ERRORS as error:
                if clock() - logged >= LOG_INTERVAL_SECONDS:
                    logged = clock()
                    log.warning("cannot receive from Redis; clients get events from the database", error=str(error))
            except Exception:  # events still come from the database: no reason to end the pod
                log.exception("the bus failed; clients get events from the database")
            finally:
                with contextlib.suppress(*_CONNECTION_ERRORS):
                    await client.aclose()
            await asyncio.sleep(RETRY_INTERVAL_SECONDS)

    def _connect(self) -> redis.asyncio.Redis:
        pool = redis.asyncio.ConnectionPool(
            connection_class=MasterConnection,
            master=self._master,
            password=self._settings.password,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
        )
        return redis.asyncio.Redis.from_pool(pool)

    async def _receive_loop(self, client: redis.asyncio.Redis) -> None:
        while True:
            await self._subscribed.wait()
            async with client.pubsub(ignore_subscribe_messages=True) as subscription:
                await subscription.subscribe(CHANNEL)
                await self._receive_messages(subscription)

    async def _receive_messages(self, subscription: redis.asyncio.client.PubSub) -> None:
        """Handle messages until `set_subscribed(subscribed=False)`. Raises TimeoutError if Redis stops answering."""
        pinged = False
        while self._subscribed.is_set():
            message = await subscription.get_message(timeout=PING_AFTER_SECONDS)
            if message is None:
                if pinged:
                    raise TimeoutError("Redis did not answer a ping")
                await subscription.ping()
                pinged = True
                continue
            pinged = False
            if message["type"] == "message":
                self._handle_message(message["data"])

    def _handle_message(self, data: bytes) -> None:
        try:
            batch = _decode(data)
        except msgspec.DecodeError as error:  # for example of another version
            log.warning("cannot parse a message from Redis; clients get its events from the database", error=str(error))
            return
        if batch.origin != self._origin:
            self._receive(batch.events)


def _discard(_events: Iterable[AccountEvent]) -> None:
    """The receiver until `on_events` sets one."""
