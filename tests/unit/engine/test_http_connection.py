"""What anybody may send before it is known who they are. Run this file before uvicorn or httptools is upgraded."""

import asyncio
import functools
import socket
import threading
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

import msgspec
import pytest
import uvicorn
import uvloop
from recorded_transports import Responding
from rtx_engine.api.http import CONNECTION, Response, Scope
from rtx_engine.api.http_connection import HttpConnection, check_times
from rtx_engine.api.limits import PRODUCTION, Admission, Limits
from rtx_engine.api.request_parser import RequestParser

TIMEOUT_SECONDS = 10
GET = b"GET /get HTTP/1.1\r\nhost: x\r\n\r\n"
HELD = GET.replace(b"/get", b"/held")
CLOSING = GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
SHOWN = GET.replace(b"/get", b"/shown")
CHUNKED = b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"
H2C = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"


def echo(released: threading.Event) -> Responding:
    """Answers with method, path, body, and the headers x-echo if there are any; /held once it is released.

    At /shown a client shows that it has the account 7. At /large the answer has 8 MB.
    """

    async def respond(scope: Scope, body: bytes | None) -> Response:
        if scope["path"] == "/held":
            await asyncio.to_thread(released.wait)
        if scope["path"] == "/shown" and CONNECTION in scope:
            scope[CONNECTION].shown(7)
        if scope["path"] == "/large":
            return Response(200, b"x" * (1 << 23))
        echoed = [value for name, value in scope["headers"] if name == b"x-echo"]
        given = b"(too large)" if body is None else body
        return Response(200, b" ".join([scope["method"].encode(), scope["path"].encode(), given, *echoed]))

    return Responding(respond)


@dataclass
class Server:
    port: int
    released: threading.Event

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 22)
        try:
            yield reader, writer
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def answers(self, *parts: bytes) -> bytes:
        """All that is answered to `parts`, until the server closes the connection."""
        async with self.connected() as (reader, writer):
            for part in parts:
                writer.write(part)
                await writer.drain()
            return await whole(reader)


