"""A network between a pod and PostgreSQL that tests disturb."""

import asyncio
import re
from contextlib import suppress

# What PostgreSQL says at the end of an order's transaction: WRITE's row of 17 columns, CommandComplete, and
# ReadyForQuery with no transaction open.
COMMITTED = re.compile(rb"D.{4}\x00\x11.*C.{4}SELECT \d+\0Z\x00\x00\x00\x05I", re.DOTALL)
# The same at the end of a transaction that ends with COMMIT, as that of a deposit.
COMMITTED_BY_ITSELF = re.compile(rb"C.{4}COMMIT\0Z\x00\x00\x00\x05I", re.DOTALL)
# The same of statements outside of the order path: a new account, its id and that it has no event; a row each.
ACCOUNT_OPENED = re.compile(rb"D.{4}\x00\x02.{12}\x00{3}\x08\x00{8}C.{4}SELECT 1\0Z\x00\x00\x00\x05I", re.DOTALL)
CANCEL_REQUEST = (80877102).to_bytes(4, "big")  # after its length, all that a client sends
SESSION_KEPT = re.compile(rb"D.*C.{4}INSERT 0 1\0Z\x00\x00\x00\x05I", re.DOTALL)


class Cable:
    """A TCP proxy in front of PostgreSQL.

    It can be cut, reset its connections, be slow, hold answers back, lose the next ones that say what was committed, or
    requests to cancel. Its `target` may change: new connections lead to the new one.
    """

    def __init__(self, port: int) -> None:
        self.port = 0
        self.connections = 0  # since the start
        self.delay_seconds = 0.0  # of each answer
        self.connect_delay_seconds = 0.0  # until the server has a new connection, as where it is busy
        self.answers_to_lose = 0
        self.lost_answer = COMMITTED
        self.lost = 0
        self.loses_cancels = False
        self.late_answer: re.Pattern[bytes] | None = None  # waits for `release`, and so does what follows
        self.target = port
        self.silent: set[int] = set()  # targets whose nodes are cut off: what comes from there is lost
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def plug_in(self) -> None:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        if self._server is not None:
            self._server.close()
        self.reset()

    def reset(self) -> None:
        """Lose all connections, as where a table of flows is flushed. A backend that waits does not see it."""
        for writer in self._writers:
            writer.transport.abort()

    def hold(self) -> None:
        """From now on answers wait for `release`."""
        self._flowing.clear()

    def release(self) -> None:
        self._flowing.set()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        await asyncio.sleep(self.connect_delay_seconds)
        target = self.target
        try:
            upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", target)
        except ConnectionError:
            writer.transport.abort()
            return
        pair = {writer, upstream}
        self._writers |= pair
        try:
            requests = asyncio.create_task(self._requests(reader, upstream))
            with suppress(ConnectionError):
                while data := await upstream_reader.read(65536):
                    if self.answers_to_lose and self.lost_answer.search(data):
                        self.answers_to_lose -= 1
                        self.lost += 1
                        break
                    if target in self.silent:
                        continue
                    if self.late_answer is not None and self.late_answer.search(data):
                        self.hold()
                    await asyncio.sleep(self.delay_seconds)
                    await self._flowing.wait()
                    writer.write(data)
            requests.cancel()
        finally:
            for one in pair:
                one.transport.abort()
            self._writers -= pair

    async def _requests(self, reader: asyncio.StreamReader, upstream: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                if self.loses_cancels and data[4:8] == CANCEL_REQUEST:
                    break
                upstream.write(data)
        upstream.transport.abort()
