"""An engine pod follows the master of a Redis with Sentinels, and does without any that are away (ADR 0145)."""

import asyncio
import shutil
import socket
import struct
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import uvloop
from cache_members import Cache, eventually
from engine_redis import RedisServer
from free_ports import free_port
from rtx_engine import redis_master
from rtx_engine.api import login_counters
from rtx_engine.api.login_counters import Counters
from rtx_engine.config import Redis
from rtx_engine.domain.events import AccountEvent
from rtx_engine.redis_master import RedisMaster
from rtx_engine.stream.bus import Bus
from test_stream_bus import event

TIMEOUT_SECONDS = 240.0
NOBODY = ("127.0.0.1", 1)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """How quick this machine is decides of no answer."""
    monkeypatch.setattr(redis_master, "ANSWER_SECONDS", 30.0)
    monkeypatch.setattr(login_counters, "TIMEOUT_SECONDS", 30.0)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    if shutil.which("redis-server") is None:
        pytest.skip("needs Redis: apt-get install redis-server")
    cache = Cache(tmp_path)
    cache.start()
    cache.settled()
    yield cache
    cache.stop()


def settings_of(cache: Cache) -> Redis:
    sentinels = tuple((host, cache.sentinel_port) for host in cache.hosts)
    return Redis("127.0.0.1", 1, cache.password, sentinels)


async def delivered(sender: Bus, received: "asyncio.Queue[AccountEvent]", first: int) -> int:
    """Publish until an event of these arrives; returns the next free sequence."""
    sequence = first
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while True:
            sender.publish([event(sequence)])
            sequence += 1
            await asyncio.sleep(0.3)
            while not received.empty():
                if received.get_nowait().sequence >= first:
                    return sequence


async def test_pod_follows_the_master_that_takes_over(cache: Cache) -> None:
    # Given two pods that reach each other, and count logins together
    settings = settings_of(cache)
    one, other = Bus(settings), Bus(settings)
    counters, newcomer = Counters(settings), Counters(settings)
    received: asyncio.Queue[AccountEvent] = asyncio.Queue()
    other.on_events(lambda events: [received.put_nowait(each) for each in events])
    await one.start()
    await other.start()
    try:
        sequence = await delivered(one, received, 1)
        assert await RedisMaster(settings).find() == (cache.hosts[0], cache.port)
        await counters.add([("before", 1, 600)])

        # When the master is lost
        cache.members[0].kill()

        # Then they find the one that takes over
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while (await RedisMaster(settings).find())[0] == cache.hosts[0]:  # noqa: ASYNC110  # of other processes
                await asyncio.sleep(0.2)
            await delivered(one, received, sequence)
            # The counters are in Redis again once a pod that begins now reads them there.
            while await newcomer.read(["after"]) == [0]:
                await counters.add([("after", 1, 600)])
                await asyncio.sleep(0.5)
    finally:
        await one.stop()
        await other.stop()
        await counters.close()
        await newcomer.close()


@pytest.mark.parametrize("sentinels", [(), (NOBODY, NOBODY, ("no-such-host.invalid", 26379))])
async def test_without_sentinels_it_is_the_server_of_the_settings(
    redis_server: RedisServer, sentinels: tuple[tuple[str, int], ...]
) -> None:
    settings = replace(redis_server.settings, sentinels=sentinels)
    assert await RedisMaster(settings).find() == (settings.host, settings.port)
    counters = Counters(settings)
    await counters.add([("one", 1, 60)])
    await counters.close()
    again = Counters(settings)
    assert await again.read(["one"]) == [1]
    await again.close()


