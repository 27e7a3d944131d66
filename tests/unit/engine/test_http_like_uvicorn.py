"""Our connections answer what uvicorn's own ones do, on random streams of requests however they arrive."""

import asyncio
import gc
import random
import re
from dataclasses import dataclass, field

import pytest
import uvicorn
from http_streams import Stream, random_stream
from recorded_transports import RecordedTransport, Responding
from rtx_engine.api.http import Response, Scope
from rtx_engine.api.http_connection import HttpConnection
from rtx_engine.api.limits import PRODUCTION, Admission
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

STREAMS = 150  # of each seed
QUIET_TURNS = 8  # of the event loop
_ANSWER = re.compile(rb"HTTP/1\.1 (\d+) [^\r]*\r\n((?:[^\r]+\r\n)*)\r\n")


@dataclass
class Seen:
    """What an application was asked, and its client told."""

    asked: list[tuple[str, str, bytes, bytes, tuple[bytes, ...]]] = field(default_factory=list)
    answers: bytes = b""
    closed: bool = False

    def ask(self, scope: Scope, body: bytes) -> bytes:
        """The body of the answer, by which each answer is known to be that of its request."""
        echoed = tuple(value for name, value in scope["headers"] if name == b"x-echo")
        self.asked.append((scope["method"], scope["path"], scope["query_string"], body, echoed))
        return b"%d: %b" % (len(self.asked), body)

    @property
    def told(self) -> list[tuple[bytes, bool, bytes]]:
        """Status, whether it is the last one, and body of each answer but of those that only say: go on."""
        told, at, methods = [], 0, iter(self.asked)
        while at < len(self.answers):
            head = _ANSWER.match(self.answers, at)
            assert head, self.answers[at:]
            at = head.end()
            if head[1] == b"100":
                continue
            headers = dict(line.lower().split(b": ", 1) for line in head[2].splitlines())
            asked = next(methods, None)
            length = 0 if asked and asked[0] == "HEAD" else int(headers[b"content-length"])
            body, at = self.answers[at : at + length], at + length
            told.append((head[1], headers.get(b"connection") == b"close", body))
        return told


async def fed(stream: Stream, parts: list[bytes], make, *, settle: bool) -> Seen:
    """What comes of a stream. `settle`: each part comes when all before it is answered."""
    seen, state, transport = Seen(), ServerState(), RecordedTransport()
    connection = make(seen, state)
    connection.connection_made(transport)
    for part in parts:
        if transport.closed:
            break
        connection.data_received(part)
        if settle or not transport.reading:
            await settled(seen, transport)
    await settled(seen, transport)
    seen.answers, seen.closed = transport.answers, transport.closed or transport.ended
    connection.connection_lost(None)
    return seen


async def settled(seen: Seen, transport: RecordedTransport) -> None:
    """Wait until nothing happens any more. Nobody waits for anything but the event loop here."""
    before, turns = None, 0
    while turns < QUIET_TURNS:
        await asyncio.sleep(0)
        now = (len(seen.asked), len(transport.written), transport.reading)
        before, turns = now, (turns + 1 if now == before else 0)


def ours(seen: Seen, state: ServerState, admission: Admission | None = None) -> HttpConnection:
    async def respond(scope: Scope, body: bytes | None) -> Response:
        assert body is not None
        return Response(200, seen.ask(scope, body))

    config = uvicorn.Config(respond, ws="none")
    admission = admission or Admission(PRODUCTION)
    return HttpConnection(config, state, {}, application=Responding(respond), limits=PRODUCTION, admission=admission)


def uvicorns(seen: Seen, state: ServerState) -> HttpToolsProtocol:
    async def application(scope, receive, send):
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if message["type"] == "http.disconnect":
                return
            if not message["more_body"]:
                break
        answer = seen.ask(scope, body)
        headers = [(b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    config = uvicorn.Config(application, ws="none", lifespan="off", log_config=None, access_log=False)
    config.load()
    return HttpToolsProtocol(config, state, {})


@pytest.mark.parametrize("seed", range(4))
async def test_valid_streams_are_answered_as_by_uvicorn(seed):
    chance = random.Random(seed)  # noqa: S311
    for _ in range(STREAMS):
        stream = random_stream(chance)
        if not stream.is_valid:
            continue
        parts, settle = stream.parts(chance), chance.random() < 0.5
        mine = await fed(stream, parts, ours, settle=settle)
        theirs = await fed(stream, parts, uvicorns, settle=settle)
        assert (mine.asked, mine.told, mine.closed) == (theirs.asked, theirs.told, theirs.closed), (stream, parts)


@pytest.mark.parametrize("seed", range(4))
async def test_damaged_streams_are_taken_as_uvicorn_takes_them(seed):
    chance = random.Random(1000 + seed)  # noqa: S311
    for _ in range(STREAMS):
        stream = random_stream(chance)
        parts = stream.parts(chance)
        mine = await fed(stream, parts, ours, settle=True)
        theirs = await fed(stream, parts, uvicorns, settle=True)
        # the same requests, as far as uvicorn has them answered before it refuses one that came with them
        assert mine.asked[: len(theirs.asked)] == theirs.asked, (stream, parts)
        # each answer is that of its request, and only the last thing that a client is told is a refusal
        statuses = [status for status, _, _ in mine.told]
        assert set(statuses[:-1]) <= {b"200"}, (stream, parts)
        assert [body for status, _, body in mine.told if status == b"200"] == [
            b"" if method == "HEAD" else b"%d: %b" % (number, body)
            for number, (method, _, _, body, _) in enumerate(mine.asked, 1)
        ], (stream, parts)
        # and what uvicorn refuses is refused
        assert mine.closed >= theirs.closed, (stream, parts)


@pytest.mark.parametrize("seed", range(4))
async def test_answers_are_the_same_however_a_stream_arrives(seed):
    chance = random.Random(2000 + seed)  # noqa: S311
    for _ in range(STREAMS):
        stream = random_stream(chance)
        whole = await fed(stream, [stream.data], ours, settle=True)
        parts = stream.parts(chance)
        split = await fed(stream, parts, ours, settle=chance.random() < 0.5)
        assert split.asked == whole.asked, (stream, parts)
        answered = [told for told in split.told if told[0] == b"200"]
        assert [(status, body) for status, _, body in answered] == [
            (status, body) for status, _, body in whole.told if status == b"200"
        ], (stream, parts)


@pytest.mark.parametrize("seed", range(3))
async def test_client_that_goes_at_any_byte_leaves_nothing_behind(seed, caplog):
    chance = random.Random(3000 + seed)  # noqa: S311
    admission = Admission(PRODUCTION)
    for _ in range(STREAMS):
        stream = random_stream(chance)
        seen, state, transport = Seen(), ServerState(), RecordedTransport()
        connection = ours(seen, state, admission)
        connection.connection_made(transport)
        for part in stream.parts(chance)[: chance.randrange(1, 4)]:
            if not transport.closed:
                connection.data_received(part)
            if chance.random() < 0.5:
                await asyncio.sleep(0)
        if chance.random() < 0.3:
            connection.eof_received()
        before = transport.answers
        connection.connection_lost(ConnectionResetError() if chance.random() < 0.5 else None)
        await settled(seen, transport)
        assert transport.answers == before, stream
        assert not state.connections
        assert not admission._total
    gc.collect()
    assert not caplog.records
