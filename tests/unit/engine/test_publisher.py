"""Messages to Redis: none is lost that a connection was to carry, whatever becomes of the connection."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest
import redis.asyncio
from rtx_engine.config import Redis
from rtx_engine.redis_master import MASTER_CHECK
from rtx_engine.stream import publisher
from rtx_engine.stream.publisher import Publisher
from rtx_engine.stream.resp import Replies, ReplyError, command

TIMEOUT_SECONDS = 20
AUTH = command(b"AUTH", b"secret")
CHANNEL = "channel"


def publish(message: bytes) -> bytes:
    return command(b"PUBLISH", CHANNEL.encode(), message)


@dataclass
class Sender:
    """A publisher with a queue of messages."""

    settings: Redis
    queue: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.publisher = Publisher(self.settings, CHANNEL, lambda: self.queue.pop(0) if self.queue else None)

    def send(self, *messages: bytes) -> None:
        self.queue += messages
        self.publisher.wake()


@contextlib.asynccontextmanager
async def sending(settings: Redis) -> AsyncIterator[Sender]:
    sender = Sender(settings)
    task = asyncio.create_task(sender.publisher.run())
    try:
        yield sender
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


Serve = Callable[[int, list[bytes]], bytes | None]


@dataclass
class Server:
    """Answers what `serve` says to a command on the nth connection; None: the connection ends. It is a master."""

    serve: Serve
    received: "asyncio.Queue[tuple[int, bytes]]" = field(default_factory=asyncio.Queue)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        number = len(self.writers)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                count = int((await reader.readuntil(b"\r\n"))[1:])
                words = []
                for _ in range(count):
                    length = int((await reader.readuntil(b"\r\n"))[1:])
                    words.append((await reader.readexactly(length + 2))[:-2])
                if words == [word.encode() for word in MASTER_CHECK]:
                    writer.write(b":0\r\n")
                    continue
                self.received.put_nowait((number, b" ".join(words)))
                reply = self.serve(number, words)
                if reply is None:
                    break
                writer.write(reply)
        writer.close()

    async def next(self) -> tuple[int, bytes]:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return await self.received.get()


@contextlib.asynccontextmanager
async def served(serve: Serve) -> AsyncIterator[tuple[Server, Redis]]:
    server = Server(serve)
    listening = await asyncio.start_server(server.accept, "127.0.0.1", 0)
    try:
        yield server, Redis("127.0.0.1", listening.sockets[0].getsockname()[1], "secret")
    finally:
        listening.close()
        for writer in server.writers:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


def ordinary(_number: int, words: list[bytes]) -> bytes:
    return b"+OK\r\n" if words[0] == b"AUTH" else b":1\r\n"


async def test_messages_are_sent_one_after_the_other_after_the_password():
    async with served(ordinary) as (server, settings), sending(settings) as sender:
        sender.send(b"one", b"two\r\n", b"")
        assert [await server.next() for _ in range(4)] == [
            (1, b"AUTH secret"),
            (1, b"PUBLISH channel one"),
            (1, b"PUBLISH channel two\r\n"),
            (1, b"PUBLISH channel "),
        ]


async def test_what_is_queued_while_a_message_is_under_way_follows_it():
    released = asyncio.Event()

    def slow(number: int, words: list[bytes]) -> bytes:
        return ordinary(number, words) if released.is_set() or words[0] == b"AUTH" else b""

    async with served(slow) as (server, settings), sending(settings) as sender:
        sender.send(b"one")
        assert [await server.next() for _ in range(2)] == [(1, b"AUTH secret"), (1, b"PUBLISH channel one")]
        # when messages come while the first has no reply, then they wait
        sender.send(b"two")
        await asyncio.sleep(0.05)
        assert server.received.empty()
        assert sender.queue == [b"two"]


@pytest.mark.parametrize(
    "end",
    [None, b"-LOADING Redis is loading the dataset in memory\r\n", b"$3\r\nabc\r\n", b"\r\n", b"x" * 10_000],
    ids=["closed", "an error", "another kind of reply", "an empty line", "a line without an end"],
)
async def test_message_without_a_reply_is_sent_again_over_the_next_connection(end):
    def once(number: int, words: list[bytes]) -> bytes | None:
        return end if number == 1 and words[-1] == b"two" else ordinary(number, words)

    async with served(once) as (server, settings), sending(settings) as sender:
        sender.send(b"one", b"two", b"three")
        received = [await server.next() for _ in range(6)]
    assert received == [
        (1, b"AUTH secret"),
        (1, b"PUBLISH channel one"),
        (1, b"PUBLISH channel two"),
        (2, b"AUTH secret"),
        (2, b"PUBLISH channel two"),
        (2, b"PUBLISH channel three"),
    ]


async def test_server_that_does_not_reply_is_left(monkeypatch):
    monkeypatch.setattr(publisher, "TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(publisher, "CHECK_INTERVAL_SECONDS", 0.05)

    def mute(number: int, words: list[bytes]) -> bytes:
        return b"" if number == 1 else ordinary(number, words)

    async with served(mute) as (server, settings), sending(settings) as sender:
        sender.send(b"one")
        assert [await server.next() for _ in range(3)] == [
            (1, b"AUTH secret"),
            (2, b"AUTH secret"),
            (2, b"PUBLISH channel one"),
        ]


async def test_refused_password_is_given_again_and_nothing_is_published_before_it_is_taken():
    def strict(number: int, words: list[bytes]) -> bytes:
        return b"-WRONGPASS invalid username-password pair\r\n" if number < 3 else ordinary(number, words)

    async with served(strict) as (server, settings), sending(settings) as sender:
        sender.send(b"one")
        assert [await server.next() for _ in range(4)] == [
            (1, b"AUTH secret"),
            (2, b"AUTH secret"),
            (3, b"AUTH secret"),
            (3, b"PUBLISH channel one"),
        ]


async def test_publishing_goes_on_when_redis_closes_its_connections(redis_server):
    settings = redis_server.settings
    client = redis.asyncio.Redis(host=settings.host, port=settings.port, password=settings.password)
    async with client, client.pubsub(ignore_subscribe_messages=True) as subscription, sending(settings) as sender:
        await subscription.subscribe(CHANNEL)
        for number in range(5):
            # when a message is published, then it arrives, although Redis has closed the connection of the one before
            sender.send(b"%d" % number)
            async with asyncio.timeout(TIMEOUT_SECONDS):
                while (message := await subscription.get_message(timeout=1)) is None:
                    pass
            assert message["data"] == b"%d" % number
            killed = await client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            assert killed >= 1


async def test_server_without_a_password_is_used_without():
    async with served(ordinary) as (server, settings), sending(Redis(settings.host, settings.port, None)) as sender:
        sender.send(b"one")
        assert await server.next() == (1, b"PUBLISH channel one")


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_replies_are_read_however_they_arrive(size):
    replies, data = Replies(), b"+OK\r\n:0\r\n:12345\r\n+\r\n"
    found = [reply for start in range(0, len(data), size) for reply in replies.feed(data[start : start + size])]
    assert found == [b"OK", b"0", b"12345", b""]


def test_error_reply_says_what_redis_says():
    with pytest.raises(ReplyError, match="NOAUTH Authentication required"):
        list(Replies().feed(b"-NOAUTH Authentication required.\r\n"))
