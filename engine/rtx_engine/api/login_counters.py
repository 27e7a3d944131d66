"""Counters of logins, shared by all pods in Redis, or else of this pod alone.

Redis may be away or lose them (ADR 0027): logins then go on, limited by each pod for itself.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence

import redis.asyncio
import structlog
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from rtx_engine import config

TIMEOUT_SECONDS = 0.5  # of a command, connecting included: a login waits for it
AVOIDED_SECONDS = 5.0  # after a failure Redis is not asked for so long
MAX_LOCAL_COUNTERS = 20_000  # beyond, those that changed longest ago are forgotten

log = structlog.get_logger(__name__)


class Counters:
    """Counters that expire. No method raises or waits longer than TIMEOUT_SECONDS."""

    def __init__(self, settings: config.Redis) -> None:
        self._redis = redis.asyncio.Redis(
            host=settings.host,
            port=settings.port,
            password=settings.password,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._local = LocalCounters()
        self._avoid_redis_until = 0.0

    async def close(self) -> None:
        await self._redis.aclose()

    async def read(self, keys: Sequence[str]) -> list[int]:
        """The value of each; 0 for one that does not exist."""
        if self._asks_redis():
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    return [int(value or 0) for value in await self._redis.mget(keys)]
            except (RedisError, OSError, TimeoutError, ValueError) as error:
                self._avoid_redis(error)
        return self._local.read(keys)

    async def add(self, amounts: Sequence[tuple[str, int, int]]) -> None:
        """Add to counters: (key, amount, seconds). A counter that this makes expires after the seconds."""
        if self._asks_redis():
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS), self._redis.pipeline(transaction=False) as pipeline:
                    for key, amount, seconds in amounts:
                        pipeline.incrby(key, amount)
                        pipeline.expire(key, seconds, nx=True)
                    await pipeline.execute()
                    return
            except (RedisError, OSError, TimeoutError) as error:
                self._avoid_redis(error)
        self._local.add(amounts)

    def _asks_redis(self) -> bool:
        return time.monotonic() >= self._avoid_redis_until

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
        while len(self._counters) > MAX_LOCAL_COUNTERS:
            self._counters.popitem(last=False)

    def _value(self, key: str) -> tuple[int, float]:
        value, ends = self._counters.get(key, (0, 0.0))
        if ends <= time.monotonic():
            self._counters.pop(key, None)
            return 0, 0.0
        return value, ends
