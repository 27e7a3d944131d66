"""The way to the other colour: each request is sent once, and whoever asks knows whether it may have arrived."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from rtx_engine.api import channel as channels
from rtx_engine.api.channel import Channel, NoAnswerError, NotReachedError, Outgoing

PATIENCE = 5.0  # seconds for what only has to happen
ASKED = Outgoing(b"GET", b"/api/symbols")
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

    def channel(self) -> Channel:
        return Channel(self.address.replace("127.0.0.1", "127.0.0.{colour}"), "secret")


@contextlib.asynccontextmanager
async def peer(answer: Callable[[asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[tuple[Peer, Channel]]:
    """A server for the colour "1", and a channel to it."""
    found = Peer(answer)
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    channel = found.channel()
    try:
        yield found, channel
    finally:
        channel.stop()
        server.close()
        for writer in found.connections:
            writer.transport.abort()
        await asyncio.sleep(0)


def saying(*answers: bytes) -> Callable[[asyncio.StreamWriter], Awaitable[None]]:
    """Each answer in its turn, the last for ever."""
    left = list(answers)

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(left.pop(0) if len(left) > 1 else left[0])

    return answer


async def test_a_connection_is_kept_for_the_next_request() -> None:
    async with peer(saying(OK)) as (server, channel):
        answers = [await channel.ask("1", ASKED, PATIENCE) for _ in range(5)]
    assert [(answer.status, answer.body, answer.content_type, answer.headers) for answer in answers] == [
        (200, b"ok", b"text/plain", ((b"x-rtx-version", b"9"),))
    ] * 5
    assert (len(server.requests), len(server.connections)) == (5, 1)
    assert server.requests[0] == b"GET /api/symbols HTTP/1.1\r\nhost: %b\r\nx-rtx-peer: secret\r\n\r\n" % (
        server.address.encode()
    )


async def test_a_fresh_request_has_a_connection_of_its_own() -> None:
    fresh = Outgoing(b"GET", b"/", fresh=True)
    async with peer(saying(OK)) as (server, channel):
        for request in (ASKED, fresh, fresh, ASKED):
            await channel.ask("1", request, PATIENCE)
    assert len(server.connections) == 3


async def test_a_connection_that_is_to_be_closed_is_not_used_again() -> None:
    async with peer(saying(LAST, OK)) as (server, channel):
        answers = [await channel.ask("1", ASKED, PATIENCE) for _ in range(3)]
    assert [answer.body for answer in answers] == [b"ok"] * 3
    assert len(server.connections) == 2


async def test_a_connection_that_was_closed_while_it_was_idle_is_replaced() -> None:
    async with peer(saying(OK)) as (server, channel):
        await channel.ask("1", ASKED, PATIENCE)
        server.connections[0].transport.abort()
        await asyncio.sleep(0.05)
        assert (await channel.ask("1", ASKED, PATIENCE)).status == 200
    assert len(server.connections) == 2


async def test_a_connection_that_was_idle_for_long_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "KEEP_ALIVE", 0.0)
    async with peer(saying(OK)) as (server, channel):
        await channel.ask("1", ASKED, PATIENCE)
        await asyncio.sleep(0.01)
        await channel.ask("1", ASKED, PATIENCE)
    assert len(server.connections) == 2


async def test_more_requests_than_connections_wait_for_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "LINES", 3)
    async with peer(saying(OK)) as (server, channel):
        answers = await asyncio.gather(*(channel.ask("1", ASKED, PATIENCE) for _ in range(20)))
    assert [answer.status for answer in answers] == [200] * 20
    assert len(server.connections) == 3


async def test_an_answer_that_comes_too_late_is_not_the_next_ones() -> None:
    # given a server that answers the first request only after its deadline
    first = asyncio.Event()

    async def answer(writer: asyncio.StreamWriter) -> None:
        if not first.is_set():
            first.set()
            await asyncio.sleep(0.1)
            writer.write(OK.replace(b"ok", b"no"))
        else:
            writer.write(OK)

    async with peer(answer) as (server, channel):
        # when the first gives up, then nobody knows what became of it
        with pytest.raises(NoAnswerError):
            await channel.ask("1", ASKED, 0.05)
        # and the next one gets its own answer
        await asyncio.sleep(0.1)
        assert (await channel.ask("1", ASKED, PATIENCE)).body == b"ok"
    assert len(server.connections) == 2


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok", b"no HTTP\r\n\r\n"])
async def test_an_answer_that_breaks_off_leaves_the_outcome_unknown(said: bytes) -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        writer.close()

    async with peer(answer) as (_, channel):
        with pytest.raises(NoAnswerError):
            await channel.ask("1", ASKED, PATIENCE)


async def test_a_colour_of_which_nobody_listens_was_not_reached() -> None:
    async with peer(saying(OK)) as (server, _):
        nobody = server.channel()
    with pytest.raises(NotReachedError):
        await nobody.ask("1", ASKED, PATIENCE)
    assert "does not answer" in await nobody.reach("1")


async def test_a_colour_that_has_no_name_was_not_reached() -> None:
    with pytest.raises(NotReachedError):
        await Channel("no-such-host-{colour}.invalid", "secret").ask("1", ASKED, PATIENCE)
