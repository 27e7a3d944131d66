"""What an engine does while Redis is away, in each way in which it may be: it costs time, and no request (ADR 0143)."""

import asyncio
from typing import Any

import pytest
from engine_redis import PASSWORD, RedisServer
from engine_traders import Trader

TIMEOUT_SECONDS = 30.0
WAYS = ("killed", "frozen", "empty", "another password")


def take_away(redis: RedisServer, way: str) -> None:
    if way == "killed":
        redis.stop()
    elif way == "frozen":
        redis.freeze()
    elif way == "empty":
        redis.empty()
    else:
        redis.change_password(PASSWORD, "another")


def bring_back(redis: RedisServer, way: str) -> None:
    if way == "killed":
        redis.start()
    elif way == "frozen":
        redis.thaw()
    elif way == "another password":
        redis.change_password("another", PASSWORD)


async def events(stream: Any, *sequences: int) -> None:
    """The next events of the account are these, each once."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        for sequence in sequences:
            while (message := await stream.receive_json())["type"] != "order":
                assert message["type"] != "close"
            assert message["sequence"] == sequence


@pytest.mark.parametrize("way", WAYS)
async def test_engine_does_without_redis(engines: Any, anybody: Trader, way: str) -> None:
    # given a client at each of two pods
    one, other = await engines.start(), await engines.start()
    alice = await anybody.open(one, "alice")
    async with (
        alice.session.ws_connect(f"{one.url}/ws", headers=alice.headers) as here,
        alice.session.ws_connect(f"{other.url}/ws", headers=alice.headers) as there,
    ):
        for stream in (here, there):
            assert (await stream.receive_json(timeout=TIMEOUT_SECONDS))["type"] == "hello"

        # when Redis goes
        take_away(engines.redis, way)

        # then orders are placed at both, and both clients get every event, in order
        for number, pod in enumerate((one, other, one), start=1):
            assert (await alice.order(pod, f"order-{number}")).status == 201
            for stream in (here, there):
                await events(stream, number)
        # and reads, logins and wrong passwords are answered, and readiness is as it was
        assert (await alice.call(other, "GET", "/api/account")).status == 200
        assert (await alice.call(one, "GET", "/api/orders")).status == 200
        await anybody.log_in(one, "alice", "password")
        guess = {"username": "alice", "password": "wrong"}
        assert (await anybody.call(other, "POST", "/api/login", guess)).status == 401
        assert [await asyncio.to_thread(pod.probe, "/ready") for pod in (one, other)] == [200, 200]
        # and a pod that starts meanwhile serves
        late = await engines.start()
        again = await anybody.log_in(late, "alice", "password")
        assert (await again.order(late, "late")).status == 201
        for stream in (here, there):
            await events(stream, 4)

        # when it is back, then all goes on
        bring_back(engines.redis, way)
        assert (await alice.order(one, "after")).status == 201
        for stream in (here, there):
            await events(stream, 5)
