"""Counters of logins, shared by all pods in Redis, or else of this pod alone.

Redis may be away or lose them (ADR 0027): logins then go on, limited by what this pod has seen itself. However many
logins come at once, they ask Redis one question after the other, each for many of them: so a flood is no outage.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import redis.asyncio
import structlog
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from rtx_engine import config
from rtx_engine.redis_master import MasterConnection, RedisMaster

TIMEOUT_SECONDS = 0.5  # of a command, connecting included
TURN_SECONDS = 2.0  # for a login's turn to ask
AVOIDED_SECONDS = 5.0  # after a failure Redis is not asked for so long
MAX_CONNECTIONS = 4  # to Redis; one reads, and logins that were looked at (passwords.THREADS) count
MAX_QUESTIONS = 128  # that are asked at once: some 500 keys, half a millisecond of Redis
SEEN_SECONDS = 300  # that this pod remembers what Redis said
MAX_LOCAL_COUNTERS = 20_000  # beyond, those that changed longest ago are forgotten

Result = TypeVar("Result")

log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class _Question:
    """A login that waits for the values of its counters."""

    keys: Sequence[str]
    values: list[int] | None = None


class Counters:
    """Counters that expire. No method raises."""

    def __init__(self, settings: config.Redis) -> None:
        pool = redis.asyncio.BlockingConnectionPool(
            max_connections=MAX_CONNECTIONS,
            timeout=TIMEOUT_SECONDS,
            connection_class=MasterConnection,
            master=RedisMaster(settings),
            password=settings.password,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._redis = redis.asyncio.Redis.from_pool(pool)
        self._questions: list[_Question] = []  # that wait, in the order of the lock
        self._asking = asyncio.Lock()
        self._local = LocalCounters()
        self._avoid_redis_until = 0.0
        self._closed = False
        self._commands: set[asyncio.Future[Any]] = set()  # that are under way

    async def close(self) -> None:
        """Ask Redis no more, and close its connections once what is under way has ended: redis-py would open others.

        Waits for TIMEOUT_SECONDS at most.
        """
        self._closed = True
        if self._commands:
            await asyncio.wait(self._commands, timeout=TIMEOUT_SECONDS)
        await self._redis.aclose()

    async def read(self, keys: Sequence[str]) -> list[int]:
        """The value of each; 0 for one that does not exist. Waits for TURN_SECONDS and TIMEOUT_SECONDS at most."""
        question = _Question(keys)
        self._questions.append(question)
        try:
            async with asyncio.timeout(TURN_SECONDS):
                await self._asking.acquire()
        except TimeoutError:
            return self._local.read(keys)
        try:
            while question.values is None:  # nobody before it has asked for it as well
                await self._answer(self._questions[:MAX_QUESTIONS])
        finally:
            self._asking.release()
        return question.values

    async def _answer(self, questions: Sequence[_Question]) -> None:
        """Answer those that wait longest. Whoever gave up is among them and harms nobody."""
        keys = [key for question in questions for key in question.keys]
        values = iter(await self._ask(keys) or self._local.read(keys))
        for question in questions:
            question.values = [next(values) for _ in question.keys]
        del self._questions[: len(questions)]

    async def _ask(self, keys: Sequence[str]) -> list[int] | None:
        """The values in Redis; None if it is away."""
        if not self._asks_redis():
            return None
        try:
            values = [int(value or 0) for value in await self._command(self._redis.mget(keys))]
        except (RedisError, OSError, TimeoutError, ValueError) as error:
            self._avoid_redis(error)
            return None
        self._local.see(keys, values)
        return values

    async def add(self, amounts: Sequence[tuple[str, int, int]]) -> None:
        """Add to counters: (key, amount, seconds). A counter that this makes expires after the seconds.

        Waits for TIMEOUT_SECONDS at most.
        """
        self._local.add(amounts)  # also while Redis counts: should it go, nobody's budget begins anew
        if not self._asks_redis():
            return
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                for key, amount, seconds in amounts:
                    pipeline.incrby(key, amount)
                    pipeline.expire(key, seconds, nx=True)
                await self._command(pipeline.execute())
        except (RedisError, OSError, TimeoutError) as error:
            self._avoid_redis(error)

    async def _command(self, command: Awaitable[Result]) -> Result:
        """Its result. Raises TimeoutError after TIMEOUT_SECONDS."""
        task = asyncio.ensure_future(command)
        self._commands.add(task)
        task.add_done_callback(self._commands.discard)
        return await asyncio.wait_for(task, TIMEOUT_SECONDS)

    def _asks_redis(self) -> bool:
        return not self._closed and time.monotonic() >= self._avoid_redis_until

    def _avoid_redis(self, error: Exception) -> None:
        self._avoid_redis_until = time.monotonic() + AVOIDED_SECONDS
        log.warning("cannot reach Redis; this pod limits logins by itself", error=str(error) or type(error).__name__)


class LocalCounters:
    """The same, in memory."""

    def __init__(self) -> None:
        self._counters: OrderedDict[str, tuple[int, float]] = OrderedDict()  # key: value, time.monotonic() of its end

    def read(self, keys: Sequence[str]) -> list[int]:
        return [self._value(key)[0] for key in keys]

    def add(self, amounts: Sequence[tuple[str, int, int]]) -> None:
        for key, amount, seconds in amounts:
            value, ends = self._value(key)
            self._counters[key] = (value + amount, ends or time.monotonic() + seconds)
            self._counters.move_to_end(key)
        self._forget()

    def see(self, keys: Sequence[str], values: Sequence[int]) -> None:
        """What Redis says of all pods: at least that much is remembered for SEEN_SECONDS."""
        until = time.monotonic() + SEEN_SECONDS
        for key, seen in zip(keys, values, strict=True):
            if seen:
                value, ends = self._value(key)
                self._counters[key] = (max(value, seen), max(ends, until))
                self._counters.move_to_end(key)
        self._forget()

    def _forget(self) -> None:
        while len(self._counters) > MAX_LOCAL_COUNTERS:
            self._counters.popitem(last=False)

    def _value(self, key: str) -> tuple[int, float]:
        value, ends = self._counters.get(key, (0, 0.0))
        if ends <= time.monotonic():
            self._counters.pop(key, None)
            return 0, 0.0
        return value, ends
