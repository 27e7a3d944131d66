"""The adaptor between our connections and picows, of which it uses private parts: run this file before an upgrade."""

import asyncio
import contextlib
import functools
import gc
import json
import socket
import struct
import threading

import pytest
import pytest_asyncio
import uvicorn
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect
from recorded_transports import Responding
from rtx_engine.api.errors import unauthorized
from rtx_engine.api.http import Response
from rtx_engine.api.http_connection import HttpConnection
from rtx_engine.api.limits import PRODUCTION, Admission
from rtx_engine.stream import adaptor
from rtx_engine.stream.adaptor import protocol_class

KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
UPGRADE = f"Host: test\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n{KEY}"
TIMEOUT_SECONDS = 20


class Ticker(WSListener):
    def on_ws_connected(self, transport: WSTransport) -> None:
        transport.send(WSMsgType.TEXT, b'{"type":"tick"}')


def accept(request, _peer):
    if request.path == b"/ws":
        return Ticker()
    if request.path == b"/nowhere":
        return None
    raise unauthorized("No token.")


async def respond(_scope, _body):
    return Response(200, b"ok")


@pytest.fixture
def server():
    """On uvloop, as in production, in a thread of its own."""
    listening = socket.create_server(("127.0.0.1", 0))
    admission = Admission(PRODUCTION)
    connection = functools.partial(
        HttpConnection, application=Responding(respond), limits=PRODUCTION, admission=admission
    )
    config = uvicorn.Config(
        connection,
        interface="asgi3",
        http=connection,
        loop="uvloop",
        ws=protocol_class(accept, admission),
        lifespan="off",
        log_config=None,
    )
    server = uvicorn.Server(config)
    server.port = listening.getsockname()[1]
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    yield server
    server.should_exit = True
    thread.join(TIMEOUT_SECONDS)
    assert not thread.is_alive()


async def answer(port, request):
    """Send raw bytes, return status and body of the answer, read until its end or the stream's begin."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request.encode())
    async with asyncio.timeout(TIMEOUT_SECONDS):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        status = int(head.split()[1])
        body = b"" if status == 101 else await reader.read()
    await closed(writer)
    return status, head, body


async def closed(writer):
    """Close, and wait until the transport has gone: the loop of a test ends before a transport left to itself does."""
    writer.close()
    with contextlib.suppress(ConnectionError):  # the server may have ended it first
        await writer.wait_closed()


class Client(WSListener):
    def __init__(self):
        self.frames = asyncio.Queue()

    def on_ws_frame(self, _transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            self.frames.put_nowait(frame.get_close_code())
        else:
            self.frames.put_nowait(frame.get_payload_as_bytes())


@pytest_asyncio.fixture
async def connect(server):
    """`await connect()`: a client's transport and the client itself, gone when the test ends."""
    transports = []

    async def connect():
        transport, client = await ws_connect(Client, f"ws://127.0.0.1:{server.port}/ws")
        transports.append(transport)
        return transport, client

    yield connect
    for transport in transports:
        transport.disconnect()
        await transport.wait_disconnected()
    gc.collect()  # a transport left open is a warning here, and not in whatever test the collector runs next


async def test_http_and_streams_share_the_port(server, connect):
    _, client = await connect()

    assert await asyncio.wait_for(client.frames.get(), TIMEOUT_SECONDS) == b'{"type":"tick"}'
    status, _, body = await answer(server.port, "GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
    assert (status, body) == (200, b"ok")


async def test_a_connection_header_with_several_words_upgrades(server):
    status, head, _ = await answer(server.port, f"GET /ws HTTP/1.1\r\n{UPGRADE}\r\n")
    assert status == 101
    assert "s3pplmbitxaq9kygzzhzrbk+xoo=" in head


async def test_a_long_header_arrives_whole(server):
    status, _, _ = await answer(server.port, f"GET /ws HTTP/1.1\r\nX-Long: {'x' * 6000}\r\n{UPGRADE}\r\n")
    assert status == 101


async def test_refused_upgrade_gets_a_response_with_a_reason(server):
    status, head, body = await answer(server.port, f"GET /other HTTP/1.1\r\n{UPGRADE}\r\n")
    assert status == 401
    assert "www-authenticate: bearer" in head
    assert json.loads(body) == {"error": {"reason": "Unauthorized", "message": "No token."}}

    assert (await answer(server.port, f"GET /nowhere HTTP/1.1\r\n{UPGRADE}\r\n"))[0] == 404


async def test_shutdown_closes_streams_with_1012_without_waiting(server, connect):
    clients = [(await connect())[1] for _ in range(5)]
    reader, deaf = await asyncio.open_connection("127.0.0.1", server.port)
    deaf.write(f"GET /ws HTTP/1.1\r\n{UPGRADE}\r\n".encode())

    server.should_exit = True

    for client in clients:
        assert await asyncio.wait_for(client.frames.get(), TIMEOUT_SECONDS) == b'{"type":"tick"}'
        assert await asyncio.wait_for(client.frames.get(), TIMEOUT_SECONDS) == WSCloseCode.SERVICE_RESTART
    async with asyncio.timeout(TIMEOUT_SECONDS):  # the deaf one is dropped
        await reader.read()
    await closed(deaf)


async def test_client_without_pong_is_disconnected(server, connect, monkeypatch):
    monkeypatch.setattr(adaptor, "PING_INTERVAL_SECONDS", 0.2)
    monkeypatch.setattr(adaptor, "PONG_TIMEOUT_SECONDS", 0.2)
    answering, _ = await connect()
    reader, mute = await asyncio.open_connection("127.0.0.1", server.port)
    mute.write(f"GET /ws HTTP/1.1\r\n{UPGRADE}\r\n".encode())

    async with asyncio.timeout(TIMEOUT_SECONDS):
        received = await reader.read()

    assert b"\x89\x00" in received  # a ping
    assert struct.pack("!H", WSCloseCode.GOING_AWAY) in received
    assert not answering.is_disconnected
    await closed(mute)
