"""HTTP client for the pods of the other colour, through the Service that selects that colour only."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec

from rtx_engine.api import peer
from rtx_engine.api.http import Response
from rtx_engine.api.peer_connection import Address, ConnectionBrokenError, PeerConnection
from rtx_engine.config import COLOUR_PLACEHOLDER

# Kept connections to one colour. Further requests wait for a free one: opening more in a cutover takes longer.
MAX_CONNECTIONS = 32
# A request that has waited so long leaves its place to another, which gets a connection of its own, perhaps to another
# pod: however many are stuck, with a pod that has stopped or an account that somebody holds, others are sent on. How
# many there are is bounded by those who send (forward.MAX_FORWARDS). A forward takes a few milliseconds.
STUCK_SECONDS = 0.25
CONNECT_TIMEOUT_SECONDS = 1.0  # inside a cluster a connection opens within a millisecond or not at all
KEEP_ALIVE_SECONDS = 30.0  # an idle connection is closed after this time
REACH_TIMEOUT_SECONDS = 2.0
ADDRESS_TTL_SECONDS = 5.0  # how long the resolved address of a Service is cached
HTTP_PORT = 80


class UnreachableError(Exception):
    """The request was not sent, so it had no effect. The message gives the cause."""


class NoResponseError(Exception):
    """The request was sent and got no response: whether it took effect is unknown. The message gives the cause."""


@dataclass(frozen=True, slots=True)
class PeerRequest:
    """A request to the other colour. `target` is the path and query of the request line.

    `new_connection`: open a connection for this request only. A kept one may close before the peer reads the request.
    """

    method: bytes
    target: bytes
    headers: Iterable[tuple[bytes, bytes]] = ()
    body: bytes = b""
    new_connection: bool = False


class PeerClient:
    """Sends requests to the Service of either colour."""

    def __init__(self, service: str, secret: str) -> None:
        """`service` is `host` or `host:port` and contains COLOUR_PLACEHOLDER, which is replaced by the colour."""
        self._service = service
        self._secret = secret.encode()
        self._pools: dict[str, _ConnectionPool] = {}

    def stop(self) -> None:
        """Close the kept connections."""
        for pool in self._pools.values():
            pool.close()

    async def send(self, colour: str, request: PeerRequest, timeout_seconds: float) -> Response:
        """The response of `colour`. Raises UnreachableError and NoResponseError, also after `timeout_seconds`."""
        pool = self._pool(colour)
        message = _serialise(pool.host, self._secret, request)
        sent = False
        try:
            async with (
                asyncio.timeout(timeout_seconds),
                pool.connection(new_connection=request.new_connection) as connection,
            ):
                sent = True
                return await connection.send(message)
        except (ConnectionBrokenError, OSError, TimeoutError) as error:
            reason = str(error) or "timed out"
            raise (NoResponseError(reason) if sent else UnreachableError(reason)) from error

    async def reach(self, colour: str) -> str:
        """Query `colour` over a new connection. Returns the problem, or an empty string if it answers correctly."""
        host = self._pool(colour).host
        try:
            response = await self.send(
                colour, PeerRequest(b"GET", b"/internal/status", new_connection=True), REACH_TIMEOUT_SECONDS
            )
            found = msgspec.json.decode(response.body, type=_StatusColour).colour if response.status == 200 else None
        except (UnreachableError, NoResponseError, msgspec.DecodeError) as error:
            return f"{host} does not answer: {error}"
        if found is None:
            return f"{host} answers {response.status}, as to a client: give both colours the same PEER_SECRET"
        if found != colour:
            return f"{host} is answered by {found}: the Service selects the wrong pods"
        return ""

    def _pool(self, colour: str) -> "_ConnectionPool":
        if colour not in self._pools:
            self._pools[colour] = _ConnectionPool(self._host(colour))
        return self._pools[colour]

    def _host(self, colour: str) -> str:
        return self._service.replace(COLOUR_PLACEHOLDER, colour)


class _ConnectionPool:
    """MAX_CONNECTIONS connections to one Service, and those that are stuck; idle ones are kept for the next request."""

    def __init__(self, host: str) -> None:
        self.host = host
        self._slots = asyncio.Semaphore(MAX_CONNECTIONS)
        self._idle: list[PeerConnection] = []
        self._resolving = asyncio.Lock()
        self._address: Address | None = None
        self._address_expires_at = 0.0

    @asynccontextmanager
    async def connection(self, *, new_connection: bool) -> AsyncIterator[PeerConnection]:
        """A new connection at once, or else a kept one when a slot is free. Raises OSError or TimeoutError."""
        if new_connection:
            connection = await self._open()
            try:
                yield connection
            finally:
                connection.close()
            return
        clock = asyncio.get_running_loop().time
        async with self._slot():
            connection = self._take_idle(since=clock() - KEEP_ALIVE_SECONDS) or await self._open()
            try:
                yield connection
            finally:
                if connection.reusable and len(self._idle) < MAX_CONNECTIONS:
                    connection.idle_since = clock()
                    self._idle.append(connection)
                else:
                    connection.close()

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        """One of MAX_CONNECTIONS, for at most STUCK_SECONDS."""
        await self._slots.acquire()
        slot = _Slot(self._slots)
        stuck = asyncio.get_running_loop().call_later(STUCK_SECONDS, slot.leave)
        try:
            yield
        finally:
            stuck.cancel()
            slot.leave()

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def _take_idle(self, since: float) -> PeerConnection | None:
        """The connection used most recently; None if none was used after `since`. Closes older ones."""
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable and connection.idle_since > since:
                return connection
            connection.close()
        return None

    async def _open(self) -> PeerConnection:
        return await PeerConnection.open(await self._resolve(), CONNECT_TIMEOUT_SECONDS)

    async def _resolve(self) -> Address:
        """The address of the Service. Concurrent calls share one DNS query."""
        loop = asyncio.get_running_loop()
        async with self._resolving:
            if self._address is None or self._address_expires_at < loop.time():
                where = urlsplit(f"//{self.host}")
                [first, *_] = await loop.getaddrinfo(where.hostname, where.port or HTTP_PORT, type=socket.SOCK_STREAM)
                self._address = Address(*first[4][:2])
                self._address_expires_at = loop.time() + ADDRESS_TTL_SECONDS
            return self._address


class _Slot:
    """A place that is left once."""

    def __init__(self, slots: asyncio.Semaphore) -> None:
        self._slots: asyncio.Semaphore | None = slots

    def leave(self) -> None:
        if self._slots is not None:
            self._slots.release()
            self._slots = None


class _StatusColour(msgspec.Struct):
    colour: str


def _serialise(host: str, secret: bytes, request: PeerRequest) -> bytes:
    """The bytes of the request. Client headers were parsed by httptools, so they contain no line breaks."""
    lines = [b"%b %b HTTP/1.1" % (request.method, request.target), b"host: %b" % host.encode()]
    lines += [b"%b: %b" % header for header in (*request.headers, (peer.SECRET, secret))]
    if request.body:
        lines.append(b"content-length: %d" % len(request.body))
    return b"\r\n".join([*lines, b"", request.body])
