"""Account events from pod to pod by Redis pub/sub: quick, and allowed to lose some, since the database has them all."""

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence

import msgspec
import redis.asyncio
import structlog
from redis.exceptions import RedisError

from rtx_engine import config
from rtx_engine.domain.events import AccountEvent

CHANNEL = "rtx:account-events"
LARGEST_QUEUE = 20_000  # events; beyond, the oldest are left to the database
LARGEST_MESSAGE = 500  # events
TIMEOUT = 2.0  # seconds for each answer of Redis
RETRY_INTERVAL = 0.5  # seconds between tries to reach Redis
CANCEL_INTERVAL = 0.5  # seconds
LOG_INTERVAL = 60.0  # seconds
SILENCE = 5.0  # seconds without a message after which the subscription is asked whether it still lives

log = structlog.get_logger(__name__)
_LOST = (RedisError, OSError, TimeoutError)


class Batch(msgspec.Struct, frozen=True):
    """What goes over the channel, as JSON."""

    origin: str  # the pod that published it, which has delivered it to its own clients already
    events: list[AccountEvent]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Batch).decode


class Bus:
    """Publishes this pod's events and receives those of the others. Reconnects for ever; nobody waits for it."""

    def __init__(self, settings: config.Redis) -> None:
        self._settings = settings
        self._origin = secrets.token_hex(8)
        self._receive: Callable[[Sequence[AccountEvent]], None] = _nobody
        self._queue: list[AccountEvent] = []
        self._queued = asyncio.Event()
        self._wanted = asyncio.Event()
        self._wanted.set()
        self._tasks: list[asyncio.Task[None]] = []

    def on_events(self, receive: Callable[[Sequence[AccountEvent]], None]) -> None:
        """Have `receive` called with the events of all pods, this one included; some may come twice or never."""
        self._receive = receive

    def listen(self, *, wanted: bool) -> None:
        """Whether events of the other pods are wanted, as they are from the start. Parsing them costs CPU."""
        if wanted:
            self._wanted.set()
        else:
            self._wanted.clear()

    def publish(self, events: Sequence[AccountEvent]) -> None:
        """Give events to the clients of this pod at once, and to the other pods soon. Never waits, never raises."""
        self._receive(events)
        self._queue.extend(events)
        del self._queue[:-LARGEST_QUEUE]
        self._queued.set()

    async def start(self) -> None:
        """Begin to connect."""
        self._tasks = [asyncio.create_task(self._for_ever(work)) for work in (self._publishing, self._receiving)]

    async def stop(self) -> None:
        """Disconnect. What is still queued is left to the database."""
        while pending := [task for task in self._tasks if not task.done()]:
            for task in pending:
                task.cancel()
            # Again and again: the client, when it disconnects, may swallow the cancellation that it is told of.
            await asyncio.wait(pending, timeout=CANCEL_INTERVAL)

    async def _for_ever(self, work: Callable[[redis.asyncio.Redis], Awaitable[None]]) -> None:
        clock = asyncio.get_running_loop().time
        logged = -LOG_INTERVAL
        while True:
            client = self._connect()
            try:
                await work(client)
            except _LOST as error:
                if clock() - logged >= LOG_INTERVAL:
                    logged = clock()
                    log.warning("Redis is away, events come from the database", error=str(error))
            finally:
                with contextlib.suppress(*_LOST):
                    await client.aclose()
            await asyncio.sleep(RETRY_INTERVAL)

    def _connect(self) -> redis.asyncio.Redis:
        return redis.asyncio.Redis(
            host=self._settings.host,
            port=self._settings.port,
            password=self._settings.password,
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            single_connection_client=True,
        )

    async def _publishing(self, client: redis.asyncio.Redis) -> None:
        while True:
            await self._queued.wait()
            events, self._queue[:LARGEST_MESSAGE] = self._queue[:LARGEST_MESSAGE], []
            if not self._queue:
                self._queued.clear()
            if events:
                await client.publish(CHANNEL, _encode(Batch(self._origin, events)))

    async def _receiving(self, client: redis.asyncio.Redis) -> None:
        while True:
            await self._wanted.wait()
            async with client.pubsub(ignore_subscribe_messages=True) as subscription:
                await subscription.subscribe(CHANNEL)
                await self._hear(subscription)

    async def _hear(self, subscription: redis.asyncio.client.PubSub) -> None:
        """Take what comes until it is no longer wanted."""
        asked = False
        while self._wanted.is_set():
            message = await subscription.get_message(timeout=SILENCE)
            if message is None:
                if asked:
                    raise TimeoutError("no answer to a ping")
                await subscription.ping()
                asked = True
                continue
            asked = False
            if message["type"] == "message":
                self._take(message["data"])

    def _take(self, data: bytes) -> None:
        try:
            batch = _decode(data)
        except msgspec.DecodeError as error:  # another version's, perhaps
            log.warning("a message cannot be read, its events come from the database", error=str(error))
            return
        if batch.origin != self._origin:
            self._receive(batch.events)


def _nobody(_events: Iterable[AccountEvent]) -> None:
    """Before anyone asks for events."""
