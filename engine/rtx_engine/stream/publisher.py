"""Publishes messages to Redis over a connection of its own: the order path does so after each batch.

One message at a time is under way; what is queued meanwhile is the next one. A message without a reply is sent again
over the next connection: receivers may get it twice.
"""

import asyncio
from collections.abc import Callable
from typing import cast

import structlog

from rtx_engine import config
from rtx_engine.redis_master import MASTER_CHECK, RedisMaster
from rtx_engine.stream.resp import Replies, ReplyError, command

TIMEOUT_SECONDS = 2.0  # for a connection, and for each reply
CHECK_INTERVAL_SECONDS = 0.5
RETRY_INTERVAL_SECONDS = 0.5  # from one connection to the next; one that lasted longer is replaced at once
LOG_INTERVAL_SECONDS = 60.0

log = structlog.get_logger(__name__)


class Publisher:
    """Keeps a connection to Redis while `run` runs."""

    def __init__(self, settings: config.Redis, channel: str, next_message: Callable[[], bytes | None]) -> None:
        """`next_message` takes what is queued, as one message; None if that is nothing."""
        self._settings = settings
        self._master = RedisMaster(settings)
        self._channel = channel.encode()
        self._next_message = next_message
        self._connection: _Connection | None = None
        self._beginning: list[bytes] = []  # commands with which the next connection begins
        self._unconfirmed: bytes | None = None  # the message that is under way
        self._scheduled = False
        self._logged_at = -LOG_INTERVAL_SECONDS

    def wake(self) -> None:
        """Something is queued. Never blocks, and sends nothing before its caller has gone on."""
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._send_next)

    async def run(self) -> None:
        """Publish until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            began = clock()
            try:
                await self._serve_one()
            except (OSError, TimeoutError, ReplyError) as error:
                if clock() - self._logged_at >= LOG_INTERVAL_SECONDS:
                    self._logged_at = clock()
                    log.warning("cannot publish to Redis; clients get events from the database", error=str(error))
            except Exception:  # events still come from the database: no reason to end the pod
                log.exception("publishing failed; clients get events from the database")
            await asyncio.sleep(max(0.0, began + RETRY_INTERVAL_SECONDS - clock()))

    async def _serve_one(self) -> None:
        """Publish over a new connection until it ends. Raises OSError, TimeoutError, ReplyError."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(TIMEOUT_SECONDS):
            address = await self._master.find()
            _, connection = await loop.create_connection(lambda: _Connection(self._on_reply), *address)
        try:
            password, check = self._settings.password, command(*(word.encode() for word in MASTER_CHECK))
            self._beginning = [check] if password is None else [command(b"AUTH", password.encode()), check]
            connection.send(self._beginning.pop(0))
            await connection.wait_for_end()
        finally:
            self._connection = None
            connection.close()

    def _begin(self, connection: "_Connection") -> None:
        self._connection = connection
        if self._unconfirmed is not None:
            self._send(self._unconfirmed)
        else:
            self._send_next()

    def _on_reply(self, connection: "_Connection") -> None:
        if self._connection is None:
            if self._beginning:
                connection.send(self._beginning.pop(0))
            else:
                self._begin(connection)
            return
        self._unconfirmed = None
        self._send_next()

    def _send_next(self) -> None:
        self._scheduled = False
        if self._connection is None or self._unconfirmed is not None:
            return
        message = self._next_message()
        if message is not None:
            self._unconfirmed = message
            self._send(message)

    def _send(self, message: bytes) -> None:
        if self._connection is not None:
            self._connection.send(command(b"PUBLISH", self._channel, message))


class _Connection(asyncio.Protocol):
    """Has at most one command under way."""

    def __init__(self, on_reply: Callable[["_Connection"], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_reply = on_reply
        self._replies = Replies()
        self._sent_at: float | None = None  # event loop time of the command under way
        self._end: asyncio.Future[Exception] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._note_end(exc or ConnectionError("Redis closed the connection"))

    def data_received(self, data: bytes) -> None:
        try:
            for _ in self._replies.feed(data):
                self._sent_at = None
                self._on_reply(self)
        except ReplyError as error:
            self._note_end(error)
            self._transport.abort()

    def send(self, data: bytes) -> None:
        self._sent_at = self._loop.time()
        self._transport.write(data)

    async def wait_for_end(self) -> None:
        """Raises OSError or ReplyError when the connection has ended, TimeoutError when a reply is overdue."""
        while not self._end.done():
            await asyncio.wait([self._end], timeout=CHECK_INTERVAL_SECONDS)
            if self._sent_at is not None and self._loop.time() > self._sent_at + TIMEOUT_SECONDS:
                raise TimeoutError("Redis does not reply")
        raise self._end.result()

    def close(self) -> None:
        self._transport.abort()

    def _note_end(self, error: Exception) -> None:
        if not self._end.done():
            self._end.set_result(error)