async def whole(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        return await reader.read()


async def one(reader: asyncio.StreamReader) -> bytes:
    """The body of the next answer on a connection that stays open."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split()[0])
        return await reader.readexactly(length)


async def sent_for_ever(writer: asyncio.StreamWriter) -> None:
    """Sends a byte again and again. Raises ConnectionError once the server has ended the connection."""
    while True:
        await writer.drain()
        writer.write(b"x")
        await asyncio.sleep(0.01)


def refused(answer: bytes) -> tuple[int, str]:
    """The status and the reason of the last answer, which closes the connection."""
    head, _, body = answer[answer.rindex(b"HTTP/1.1 ") :].partition(b"\r\n\r\n")
    assert b"connection: close" in head
    return int(head[9:12]), msgspec.json.decode(body)["error"]["reason"]


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """`serve(connections=3, …)`: a server with these limits, on uvloop as in production, in a thread of its own."""
    stops = []

    def start(**changes: float) -> Server:
        limits: Limits = replace(PRODUCTION, **changes)  # type: ignore[arg-type]
        listening = socket.create_server(("127.0.0.1", 0))
        server = Server(listening.getsockname()[1], threading.Event())

        connection = functools.partial(
            HttpConnection, application=echo(server.released), limits=limits, admission=Admission(limits)
        )
        config = uvicorn.Config(
            connection, interface="asgi3", http=connection, ws="none", lifespan="off", log_config=None, loop="uvloop"
        )
        running = uvicorn.Server(config)

        async def run() -> None:
            checking = asyncio.create_task(check_times(running.server_state, 0.02))
            await running.serve(sockets=[listening])
            checking.cancel()

        thread = threading.Thread(target=lambda: asyncio.Runner(loop_factory=uvloop.new_event_loop).run(run()))
        thread.start()
        stops.append((running, server, thread))
        return server

    yield start
    for running, server, thread in stops:
        server.released.set()
        running.should_exit = True
        thread.join(TIMEOUT_SECONDS)
        assert not thread.is_alive()


@pytest.mark.parametrize(
    ("request_", "status", "reason"),
    [
        (b"GET /" + b"x" * 200 + b" HTTP/1.1\r\n\r\n", 414, "UrlTooLong"),
        (b"GET / HTTP/1.1\r\na: " + b"x" * 400 + b"\r\n\r\n", 431, "HeadersTooLarge"),
        (b"GET / HTTP/1.1\r\n" + b"x" * 400 + b": a\r\n\r\n", 431, "HeadersTooLarge"),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 21 + b"\r\n", 431, "HeadersTooLarge"),
        (b"POST / HTTP/1.1\r\ncontent-length: 5000\r\n\r\n", 413, "PayloadTooLarge"),
        (CHUNKED + b"0\r\n" + b"a: b\r\n" * 21 + b"\r\n", 431, "HeadersTooLarge"),
        (b"STEAL / HTTP/1.1\r\n\r\n", 400, "BadRequest"),
        (b"CONNECT x:443 HTTP/1.1\r\nhost: x\r\n\r\n", 400, "BadRequest"),
    ],
)
async def test_request_beyond_a_limit_is_refused_with_its_reason(serve, request_, status, reason):
    server = serve(url_bytes=100, header_bytes=300, headers=20, discarded_bytes=4000)
    assert refused(await server.answers(request_)) == (status, reason)


@pytest.mark.parametrize(
    ("beginning", "more", "status"),
    [
        (b"GET / HTTP/1.1\r\na: ", b"x" * 100, 431),
        (b"GET / HTTP/1.1\r\n", b"x" * 100, 431),
        (CHUNKED, b"64\r\n" + b"x" * 100 + b"\r\n", 413),
        (CHUNKED + b"64;", b"x" * 100, 413),
        (CHUNKED + b"0\r\na: ", b"x" * 100, 431),
        (CHUNKED + b"0\r\n", b"a:\r\n", 431),
    ],
)
async def test_request_that_never_ends_is_refused_when_it_has_become_too_large(serve, beginning, more, status):
    # given a client that goes on sending what never completes a header, a body or a chunk's length
    server = serve(url_bytes=300, header_bytes=700, discarded_bytes=4000, linger_seconds=TIMEOUT_SECONDS)
    async with server.connected() as (reader, writer):
        writer.write(beginning)
        answering = asyncio.create_task(whole(reader))
        with suppress(ConnectionError):
            while not answering.done():
                writer.write(more)
                await writer.drain()
                await asyncio.sleep(0.001)
                if writer.transport.is_closing():
                    break
        # then it is told why, and the connection ends
        assert refused(await answering)[0] == status


async def test_head_that_never_ends_is_refused_with_its_first_header_too_many(serve):
    # given headers of few bytes, which take 25 times as many in memory
    server = serve()
    async with server.connected() as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 102)
        # then they are not kept until the head has become too large
        assert refused(await whole(reader)) == (431, "HeadersTooLarge")


@pytest.mark.parametrize("piece", [b"1\r\nx\r\n", b"2\r\nxx\r\n", b"3\r\nxxx\r\n"])
def test_body_in_small_chunks_takes_no_more_memory_than_another(piece):
    parsers = []
    tracemalloc.start()
    try:
        # given clients that each send the largest body, and not its end
        for _ in range(10):
            parser = RequestParser(PRODUCTION, None, lambda *_: None, takes_websockets=False)
            parser.feed(CHUNKED)
            for _ in range(8):
                parser.feed(piece * (PRODUCTION.body_bytes // int(piece[:1]) // 8))
            assert parser.is_amid
            parsers.append(parser)
        held = tracemalloc.get_traced_memory()[0] / len(parsers)
    finally:
        tracemalloc.stop()
    # then what is kept of each is little more than its bytes
    assert held < 2 * PRODUCTION.body_bytes


async def test_trailer_is_no_header_of_its_request(serve):
    server = serve()
    async with server.connected() as (reader, writer):
        # when headers follow the body, in one part with it or in another
        writer.write(CHUNKED + b"5\r\nhello\r\n0\r\nx-echo: trailer\r\n\r\n")
        assert await one(reader) == b"POST / hello"
        writer.write(CHUNKED.replace(b"\r\n", b"\r\nx-echo: header\r\n", 1) + b"5\r\nhello\r\n")
        await asyncio.sleep(0.01)
        writer.write(b"0\r\nx-echo: trailer\r\n\r\n")
        # then only those before it count, and the connection goes on
        assert await one(reader) == b"POST / hello header"
        writer.write(GET)
        assert await one(reader) == b"GET /get "


async def test_trailer_that_asks_to_close_ends_the_connection_after_its_request(serve):
    # given a client that asks behind the body, after which llhttp parses nothing more
    server = serve()
    request = CHUNKED + b"5\r\nhello\r\n0\r\nconnection: close\r\n\r\n"
    # then it is told that what follows is not handled: it would wait for an answer that never comes
    answer = await server.answers(request + GET)
    assert answer.endswith(b"\r\n\r\nPOST / hello")
    assert b"connection: close" in answer


async def test_body_that_is_too_large_for_the_application_leaves_the_connection_open(serve):
    server = serve(body_bytes=100_000, discarded_bytes=200_000)
    async with server.connected() as (reader, writer):
        for length, answer in ((150_000, b"(too large)"), (100_001, b"(too large)"), (100_000, b"x" * 100_000)):
            writer.write(b"POST /large-body HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % length + b"x" * length)
            assert await one(reader) == b"POST /large-body " + answer
        writer.write(GET)
        assert await one(reader) == b"GET /get "


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ([b"GET / HTTP"], 408),
        ([b"GET / HTTP/1.1\r\nhost: x\r\n"], 408),
        ([b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\n", b"x"], 408),
        ([GET, b"GET"], 408),
    ],
)
async def test_request_that_takes_too_long_is_refused(serve, parts, status):
    server = serve(request_seconds=0.2)
    assert refused(await server.answers(*parts))[0] == status


async def test_connection_that_sends_nothing_is_closed(serve):
    server = serve(first_byte_seconds=0.1)
    async with server.connected() as (reader, _):
        with suppress(ConnectionResetError):
            assert await whole(reader) == b""


async def test_connection_is_kept_while_idle(serve):
    # given a connection that was used, on a server that waits for nothing
    server = serve(first_byte_seconds=0.05, request_seconds=0.05)
    async with server.connected() as (reader, writer):
        writer.write(GET)
        await one(reader)
        # when other requests pass, one of which is closed for its slowness
        await server.answers(b"GET /slow")
        # then it can still be used
        writer.write(GET)
        assert await one(reader) == b"GET /get "


async def test_answer_that_nobody_reads_ends_the_connection(serve):
    server = serve(unread_seconds=0.1)
    async with server.connected() as (reader, writer):
        # when a client reads nothing of an answer of 8 MB
        reader._transport.pause_reading()
        writer.write(GET.replace(b"/get", b"/large"))
        # then the connection ends, as the client finds out that goes on sending
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(sent_for_ever(writer), TIMEOUT_SECONDS)


@pytest.mark.parametrize("rest", [b"", GET])
async def test_offer_to_upgrade_to_http2_is_ignored_and_the_body_kept(serve, rest):
    server = serve()
    head = b"POST /order HTTP/1.1\r\nhost: x\r\n" + H2C + b"content-length: 5\r\n\r\n"
    async with server.connected() as (reader, writer):
        # when a request offers HTTP/2, in one part or with its body in another
        writer.write(head + b"hello" + rest)
        assert await one(reader) == b"POST /order hello"
        if rest:
            assert await one(reader) == b"GET /get "
        writer.write(head)
        await asyncio.sleep(0.01)
        writer.write(b"hello")
        # then its body arrives, and the connection goes on
        assert await one(reader) == b"POST /order hello"
        writer.write(GET)
        assert await one(reader) == b"GET /get "


async def test_offer_without_a_body_or_with_chunks_is_ignored(serve):
    server = serve()
    async with server.connected() as (reader, writer):
        writer.write(b"GET /get HTTP/1.1\r\nhost: x\r\n" + H2C + b"\r\n")
        assert await one(reader) == b"GET /get "
        head = b"POST /order HTTP/1.1\r\nhost: x\r\n" + H2C + b"transfer-encoding: chunked\r\n\r\n"
        writer.write(head + b"5\r\nhello\r\n0\r\n\r\n")
        assert await one(reader) == b"POST /order hello"


async def test_offer_keeps_the_wish_to_close(serve):
    server = serve()
    head = b"GET /get HTTP/1.1\r\nhost: x\r\n" + H2C.replace(b"Upgrade,", b"close, Upgrade,") + b"\r\n"
    assert (await server.answers(head)).endswith(b"GET /get ")


async def test_refusal_is_never_the_answer_to_an_earlier_request(serve):
    # given a request that is being handled
    server = serve()
    async with server.connected() as (reader, writer):
        writer.write(b"GET /held HTTP/1.1\r\nhost: x\r\n\r\n")
        # when what follows it on the connection is no request
        writer.write(b"\x00\x00\x00")
        await asyncio.sleep(0.1)
        server.released.set()
        # then the answer is that of the first, and the connection ends
        answer = await whole(reader)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"HTTP/1.1") == 1


async def test_pipelined_requests_are_answered_up_to_their_limit(serve):
    server = serve(pipelined=3)
    server.released.set()
    answer = await server.answers(b"GET /held HTTP/1.1\r\nhost: x\r\n\r\n" + GET * 100)
    assert answer.count(b"HTTP/1.1 200") == 4


async def test_address_has_a_limit_and_others_do_not_suffer(serve):
    server = serve(connections_per_address=2)
    async with server.connected() as (first, to_first), server.connected() as (second, to_second):
        # given an address with an order under way, and a connection on which it has shown who it is
        to_second.write(SHOWN)
        assert await one(second) == b"GET /shown "
        to_first.write(HELD)
        await asyncio.sleep(0.1)
        # when it opens a third connection
        assert refused(await server.answers(GET)) == (429, "TooManyConnections")
        # then those that it has go on
        server.released.set()
        assert await one(first) == b"GET /held "
        to_second.write(GET)
        assert await one(second) == b"GET /get "


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        ([], b""),  # nothing
        ([GET], b"200"),  # a request, and then nothing
        ([GET[:20]], b"503"),  # half a request
        ([CHUNKED], b"503"),
    ],
)
async def test_stranger_that_keeps_a_connection_for_nothing_gives_way(serve, sent, answer):
    server = serve(connections_per_address=1)
    async with server.connected() as (reader, writer):
        for part in sent:
            writer.write(part)
        await asyncio.sleep(0.1)
        # when somebody else comes
        async with server.connected() as (other, to_other):
            to_other.write(GET)
            assert await one(other) == b"GET /get "
            # then the connection was closed, and not amid an answer
            assert (await whole(reader))[9:12] == answer


async def test_connection_on_which_an_account_was_shown_stays_as_long_as_it_is_used(serve):
    server = serve(connections_per_address=1, known_seconds=1)
    async with server.connected() as (reader, writer):
        writer.write(SHOWN)
        await one(reader)
        # when others come, then they are refused, until it has been silent for so long
        assert refused(await server.answers(GET)) == (429, "TooManyConnections")
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while b"HTTP/1.1 200" not in await server.answers(CLOSING):  # noqa: ASYNC110  # the server tells nobody
                await asyncio.sleep(0.05)
        assert await whole(reader) == b""


async def test_closed_connection_makes_room(serve):
    server = serve(connections_per_address=1)
    for _ in range(5):
        async with server.connected() as (reader, writer):
            writer.write(CLOSING)
            assert b"200 OK" in await whole(reader)
