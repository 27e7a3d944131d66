"""Guesses at passwords are limited over all pods, and nobody can lock out anybody else."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace

import argon2
import pytest
import pytest_asyncio
import redis.asyncio
from engine_redis import RedisServer
from rtx_engine.api import login_counters
from rtx_engine.api.errors import ApiError
from rtx_engine.api.login_counters import Counters, LocalCounters
from rtx_engine.api.login_limits import LoginLimits
from rtx_engine.api.logins import Logins
from rtx_engine.api.passwords import Bounds, Caller, Passwords

LIMITS = LoginLimits(failures_per_pair=3, failures_per_address=6, failures_per_user=6)
STORED = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("right")


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """How quick this machine is decides of no answer: a Redis that has stopped refuses at once."""
    for name in ("TIMEOUT_SECONDS", "TURN_SECONDS"):
        monkeypatch.setattr(login_counters, name, 30.0)


class Pod:
    """The logins of one pod. The users alice, bob and carol have the password "right"."""

    def __init__(self, redis: RedisServer, limits: LoginLimits = LIMITS) -> None:
        self.passwords = Passwords()
        self.counters = Counters(redis.settings)
        self._logins = Logins(self.passwords, self.counters, limits)

    async def log_in(self, username: str, address: str, password: str, *, holds_token: bool = False) -> int:
        """The status of the answer."""
        try:
            caller = await self._logins.caller(username, address, holds_token=holds_token)
            await self._logins.check(caller, STORED, password)
        except ApiError as error:
            return error.status
        return 200

    async def guess(self, times: int, username: str, address: str) -> list[int]:
        return [await self.log_in(username, address, "wrong") for _ in range(times)]

    async def close(self) -> None:
        self.passwords.close()
        await self.counters.close()


@pytest_asyncio.fixture
async def pods(redis_server: RedisServer) -> AsyncIterator[list[Pod]]:
    pods = [Pod(redis_server), Pod(redis_server)]
    yield pods
    for pod in pods:
        await pod.close()


async def test_guesses_are_counted_over_all_pods(pods: list[Pod]) -> None:
    # when somebody guesses twice at one pod and twice at another
    answers = [await pod.guess(2, "alice", "192.0.2.1") for pod in pods]
    # then the fourth is not looked at, nor is the right password
    assert answers == [[401, 401], [401, 429]]
    assert await pods[0].log_in("alice", "192.0.2.1", "right") == 429


async def test_guesses_at_many_users_are_limited_by_address(pods: list[Pod]) -> None:
    answers = [await pods[0].log_in(f"user {number}", "192.0.2.1", "wrong") for number in range(8)]
    assert answers == [401] * 6 + [429] * 2
    # and other addresses go on
    assert await pods[0].log_in("user 0", "192.0.2.2", "right") == 200


async def test_guesses_from_many_addresses_are_limited_by_user(pods: list[Pod]) -> None:
    answers = [await pods[0].log_in("alice", f"192.0.2.{number}", "wrong") for number in range(8)]
    assert answers == [401] * 6 + [429] * 2
    # and other users go on
    assert await pods[0].log_in("bob", "192.0.2.9", "right") == 200


async def test_user_cannot_be_locked_out_from_where_they_logged_in_before(pods: list[Pod]) -> None:
    # given a user who has logged in, and somebody who guesses at their password from many addresses
    assert await pods[0].log_in("alice", "198.51.100.1", "right") == 200
    for number in range(8):
        await pods[0].log_in("alice", f"192.0.2.{number}", "wrong")
    # and others who guess behind the user's own address, at other users
    for number in range(8):
        await pods[1].log_in(f"user {number}", "198.51.100.1", "wrong")
    # then the user still logs in there, at any pod
    assert [await pod.log_in("alice", "198.51.100.1", "right") for pod in pods] == [200, 200]


async def test_guesses_of_strangers_keep_nobody_who_is_logged_in_from_changing_the_password(pods: list[Pod]) -> None:
    # given strangers who have guessed at alice as often as they may, also from where she is now
    for number in range(2):
        await pods[0].guess(3, "alice", f"192.0.2.{number}")
    await pods[0].guess(3, "bob", "198.51.100.7")
    await pods[0].guess(3, "carol", "198.51.100.7")
    assert await pods[0].log_in("alice", "198.51.100.7", "right") == 429
    # then she changes her password there, and is known from then on
    assert await pods[0].log_in("alice", "198.51.100.7", "right", holds_token=True) == 200
    assert await pods[1].log_in("alice", "198.51.100.7", "right") == 200


@pytest.mark.parametrize("known", [False, True])
async def test_guesses_behind_the_same_address_keep_nobody_from_changing_the_password(
    pods: list[Pod], *, known: bool
) -> None:
    # given alice, who may have logged in from an address that she shares, and somebody there who guesses at her
    if known:
        assert await pods[0].log_in("alice", "198.51.100.7", "right") == 200
    assert await pods[1].guess(4, "alice", "198.51.100.7") == [401, 401, 401, 429]
    # then she changes her password there
    assert await pods[0].log_in("alice", "198.51.100.7", "right", holds_token=True) == 200


async def test_guesses_of_those_who_hold_a_token_are_limited_by_address(pods: list[Pod]) -> None:
    answers = [await pods[0].log_in("alice", "192.0.2.1", "wrong", holds_token=True) for _ in range(4)]
    assert answers == [401, 401, 401, 429]
    # and are no strangers' guesses
    assert await pods[0].log_in("alice", "192.0.2.1", "right") == 200


async def test_guesses_of_those_who_hold_a_token_are_limited_by_user(pods: list[Pod]) -> None:
    answers = [await pods[0].log_in("alice", f"192.0.2.{number}", "wrong", holds_token=True) for number in range(7)]
    assert answers == [401] * 6 + [429]
    # and are no strangers' guesses
    assert await pods[0].log_in("alice", "198.51.100.7", "right") == 200


async def test_mistakes_of_a_known_user_do_not_count_against_their_neighbours(pods: list[Pod]) -> None:
    users = [f"user {number}" for number in range(4)]
    for user in users:
        assert await pods[0].log_in(user, "198.51.100.1", "right") == 200
    # when users behind one proxy mistype, more often in all than a stranger there may
    for user in users:
        assert await pods[0].guess(2, user, "198.51.100.1") == [401, 401]
    # then a new one can still log in
    assert await pods[0].log_in("newcomer", "198.51.100.1", "right") == 200


async def test_guesses_are_forgotten_after_the_window(redis_server: RedisServer) -> None:
    pod = Pod(redis_server, replace(LIMITS, window_seconds=1))
    try:
        assert await pod.guess(4, "alice", "192.0.2.1") == [401, 401, 401, 429]
        async with asyncio.timeout(20):
            while await pod.log_in("alice", "192.0.2.1", "right") != 200:  # noqa: ASYNC110  # Redis tells nobody
                await asyncio.sleep(0.1)
    finally:
        await pod.close()


async def test_without_redis_each_pod_limits_by_itself(pods: list[Pod], redis_server: RedisServer) -> None:
    redis_server.stop()
    assert await pods[0].guess(4, "alice", "192.0.2.1") == [401, 401, 401, 429]
    assert await pods[1].log_in("alice", "192.0.2.1", "right") == 200


@pytest.mark.parametrize("guesser", [0, 1])
async def test_guesses_count_on_when_redis_goes(pods: list[Pod], redis_server: RedisServer, guesser: int) -> None:
    # given somebody who used up their guesses, at this pod or at another one that this pod knows of
    await pods[guesser].guess(3, "alice", "192.0.2.1")
    assert await pods[0].log_in("alice", "192.0.2.1", "right") == 429
    redis_server.stop()
    # then they have no new ones
    assert await pods[0].log_in("alice", "192.0.2.1", "right") == 429


async def test_user_is_known_on_when_redis_goes(pods: list[Pod], redis_server: RedisServer) -> None:
    # given a user who has logged in, and an address that is used up since
    assert await pods[0].log_in("alice", "192.0.2.1", "right") == 200
    for number in range(8):
        await pods[0].log_in(f"user {number}", "192.0.2.1", "wrong")
    redis_server.stop()
    assert await pods[0].log_in("alice", "192.0.2.1", "right") == 200


async def test_however_many_logins_come_at_once_all_know_what_other_pods_counted(pods: list[Pod]) -> None:
    await pods[1].counters.add([("rtx:login:one", 1, 60), ("rtx:login:two", 2, 60)])
    keys = ["rtx:login:one", "rtx:login:none", "rtx:login:two"]
    answers = await asyncio.gather(*(pods[0].counters.read(keys) for _ in range(1000)))
    assert answers == [[1, 0, 2]] * 1000


async def test_counters_that_are_closed_open_no_connection(redis_server: RedisServer) -> None:
    # given logins that ask while the counters are closed, and later
    counters = Counters(redis_server.settings)
    asking = [asyncio.create_task(counters.read([str(number)])) for number in range(8)]
    counting = [asyncio.create_task(counters.add([(str(number), 1, 60)])) for number in range(8)]
    await asyncio.sleep(0)
    await counters.close()
    await asyncio.gather(*asking, *counting)
    await counters.read(["one"])
    await counters.add([("one", 1, 60)])

    # then Redis has no client but the one that asks this
    async with redis.asyncio.Redis(
        host=redis_server.settings.host, port=redis_server.settings.port, password=redis_server.settings.password
    ) as client:
        assert len(await client.client_list()) == 1


async def test_login_that_gives_up_costs_the_others_nothing(pods: list[Pod]) -> None:
    await pods[1].counters.add([("rtx:login:one", 1, 60)])
    first, *others = [asyncio.create_task(pods[0].counters.read(["rtx:login:one"])) for _ in range(5)]
    await asyncio.sleep(0)
    first.cancel()
    assert await asyncio.gather(*others) == [[1]] * 4


def test_counters_in_memory_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login_counters, "MAX_LOCAL_COUNTERS", 2)
    counters = LocalCounters()
    for key in ("one", "two", "one", "three"):
        counters.add([(key, 1, 60)])
    assert counters.read(["one", "two", "three"]) == [2, 0, 1]


class SlowPasswords(Passwords):
    """Each hash takes until it is told to end."""

    def __init__(self, strangers: Bounds, known: Bounds) -> None:
        super().__init__(strangers, known)
        self.running = 0
        self.end = asyncio.Event()

    async def _run(self, *_: object) -> bool:  # type: ignore[override]
        self.running += 1
        await self.end.wait()
        return True


@pytest.mark.parametrize(
    ("bounds", "callers"),
    [
        (Bounds(1, waiting=2), [("a", "1"), ("b", "2"), ("c", "3")]),
        (Bounds(1, waiting_per_user=2), [("a", "1"), ("a", "2"), ("a", "3")]),
        (Bounds(1, waiting_per_address=2), [("a", "1"), ("b", "1"), ("c", "1")]),
    ],
)
async def test_hashes_that_wait_are_bounded(bounds: Bounds, callers: list[tuple[str, str]]) -> None:
    passwords = SlowPasswords(bounds, Bounds(2))
    logins: list[Awaitable[bool]] = [
        asyncio.create_task(passwords.verify(STORED, "right", Caller(user, address, known=False)))
        for user, address in callers
    ]
    *accepted, third = logins
    with pytest.raises(ApiError) as refused:
        await third
    assert (refused.value.status, refused.value.headers) == (429, ((b"retry-after", b"1"),))
    passwords.end.set()
    assert await asyncio.gather(*accepted) == [True, True]
    passwords.close()


async def test_strangers_leave_a_thread_to_known_users() -> None:
    passwords = SlowPasswords(Bounds(1), Bounds(2))
    # given strangers who want more hashes than there are threads
    strangers = [
        asyncio.create_task(passwords.verify(STORED, "right", Caller(f"user {n}", f"address {n}", known=False)))
        for n in range(5)
    ]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert passwords.running == 1
    # then a known user has the other thread at once
    known = asyncio.create_task(passwords.verify(STORED, "right", Caller("alice", "home", known=True)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert passwords.running == 2
    passwords.end.set()
    await asyncio.gather(known, *strangers)
    passwords.close()
