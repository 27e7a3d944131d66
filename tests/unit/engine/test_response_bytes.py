"""What a connection writes for a response: one write each, and nothing that would be another response."""

import asyncio

import pytest
import uvicorn
from recorded_transports import RecordedTransport, Responding
from rtx_engine.api.http import Response, Scope
from rtx_engine.api.http_connection import HttpConnection
from rtx_engine.api.limits import PRODUCTION, Admission
from uvicorn.server import ServerState

HEAD_OF_5_BYTES = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 5\r\n\r\n"
CLOSING_HEAD = HEAD_OF_5_BYTES[:-2] + b"connection: close\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
EXPECTING = b"POST /whole HTTP/1.1\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n"
TIMEOUT_SECONDS = 10

RESPONSES = {
    "/whole": Response(200, b"hello"),
    "/closing": Response(200, b"hello", close=True),
    "/nothing": Response(204, b"", content_type=b""),
    "/more": Response(418, b"", ((b"retry-after", b"1"), (b"allow", b"GET")), content_type=b"text/plain"),
    "/unknown": Response(599, b"", content_type=b""),
    "/two-lines": Response(200, b"hello", ((b"x-name", b"a\r\nset-cookie: b"),)),
    "/two-names": Response(200, b"hello", ((b"x-name: a\r\nset-cookie", b"b"),)),
    "/two-types": Response(200, b"hello", content_type=b"text/plain\r\nset-cookie: b"),
}


async def respond(scope: Scope, _body: bytes | None) -> Response:
    if scope["path"] == "/broken":
        raise RuntimeError("a bug")
    return RESPONSES[scope["path"]]


async def answered(*parts: bytes) -> RecordedTransport:
    """The transport after all answers to `parts`."""
    state, transport = ServerState(), RecordedTransport()
    connection = HttpConnection(
        uvicorn.Config(respond, ws="none"),
        state,
        {},
        application=Responding(respond),
        limits=PRODUCTION,
        admission=Admission(PRODUCTION),
    )
    connection.connection_made(transport)
    for part in parts:
        connection.data_received(part)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while state.tasks:
            await asyncio.gather(*state.tasks, return_exceptions=True)
    connection.connection_lost(None)
    return transport


@pytest.mark.parametrize(
    ("parts", "written"),
    [
        ([b"GET /whole HTTP/1.1\r\n\r\n"], [HEAD_OF_5_BYTES + b"hello"]),
        ([b"GET /whole HTTP/1.1\r\n\r\n"] * 2, [HEAD_OF_5_BYTES + b"hello"] * 2),
        ([b"GET /whole HTTP/1.1\r\n\r\n" * 2], [HEAD_OF_5_BYTES + b"hello"] * 2),
        ([b"HEAD /whole HTTP/1.1\r\n\r\n"], [HEAD_OF_5_BYTES]),
        ([b"GET /nothing HTTP/1.1\r\n\r\n"], [b"HTTP/1.1 204 No Content\r\n\r\n"]),
        (
            [b"GET /more HTTP/1.1\r\n\r\n"],
            [
                b"HTTP/1.1 418 I'm a Teapot\r\ncontent-type: text/plain\r\ncontent-length: 0\r\n"
                b"retry-after: 1\r\nallow: GET\r\n\r\n"
            ],
        ),
        ([b"GET /unknown HTTP/1.1\r\n\r\n"], [b"HTTP/1.1 599 \r\ncontent-length: 0\r\n\r\n"]),
        ([EXPECTING, b"{}"], [CONTINUE, HEAD_OF_5_BYTES + b"hello"]),
        ([EXPECTING + b"{}"], [HEAD_OF_5_BYTES + b"hello"]),
        ([EXPECTING.replace(b"HTTP/1.1", b"HTTP/1.0"), b"{}"], [CLOSING_HEAD + b"hello"]),
        (
            [b"GET /whole HTTP/1.1\r\n\r\n" + EXPECTING, b"{}"],
            [HEAD_OF_5_BYTES + b"hello", CONTINUE, HEAD_OF_5_BYTES + b"hello"],
        ),
    ],
    ids=[
        "one",
        "two",
        "pipelined",
        "HEAD",
        "204",
        "headers",
        "status without a name",
        "expected",
        "sent although the client might wait",
        "HTTP/1.0 knows no 100",
        "100 after the earlier answer",
    ],
)
async def test_response_is_one_write(parts, written):
    assert (await answered(*parts)).written == written


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /whole HTTP/1.1\r\nconnection: close\r\n\r\n",
        b"GET /whole HTTP/1.0\r\n\r\n",
        b"GET /whole HTTP/1.0\r\nconnection: keep-alive\r\n\r\n",
        b"GET /closing HTTP/1.1\r\n\r\n",
        # what follows the last request is not answered, and does not keep it from its answer
        b"GET /whole HTTP/1.1\r\nconnection: close\r\n\r\nGET /whole HTTP/1.1\r\n\r\n",
        b"GET /whole HTTP/1.1\r\nconnection: close\r\n\r\n\x00\x00",
    ],
)
async def test_last_response_says_so_and_is_written_before_the_connection_closes(request_):
    transport = await answered(request_)

    assert transport.written == [CLOSING_HEAD + b"hello"]
    assert transport.closed or transport.ended


@pytest.mark.parametrize("path", ["/broken", "/two-lines", "/two-names", "/two-types"])
async def test_client_gets_no_answer_rather_than_one_that_is_none(path):
    # a client that gets no answer knows nothing of its request, and that is true
    transport = await answered(b"GET %b HTTP/1.1\r\n\r\n" % path.encode())

    assert transport.written == []
    assert transport.aborted
