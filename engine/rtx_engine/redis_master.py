"""Which Redis to connect to: the master that the Sentinels name, or the only server there is.

Asked anew for each connection, and each begins with a command that a replica refuses: it takes messages and questions
without a word, and its messages reach nobody else. Redis ends all of a server's connections when it is the master no
more; and one that does not answer is given up by whoever uses it. So nobody stays with another server than the master.
"""

import asyncio
import time
from collections import Counter
from typing import Any

import redis.asyncio
import structlog
from redis.exceptions import ReadOnlyError, ResponseError

from rtx_engine import config

MASTER_CHECK = ("WAIT", "0", "0")  # waits for nothing; a replica answers with an error
GROUP = b"engine"  # the name under which Sentinels know the master
ANSWER_SECONDS = 0.3  # for all Sentinels together; a login waits for Redis for half a second
NAMED_SECONDS = 60.0  # that a master is believed to be one after the last answer

Address = tuple[str, int]

log = structlog.get_logger(__name__)


class RedisMaster:
    """Finds the master. Without Sentinels that answer it is for a minute the last one that they named, and then the
    server of the settings: they are right as well for a Redis that gets Sentinels later, or loses them.
    """

    def __init__(self, settings: config.Redis) -> None:
        self._settings = settings
        self._named: Address | None = None
        self._named_until = 0.0  # time.monotonic()

    async def find(self) -> Address:
        """Host and port. Waits for ANSWER_SECONDS at most, and never raises."""
        named = await self._ask_all() if self._settings.sentinels else None
        if named:
            if named != self._named:
                log.info("Redis has a master by its Sentinels", host=named[0])
            self._named, self._named_until = named, time.monotonic() + NAMED_SECONDS
        if self._named is None or time.monotonic() >= self._named_until:
            return self._settings.host, self._settings.port
        return self._named

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
        """Not by the Redis client, which leaks a connection that is cancelled while it is opened."""
        try:
            reader, writer = await asyncio.open_connection(*sentinel)
        except OSError:
            return None
        try:
            password = (self._settings.password or "").encode()
            writer.write(_command(b"AUTH", password) + _command(b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", GROUP))
            await reader.readline()  # AUTH's; where no password is set it is an error, and the next reply comes as well
            return await _address(reader)
        except (OSError, ValueError):
            return None
        finally:
            writer.transport.abort()


def _command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


async def _address(reader: asyncio.StreamReader) -> Address | None:
    """Host and port, which come as two strings; None for any other reply. Raises ValueError for a port that is none."""
    if await reader.readline() != b"*2\r\n":
        return None
    _, host, _, port = [(await reader.readline()).strip().decode() for _ in range(4)]
    return host, int(port)


class MasterConnection(redis.asyncio.Connection):
    """A connection of the Redis client to the master."""

    def __init__(self, *, master: RedisMaster, **options: Any) -> None:
        super().__init__(**options)
        self._master = master

    async def connect_check_health(self, check_health: bool = True, retry_socket_connect: bool = True) -> None:
        if not self.is_connected:
            self.host, self.port = await self._master.find()
        await super().connect_check_health(check_health, retry_socket_connect)

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        await super().on_connect_check_health(check_health)
        await self.send_command(*MASTER_CHECK)
        try:
            await self.read_response()
        except ResponseError as error:
            raise redis.exceptions.ConnectionError(f"{self.host} is not the master: {error}") from None

    async def send_packed_command(self, *args: Any, **options: Any) -> None:
        """Also where the connection has ended unseen: the client takes a kernel's time-out for one that is idle, and
        uvloop's RuntimeError for no error of a connection, so that each login at this pod was answered with 500.
        """
        try:
            await super().send_packed_command(*args, **options)
        except RuntimeError as error:
            await self.disconnect(nowait=True)
            raise redis.exceptions.ConnectionError(f"the connection to {self.host} has ended") from error

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """Also ends the connection when it leads to a replica after all, so that the next one is to the master."""
        try:
            return await super().read_response(*args, **options)
        except ReadOnlyError:
            await self.disconnect()
            raise
