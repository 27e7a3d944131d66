"""Which Redis to connect to: the master that the Sentinels name, or the only server there is.

Asked anew for each connection. Redis ends all of a server's connections when it is the master no more; and one that
does not answer is given up by whoever uses it. So nobody stays with an old master.
"""

import asyncio
import contextlib
from collections import Counter
from typing import Any

import redis.asyncio
import structlog
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ReadOnlyError, RedisError

from rtx_engine import config

GROUP = "engine"  # the name under which Sentinels know the master
ANSWER_SECONDS = 0.3  # for all Sentinels together; a login waits for Redis for half a second

Address = tuple[str, int]

log = structlog.get_logger(__name__)


class RedisMaster:
    """Finds the master. Without Sentinels that answer it is the last one they named, else the server of the settings:
    the same settings are right for a Redis that gets Sentinels later, or loses them.
    """

    def __init__(self, settings: config.Redis) -> None:
        self._settings = settings
        self._named: Address | None = None

    async def find(self) -> Address:
        """Host and port. Waits for ANSWER_SECONDS at most, and never raises."""
        named = await self._ask_all() if self._settings.sentinels else None
        if named and named != self._named:
            log.info("Redis has a master by its Sentinels", host=named[0])
            self._named = named
        return self._named or (self._settings.host, self._settings.port)

    async def _ask_all(self) -> Address | None:
        """The address that most of those name that answer in time; one that was cut off may name an old one."""
        asked = [asyncio.create_task(self._ask(sentinel)) for sentinel in self._settings.sentinels]
        votes: Counter[Address] = Counter()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                for answer in asyncio.as_completed(asked):
                    if (named := await answer) is not None:
                        votes[named] += 1
                    if votes and votes.most_common(1)[0][1] > len(asked) // 2:
                        break
        except TimeoutError:
            pass
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        return votes.most_common(1)[0][0] if votes else None

    async def _ask(self, sentinel: Address) -> Address | None:
        host, port = sentinel
        client = redis.asyncio.Redis(
            host=host,
            port=port,
            password=self._settings.password,
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 0),
            single_connection_client=True,
            decode_responses=True,
        )
        try:
            named = await client.sentinel_get_master_addr_by_name(GROUP)
        except (RedisError, OSError, TimeoutError):
            return None
        finally:
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                await client.aclose()
        return (str(named[0]), named[1]) if isinstance(named, tuple) else None


class MasterConnection(redis.asyncio.Connection):
    """A connection of the Redis client to the master."""

    def __init__(self, *, master: RedisMaster, **options: Any) -> None:
        super().__init__(**options)
        self._master = master

    async def connect_check_health(self, check_health: bool = True, retry_socket_connect: bool = True) -> None:
        if not self.is_connected:
            self.host, self.port = await self._master.find()
        await super().connect_check_health(check_health, retry_socket_connect)

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """Also ends the connection when it leads to a replica after all, so that the next one is to the master."""
        try:
            return await super().read_response(*args, **options)
        except ReadOnlyError:
            await self.disconnect()
            raise
