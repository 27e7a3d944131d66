"""The peer client: each request is sent once, and the error tells whether it may have taken effect."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from rtx_engine.api import peer_client
from rtx_engine.api.peer_client import NoResponseError, PeerClient, PeerRequest, UnreachableError

TIMEOUT_SECONDS = 20.0
REQUEST = PeerRequest(b"GET", b"/api/symbols")
OK = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nx-rtx-version: 9\r\ncontent-length: 2\r\n\r\nok"
LAST = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"


@dataclass
class Peer:
    """A server that answers each request by `answer`, and counts."""

    answer: Callable[[asyncio.StreamWriter], Awaitable[None]]
    connections: list[asyncio.StreamWriter] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)
    address: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                self.requests.append(await reader.readuntil(b"\r\n\r\n"))
                await self.answer(writer)
        writer.close()

    def client(self) -> PeerClient:
        return PeerClient(self.address.replace("127.0.0.1", "127.0.0.{colour}"), "secret")


@contextlib.asynccontextmanager
async def peer(answer: Callable[[asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[tuple[Peer, PeerClient]]:
    """A server for the colour "1", and a client to it."""
    found = Peer(answer)
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    client = found.client()
    try:
        yield found, client
    finally:
        client.stop()
        server.close()
        for writer in found.connections:
            writer.transport.abort()
        await asyncio.sleep(0)


def responses(*answers: bytes) -> Callable[[asyncio.StreamWriter], Awaitable[None]]:
    """Each answer in its turn, the last for ever."""
    left = list(answers)

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(left.pop(0) if len(left) > 1 else left[0])

    return answer


async def test_connection_is_reused_for_the_next_request() -> None:
    async with peer(responses(OK)) as (server, client):
        answers = [await client.send("1", REQUEST, TIMEOUT_SECONDS) for _ in range(5)]
    assert [(answer.status, answer.body, answer.content_type, answer.headers) for answer in answers] == [
        (200, b"ok", b"text/plain", ((b"x-rtx-version", b"9"),))
    ] * 5
    assert (len(server.requests), len(server.connections)) == (5, 1)
    assert server.requests[0] == b"GET /api/symbols HTTP/1.1\r\nhost: %b\r\nx-rtx-peer: secret\r\n\r\n" % (
        server.address.encode()
    )


async def test_request_with_new_connection_does_not_share_one() -> None:
    fresh = PeerRequest(b"GET", b"/", new_connection=True)
    async with peer(responses(OK)) as (server, client):
        for request in (REQUEST, fresh, fresh, REQUEST):
            await client.send("1", request, TIMEOUT_SECONDS)
    assert len(server.connections) == 3


async def test_connection_with_close_header_is_not_reused() -> None:
    async with peer(responses(LAST, OK)) as (server, client):
        answers = [await client.send("1", REQUEST, TIMEOUT_SECONDS) for _ in range(3)]
    assert [answer.body for answer in answers] == [b"ok"] * 3
    assert len(server.connections) == 2


async def test_connection_closed_while_idle_is_replaced() -> None:
    async with peer(responses(OK)) as (server, client):
        await client.send("1", REQUEST, TIMEOUT_SECONDS)
        server.connections[0].transport.abort()
        await asyncio.sleep(0.05)
        assert (await client.send("1", REQUEST, TIMEOUT_SECONDS)).status == 200
    assert len(server.connections) == 2


async def test_connection_idle_beyond_keep_alive_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_client, "KEEP_ALIVE_SECONDS", 0.0)
    async with peer(responses(OK)) as (server, client):
        await client.send("1", REQUEST, TIMEOUT_SECONDS)
        await asyncio.sleep(0.01)
        await client.send("1", REQUEST, TIMEOUT_SECONDS)
    assert len(server.connections) == 2


async def test_requests_beyond_the_connection_limit_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_client, "MAX_CONNECTIONS", 3)
    monkeypatch.setattr(peer_client, "STUCK_SECONDS", TIMEOUT_SECONDS)
    async with peer(responses(OK)) as (server, client):
        answers = await asyncio.gather(*(client.send("1", REQUEST, TIMEOUT_SECONDS) for _ in range(20)))
    assert [answer.status for answer in answers] == [200] * 20
    assert len(server.connections) == 3


async def test_requests_that_are_stuck_leave_their_places_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_client, "MAX_CONNECTIONS", 2)
    released = asyncio.Event()

    async def answer(writer: asyncio.StreamWriter) -> None:
        if len(server.connections) <= 2:
            await released.wait()
        writer.write(OK)

    async with peer(answer) as (server, client):
        # given as many requests as there are places, to pods that have stopped
        stuck = [asyncio.create_task(client.send("1", REQUEST, TIMEOUT_SECONDS)) for _ in range(2)]
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while len(server.requests) < 2:  # noqa: ASYNC110  # nothing tells of it
                await asyncio.sleep(0.01)
        # then another one is answered, over a connection of its own
        assert (await client.send("1", REQUEST, TIMEOUT_SECONDS)).status == 200
        assert [one.done() for one in stuck] == [False, False]
        # and the places are as many as before once all are answered
        monkeypatch.setattr(peer_client, "STUCK_SECONDS", TIMEOUT_SECONDS)
        released.set()
        await asyncio.gather(*stuck)
        await asyncio.gather(*(client.send("1", REQUEST, TIMEOUT_SECONDS) for _ in range(8)))
        assert len(server.connections) == 3


async def test_late_response_is_not_returned_to_the_next_request() -> None:
    # given a kept connection, whose server answers the next request only when its client has given up
    gave_up = asyncio.Event()

    async def answer(writer: asyncio.StreamWriter) -> None:
        if len(server.requests) == 2:
            await gave_up.wait()
            writer.write(OK.replace(b"ok", b"no"))
        else:
            writer.write(OK)

    async with peer(answer) as (server, client):
        await client.send("1", REQUEST, TIMEOUT_SECONDS)
        # when the second gives up, then nobody knows what became of it
        with pytest.raises(NoResponseError):
            await client.send("1", REQUEST, 0.05)
        gave_up.set()
        # and the next one gets its own answer
        assert (await client.send("1", REQUEST, TIMEOUT_SECONDS)).body == b"ok"
    assert len(server.connections) == 2


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok", b"no HTTP\r\n\r\n"])
async def test_incomplete_response_raises_no_response_error(sent: bytes) -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        writer.close()

    async with peer(answer) as (_, client):
        with pytest.raises(NoResponseError):
            await client.send("1", REQUEST, TIMEOUT_SECONDS)


async def test_refused_connection_raises_unreachable_error() -> None:
    async with peer(responses(OK)) as (server, _):
        nobody = server.client()
    with pytest.raises(UnreachableError):
        await nobody.send("1", REQUEST, TIMEOUT_SECONDS)
    assert "does not answer" in await nobody.reach("1")


async def test_unresolvable_service_raises_unreachable_error() -> None:
    with pytest.raises(UnreachableError):
        await PeerClient("no-such-host-{colour}.invalid", "secret").send("1", REQUEST, TIMEOUT_SECONDS)
