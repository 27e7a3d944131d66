"""How TCP connections to the database are opened: none waits long for a node, or for a name, that does not answer.

A node that is lost sends nothing, not even a refusal. Its kernel would have accepted a connection at once, however busy
its programs are. So that is waited for less long than the login, which a busy server may take seconds for: the next
attempt reaches the server that has taken over. And the name service may be lost with the node, while the address that
it told before, of a Service, is as good as ever.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

ACCEPT_TIMEOUT_SECONDS = 1.0  # as long as the kernel waits before it sends a lost SYN again
NAME_TIMEOUT_SECONDS = 0.5  # if an address is known
# A connection on which nothing comes back is lost after some 5 s: also one that idles, before an order needs it.
KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 2),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 5000),  # in ms; of what was sent and is not acknowledged
)

Resolve = Callable[[str], Awaitable[Sequence[str]]]


class Addresses:
    """The addresses of names. The last ones that were found are kept for when nobody answers."""

    def __init__(self, resolve: Resolve | None = None) -> None:
        """`resolve`: asks the name service; raises OSError."""
        self._resolve = resolve or _ask
        self._known: dict[str, Sequence[str]] = {}
        self._asking: dict[str, asyncio.Task[Sequence[str]]] = {}  # one at a time: each may hold a thread for long

    async def find(self, name: str) -> Sequence[str]:
        """At least one address. Raises OSError if none is known and the name service does not tell."""
        asking = self._asking.get(name)
        if asking is None or asking.done():
            asking = self._asking[name] = asyncio.create_task(self._find(name), name="name of the database")
            asking.add_done_callback(_retrieve)
        known = self._known.get(name)
        if known is None:
            return await asyncio.shield(asking)
        with suppress(OSError):  # also TimeoutError
            async with asyncio.timeout(NAME_TIMEOUT_SECONDS):
                return await asyncio.shield(asking)
        return known

    async def _find(self, name: str) -> Sequence[str]:
        self._known[name] = found = await self._resolve(name)
        return found


class Dialer:
    """The event loop that runs, for asyncpg: but for how it opens TCP connections."""

    def __init__(self, addresses: Addresses) -> None:
        self._loop = asyncio.get_running_loop()
        self._addresses = addresses

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    async def create_connection(
        self, factory: Callable[[], asyncio.Protocol], host: str | None = None, port: int | None = None, **options: Any
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        """As the event loop's. Raises OSError or TimeoutError if no address of `host` accepts in time."""
        if host is None or port is None:  # a socket that is connected
            return await self._loop.create_connection(factory, **options)
        error: OSError | None = None
        for address in await self._addresses.find(host):
            try:
                async with asyncio.timeout(ACCEPT_TIMEOUT_SECONDS):
                    transport, protocol = await self._loop.create_connection(factory, address, port, **options)
            except OSError as failure:
                error = failure
                continue
            _keep_alive(transport)
            return transport, protocol
        raise error or OSError(f"{host} has no address")


def _keep_alive(transport: asyncio.BaseTransport) -> None:
    connected = transport.get_extra_info("socket")
    if connected is not None and connected.family in (socket.AF_INET, socket.AF_INET6):
        for level, option, value in KEEPALIVE:
            connected.setsockopt(level, option, value)


def _retrieve(asking: "asyncio.Task[Sequence[str]]") -> None:
    """Who asked may have gone: then nobody else takes note of the error."""
    if not asking.cancelled():
        asking.exception()


async def _ask(name: str) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
