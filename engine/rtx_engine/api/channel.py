"""The way to the pods of the other colour: HTTP to the Service that selects that colour alone."""

from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
import msgspec
from yarl import URL

from rtx_engine.api import peer
from rtx_engine.api.http import Answer
from rtx_engine.config import COLOUR_FIELD

# To a colour. What does not fit waits for one of them, within its own deadline: less than to open one more at a switch.
CONNECTIONS = 32
CONNECT_DEADLINE = 1.0  # seconds: inside a cluster a connection takes less than a millisecond or does not come
KEEP_ALIVE = 30.0  # seconds that an idle connection is kept
REACH_DEADLINE = 2.0  # seconds
ADDRESS_LIFETIME = 5  # seconds that a Service's address is remembered

# Of the connection and not of the answer, or made anew by whoever sends the answer on.
_NOT_HANDED_ON = frozenset(
    {b"connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"date", b"server"}
    | {b"content-length", b"content-type"}
)
_UNSAID = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")  # aiohttp would add them


class NotReachedError(Exception):
    """The request did not get there: nothing was done. The message says why."""


class NoAnswerError(Exception):
    """The request may have got there, and what became of it is unknown. The message says why."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request to the other colour. `target` is path and query as they stand in the request line.

    `fresh`: over a connection of its own, since one that was kept may break before the request is read.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""
    fresh: bool = False


class Channel:
    """Speaks to either colour's Service. `start()` within the loop, `stop()` before it ends."""

    def __init__(self, service: str, secret: str) -> None:
        """`service` is a host, with or without a port, that holds COLOUR_FIELD."""
        self._service = service
        self._secret = secret
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        self._session = self._open(keep_alive=True)

    async def stop(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def ask(self, colour: str, request: Outgoing, deadline: float) -> Answer:
        """The answer of `colour`, within `deadline` seconds. Raises NotReachedError and NoAnswerError."""
        if self._session is None:
            raise NotReachedError("the channel has not been started")
        if request.fresh:
            async with self._open(keep_alive=False) as session:
                return await self._ask(session, colour, request, deadline)
        return await self._ask(self._session, colour, request, deadline)

    async def reach(self, colour: str) -> str:
        """Try, over a new connection, whether `colour` is there. Returns what is in the way, or an empty string."""
        try:
            answer = await self.ask(colour, Outgoing("GET", "/internal/status", {}, fresh=True), REACH_DEADLINE)
            found = msgspec.json.decode(answer.body, type=_Colour).colour if answer.status == 200 else None
        except (NotReachedError, NoAnswerError, msgspec.DecodeError) as error:
            return f"{self._host(colour)} does not answer: {error}"
        if found is None:
            stranger = f"{self._host(colour)} answers {answer.status}, as to a stranger"
            return f"{stranger}: give both colours the same PEER_SECRET"
        if found != colour:
            return f"{self._host(colour)} is answered by {found}: the Service selects the wrong pods"
        return ""

    async def _ask(self, session: aiohttp.ClientSession, colour: str, request: Outgoing, deadline: float) -> Answer:
        url = URL(f"http://{self._host(colour)}{request.target}", encoded=True)
        headers = {**request.headers, peer.SECRET.decode(): self._secret}
        timeout = aiohttp.ClientTimeout(total=deadline, sock_connect=min(deadline, CONNECT_DEADLINE))
        try:
            async with session.request(
                request.method,
                url,
                headers=headers,
                data=request.body or None,
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                body = await response.read()
                kept = [(name.lower(), value) for name, value in response.raw_headers]
                handed_on = tuple(pair for pair in kept if pair[0] not in _NOT_HANDED_ON)
                return Answer(response.status, body, handed_on, response.headers.get("content-type", "").encode())
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NotReachedError(str(error) or type(error).__name__) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise NoAnswerError(str(error) or type(error).__name__) from error

    def _host(self, colour: str) -> str:
        return self._service.replace(COLOUR_FIELD, colour)

    def _open(self, *, keep_alive: bool) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=0,
            limit_per_host=CONNECTIONS,
            ttl_dns_cache=ADDRESS_LIFETIME,
            **({"keepalive_timeout": KEEP_ALIVE} if keep_alive else {"force_close": True}),
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=_UNSAID,
            trust_env=False,
        )


class _Colour(msgspec.Struct):
    colour: str
