"""What a connection writes for a response: as few packets as it can, and all of it.

It uses private parts of uvicorn: run this file before uvicorn is upgraded.
"""

import asyncio

import pytest
import uvicorn
from rtx_engine.api.http_protocol import BoundedProtocol
from rtx_engine.api.limits import PRODUCTION, Admission
from uvicorn.server import ServerState

HEAD_OF_5_BYTES = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"
CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
EXPECTING = b"POST /whole HTTP/1.1\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n"
TIMEOUT_SECONDS = 10


class Transport(asyncio.Transport):
    """Records what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data):
        self.written.append(bytes(data))

    def close(self):
        self.closed = True

    def is_closing(self):
        return self.closed

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass


async def application(scope, receive, send):
    """Answers 5 bytes: at once at /whole, in two parts at /parts. At /broken it fails before them.

    At /continue the body is what a server says to a client that expects to be told to go on.
    """
    while (await receive()).get("more_body"):
        pass
    if scope["path"] == "/continue":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"25")]})
        await send({"type": "http.response.body", "body": CONTINUE})
        return
    headers = [] if scope["path"] == "/parts" else [(b"content-length", b"5")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if scope["path"] == "/broken":
        raise RuntimeError("after the head")
    parts = [b"he", b"llo"] if scope["path"] == "/parts" else [b"hello"]
    for part in parts:
        await send({"type": "http.response.body", "body": part, "more_body": part is not parts[-1]})


async def answered(*parts: bytes) -> Transport:
    """The transport after all answers to `parts`."""
    config = uvicorn.Config(application, lifespan="off", log_config=None, server_header=False, date_header=False)
    config.load()
    state, transport = ServerState(), Transport()
    protocol = BoundedProtocol(config, state, {}, limits=PRODUCTION, admission=Admission(PRODUCTION))
    protocol.connection_made(transport)
    for part in parts:
        protocol.data_received(part)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await asyncio.gather(*state.tasks, return_exceptions=True)
    protocol.connection_lost(None)
    return transport


@pytest.mark.parametrize(
    ("parts", "written"),
    [
        ([b"GET /whole HTTP/1.1\r\n\r\n"], [HEAD_OF_5_BYTES + b"hello"]),
        ([b"GET /whole HTTP/1.1\r\n\r\n"] * 2, [HEAD_OF_5_BYTES + b"hello"] * 2),
        ([b"GET /whole HTTP/1.1\r\n\r\n" * 2], [HEAD_OF_5_BYTES + b"hello"] * 2),
        ([b"HEAD /whole HTTP/1.1\r\n\r\n"], [HEAD_OF_5_BYTES]),
        ([b"GET /parts HTTP/1.1\r\n\r\n"], [CHUNKED_HEAD + b"2\r\nhe\r\n", b"3\r\nllo\r\n0\r\n\r\n"]),
        ([EXPECTING, b"{}"], [CONTINUE, HEAD_OF_5_BYTES + b"hello"]),
        ([b"GET /continue HTTP/1.1\r\n\r\n"], [b"HTTP/1.1 200 OK\r\ncontent-length: 25\r\n\r\n" + CONTINUE]),
    ],
    ids=["one", "two", "pipelined", "without a body", "in parts", "expected", "body like another head"],
)
async def test_head_is_written_with_the_body(parts, written):
    transport = await answered(*parts)

    assert transport.written == written


@pytest.mark.parametrize("path", [b"/whole", b"/broken"])
async def test_last_response_is_written_before_the_connection_closes(path):
    transport = await answered(b"GET %b HTTP/1.1\r\nconnection: close\r\n\r\n" % path)

    assert transport.closed
    assert b"".join(transport.written).startswith(b"HTTP/1.1 200 OK\r\n")
