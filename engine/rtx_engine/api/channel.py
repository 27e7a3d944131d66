"""The way to the pods of the other colour: HTTP to the Service that selects that colour alone."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec

from rtx_engine.api import peer
from rtx_engine.api.http import Answer
from rtx_engine.api.peer_connection import Address, ConnectionBrokenError, PeerConnection
from rtx_engine.config import COLOUR_FIELD

# To a colour. What does not fit waits for one of them, within its own deadline: less than to open one more at a switch.
LINES = 32
CONNECT_DEADLINE = 1.0  # seconds: inside a cluster a connection takes less than a millisecond or does not come
KEEP_ALIVE = 30.0  # seconds that an idle connection is kept
REACH_DEADLINE = 2.0  # seconds
ADDRESS_LIFETIME = 5.0  # seconds that a Service's address is remembered
HTTP_PORT = 80


class NotReachedError(Exception):
    """The request did not get there: nothing was done. The message says why."""


class NoAnswerError(Exception):
    """The request may have got there, and what became of it is unknown. The message says why."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request to the other colour. `target` is path and query as they stand in the request line.

    `fresh`: over a connection of its own, since one that was kept may break before the request is read.
    """

    method: bytes
    target: bytes
    headers: Iterable[tuple[bytes, bytes]] = ()
    body: bytes = b""
    fresh: bool = False


class Channel:
    """Speaks to either colour's Service."""

    def __init__(self, service: str, secret: str) -> None:
        """`service` is a host, with or without a port, that holds COLOUR_FIELD."""
        self._service = service
        self._secret = secret.encode()
        self._ways: dict[str, _Way] = {}

    def stop(self) -> None:
        """Close what is kept open."""
        for way in self._ways.values():
            way.close()

    async def ask(self, colour: str, request: Outgoing, deadline: float) -> Answer:
        """The answer of `colour`, within `deadline` seconds. Raises NotReachedError and NoAnswerError."""
        way = self._way(colour)
        message = _message(way.host, self._secret, request)
        sent = False
        try:
            async with asyncio.timeout(deadline), way.line(fresh=request.fresh) as line:
                sent = True
                return await line.send(message)
        except (ConnectionBrokenError, OSError, TimeoutError) as error:
            why = str(error) or "not within its time"
            raise (NoAnswerError(why) if sent else NotReachedError(why)) from error

    async def reach(self, colour: str) -> str:
        """Try, over a new connection, whether `colour` is there. Returns what is in the way, or an empty string."""
        host = self._way(colour).host
        try:
            answer = await self.ask(colour, Outgoing(b"GET", b"/internal/status", fresh=True), REACH_DEADLINE)
            found = msgspec.json.decode(answer.body, type=_Colour).colour if answer.status == 200 else None
        except (NotReachedError, NoAnswerError, msgspec.DecodeError) as error:
            return f"{host} does not answer: {error}"
        if found is None:
            return f"{host} answers {answer.status}, as to a stranger: give both colours the same PEER_SECRET"
        if found != colour:
            return f"{host} is answered by {found}: the Service selects the wrong pods"
        return ""

    def _way(self, colour: str) -> "_Way":
        if colour not in self._ways:
            self._ways[colour] = _Way(self._host(colour))
        return self._ways[colour]

    def _host(self, colour: str) -> str:
        return self._service.replace(COLOUR_FIELD, colour)


class _Way:
    """The connections to one Service: at most LINES, those that are idle kept for the next request."""

    def __init__(self, host: str) -> None:
        self.host = host
        self._turn = asyncio.Semaphore(LINES)
        self._idle: list[PeerConnection] = []
        self._resolving = asyncio.Lock()
        self._address: Address | None = None
        self._address_until = 0.0

    @asynccontextmanager
    async def line(self, *, fresh: bool) -> AsyncIterator[PeerConnection]:
        """A connection: a fresh one at once, else one when there is a turn. Raises OSError or TimeoutError."""
        if fresh:
            line = await self._open()
            try:
                yield line
            finally:
                line.close()
            return
        clock = asyncio.get_running_loop().time
        async with self._turn:
            line = self._kept(since=clock() - KEEP_ALIVE) or await self._open()
            try:
                yield line
            finally:
                if line.reusable:
                    line.idle_since = clock()
                    self._idle.append(line)
                else:
                    line.close()

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def _kept(self, since: float) -> PeerConnection | None:
        """The one that was used last; None when none is idle or all have been for too long."""
        while self._idle:
            line = self._idle.pop()
            if line.reusable and line.idle_since > since:
                return line
            line.close()
        return None

    async def _open(self) -> PeerConnection:
        return await PeerConnection.open(await self._resolve(), CONNECT_DEADLINE)

    async def _resolve(self) -> Address:
        """Where the Service is; many who ask at once ask once."""
        loop = asyncio.get_running_loop()
        async with self._resolving:
            if self._address is None or self._address_until < loop.time():
                where = urlsplit(f"//{self.host}")
                [first, *_] = await loop.getaddrinfo(where.hostname, where.port or HTTP_PORT, type=socket.SOCK_STREAM)
                self._address = Address(*first[4][:2])
                self._address_until = loop.time() + ADDRESS_LIFETIME
            return self._address


class _Colour(msgspec.Struct):
    colour: str


def _message(host: str, secret: bytes, request: Outgoing) -> bytes:
    """The bytes of a request. What a client sent has been through a parser, which lets no line break into a header."""
    lines = [b"%b %b HTTP/1.1" % (request.method, request.target), b"host: %b" % host.encode()]
    lines += [b"%b: %b" % header for header in (*request.headers, (peer.SECRET, secret))]
    if request.body:
        lines.append(b"content-length: %d" % len(request.body))
    return b"\r\n".join([*lines, b"", request.body])