@asynccontextmanager
async def reset_on_demand(settings: Redis) -> AsyncIterator[tuple[Redis, Callable[[], None]]]:
    """A way to a Redis, and a function that resets its connections, as a node does that was cut off."""
    clients: list[asyncio.StreamWriter] = []

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def copy(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                to.write(data)

        back, there = await asyncio.open_connection(settings.host, settings.port)
        clients.append(writer)
        copies = [asyncio.create_task(copy(reader, there)), asyncio.create_task(copy(back, writer))]
        await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
        for one in copies:
            one.cancel()
        await asyncio.gather(*copies, return_exceptions=True)
        there.transport.abort()
        writer.transport.abort()

    def reset() -> None:
        for writer in clients:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        clients.clear()

    async with await asyncio.start_server(relay, "127.0.0.1", 0) as server:
        yield replace(settings, port=server.sockets[0].getsockname()[1]), reset


def test_connection_that_was_reset_is_replaced(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login_counters, "AVOIDED_SECONDS", 0.0)

    async def logins() -> tuple[list[int], list[int]]:
        # Given a pod whose connection is reset while nothing is asked
        async with reset_on_demand(redis_server.settings) as (settings, reset):
            counters, newcomer = Counters(settings), Counters(redis_server.settings)
            await counters.add([("one", 1, 60)])
            reset()
            await asyncio.sleep(0.1)
            # When logins are counted
            first = await counters.read(["one"])
            await counters.add([("one", 1, 60)])
            # Then nobody is refused, and other pods learn of the second one
            seen = await newcomer.read(["one"])
            await counters.close()
            await newcomer.close()
            return first, seen

    # On uvloop, as in production: only there does a write to such a connection raise RuntimeError
    assert asyncio.Runner(loop_factory=uvloop.new_event_loop).run(logins()) == ([1], [2])


@pytest.fixture
def strangers(tmp_path: Path) -> Iterator[list[tuple["subprocess.Popen[bytes]", int]]]:
    """Three Sentinels that do not know each other: one names an old master, and two name another."""
    if shutil.which("redis-server") is None:
        pytest.skip("needs Redis: apt-get install redis-server")
    started = []
    for master in ("127.0.0.9", "127.0.0.8", "127.0.0.8"):
        port = free_port()
        file = tmp_path / f"{port}.conf"
        file.write_text(f"port {port}\nrequirepass redis\nsentinel monitor engine {master} 6379 2\n")
        started.append((subprocess.Popen(["redis-server", file, "--sentinel"], stdout=subprocess.DEVNULL), port))
    yield started
    for process, _ in started:
        process.kill()
        process.wait()


async def test_master_is_who_most_sentinels_name(strangers: list[tuple["subprocess.Popen[bytes]", int]]) -> None:
    master = RedisMaster(Redis("redis", 6379, "redis", tuple(("127.0.0.1", port) for _, port in strangers)))
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while await master.find() != ("127.0.0.8", 6379):  # noqa: ASYNC110  # until they have started
            await asyncio.sleep(0.1)
    for _ in range(10):
        assert await master.find() == ("127.0.0.8", 6379)

    # And when none answers any more, it is the last that they named, but not for ever
    for process, _ in strangers:
        process.kill()
        process.wait()
    assert await master.find() == ("127.0.0.8", 6379)
    master._named_until = 0.0  # a minute later
    assert await master.find() == ("redis", 6379)


@pytest.fixture
def replica(tmp_path: Path, redis_server: RedisServer) -> Iterator[Redis]:
    """A replica that has lost its master."""
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--replicaof", "127.0.0.1", "1", "--dir", str(tmp_path)]
    password = redis_server.settings.password or ""
    process = subprocess.Popen(["redis-server", *options, "--requirepass", password], stdout=subprocess.DEVNULL)
    ask = ["redis-cli", "-p", str(port), "-a", password, "--no-auth-warning", "ping"]
    eventually(lambda: b"PONG" in subprocess.run(ask, check=False, capture_output=True).stdout, "it serves")
    yield replace(redis_server.settings, host="127.0.0.1", port=port)
    process.kill()
    process.wait()


@pytest.mark.parametrize("misled", ["publisher", "receiver", "counters"])
async def test_pod_that_was_led_to_a_replica_does_not_stay_with_it(
    redis_server: RedisServer, replica: Redis, misled: str
) -> None:
    # Given a Sentinel that names a replica, as one does that was cut off, and a Service that leads to another server
    named, asked = replica, 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await reader.readuntil(b"engine\r\n")
        host, port = named.host.encode(), str(named.port).encode()
        writer.write(b"+OK\r\n*2\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(host), host, len(port), port))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as sentinel, asyncio.timeout(TIMEOUT_SECONDS):
        follows = replace(replica, sentinels=(("127.0.0.1", sentinel.sockets[0].getsockname()[1]),))
        if misled == "counters":
            counters = Counters(follows)
            assert await counters.read(["one"]) == [0]
            assert counters._avoid_redis_until  # what a replica says may be of long ago
            await counters.close()
            return
        one = Bus(follows if misled == "publisher" else redis_server.settings)
        other = Bus(follows if misled == "receiver" else redis_server.settings)
        received: asyncio.Queue[AccountEvent] = asyncio.Queue()
        other.on_events(lambda events: [received.put_nowait(each) for each in events])
        await one.start()
        await other.start()
        try:
            while not asked:  # noqa: ASYNC110  # until it is on its way to the replica
                await asyncio.sleep(0.1)
            await asyncio.sleep(2.0)

            # When the Sentinel names the master, then that has the events
            named = redis_server.settings
            await delivered(one, received, 1)
        finally:
            await one.stop()
            await other.stop()
