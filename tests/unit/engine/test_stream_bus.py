"""Account events between pods, on a real Redis."""

import asyncio
import contextlib
import time
from datetime import UTC, datetime

import msgspec
import pytest
import redis.asyncio
from rtx_engine.config import Redis
from rtx_engine.domain.events import AccountEvent, EventKind
from rtx_engine.stream.bus import CHANNEL, Bus

TIMEOUT_SECONDS = 20.0


def event(sequence: int) -> AccountEvent:
    at = datetime(2026, 11, 21, tzinfo=UTC)
    return AccountEvent(7, sequence, EventKind.ORDER, msgspec.Raw(b'{"sequence":%d}' % sequence), at)


class Pod:
    """A bus and what came out of it."""

    def __init__(self, settings: Redis) -> None:
        self.bus = Bus(settings)
        self.received: asyncio.Queue[AccountEvent] = asyncio.Queue()
        self.bus.on_events(lambda events: [self.received.put_nowait(event) for event in events])

    async def until(self, sequence: int) -> None:
        """Wait for that event; others are passed over."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while (await self.received.get()).sequence != sequence:
                pass


@contextlib.asynccontextmanager
async def pods(settings, count=2):
    made = [Pod(settings) for _ in range(count)]
    for pod in made:
        await pod.bus.start()
    try:
        yield made
    finally:
        for pod in made:
            await pod.bus.stop()


async def published(sender, receiver, sequences):
    """Publish until the subscription, which nobody waits for, is there; returns the first sequence to arrive."""
    for sequence in sequences:
        sender.bus.publish([event(sequence)])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                return (await receiver.received.get()).sequence
    pytest.fail("nothing came through")


async def test_events_arrive_complete_in_order_and_once(redis_server):
    async with pods(redis_server.settings) as (one, other):
        begin = await published(one, other, range(1, 100))
        while not one.received.empty():
            one.received.get_nowait()

        sent = [event(sequence) for sequence in range(begin + 1, begin + 1501)]
        one.bus.publish(sent)

        async with asyncio.timeout(TIMEOUT_SECONDS):
            assert [await other.received.get() for _ in sent] == sent
        # the publisher's own clients had them at once, and do not get them again over Redis
        assert [one.received.get_nowait() for _ in sent] == sent
        assert one.received.empty()


async def test_unsubscribed_pod_gets_no_events_until_it_subscribes(redis_server):
    async with pods(redis_server.settings) as (one, other):
        begin = await published(one, other, range(1, 100))

        # given a subscription that is given up with the next message, which may be the answer to a ping
        other.bus.set_subscribed(subscribed=False)
        async with (
            redis.asyncio.Redis(
                host=redis_server.settings.host,
                port=redis_server.settings.port,
                password=redis_server.settings.password,
            ) as client,
            asyncio.timeout(TIMEOUT_SECONDS),
        ):
            while dict(await client.pubsub_numsub(CHANNEL)) != {CHANNEL.encode(): 1}:
                one.bus.publish([event(begin + 1)])
                await asyncio.sleep(0.05)

        # when they are wanted again
        other.bus.set_subscribed(subscribed=True)

        # then they come again
        await published(one, other, range(begin + 2, begin + 100))


async def test_events_arrive_again_after_a_redis_outage(redis_server):
    async with pods(redis_server.settings) as (one, other):
        last = await published(one, other, range(1, 100))
        redis_server.stop()
        one.bus.publish([event(last + 1)])
        await asyncio.sleep(0.1)
        redis_server.start()
        await published(one, other, range(last + 2, last + 200))


async def test_publish_without_redis_neither_blocks_nor_grows_unbounded():
    async with pods(Redis("127.0.0.1", 1, "redis"), count=1) as [pod]:
        begin = time.monotonic()
        for start in range(0, 100_000, 1000):
            pod.bus.publish([event(sequence) for sequence in range(start, start + 1000)])
        assert time.monotonic() - begin < TIMEOUT_SECONDS
        assert len(pod.bus._queue) <= 20_000
        await pod.until(99_999)


async def test_unreadable_message_is_ignored(redis_server):
    settings = redis_server.settings
    async with (
        pods(settings) as (one, other),
        redis.asyncio.Redis(host=settings.host, port=settings.port, password=settings.password) as client,
    ):
        last = await published(one, other, range(1, 100))
        for nonsense in (b"\xff", b"[]", b'{"origin":"x","events":[{"kind":"of-tomorrow"}]}'):
            await client.publish(CHANNEL, nonsense)
        one.bus.publish([event(last + 1000)])
        await other.until(last + 1000)
