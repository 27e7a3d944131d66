"""A disconnected WebSocket client resumes its stream and records everything received."""

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from picows import (
    WSCloseCode,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)
from rtx_traffic import sockets
from rtx_traffic.accounts import Account
from rtx_traffic.connection import Target
from rtx_traffic.ledger import (
    End,
    Failure,
    Ledger,
    Record,
    Request,
    Run,
    SocketClosed,
    SocketEvent,
    SocketOpened,
    SocketStarted,
)
from rtx_traffic.recorder import Recorder
from rtx_traffic.sessions import Session
from rtx_traffic.sockets import Socket


class Engine:
    """Greets with `since` or `sequence`, sends a tick and the events between, and then what `send` is given."""

    def __init__(self) -> None:
        self.sequence = 5
        self.paths: list[str] = []
        self.transports: list[WSTransport] = []
        self.refuses = False
        self.target = Target("engine", "127.0.0.1", 0)

    def route(self, request: WSUpgradeRequest) -> WSListener | WSUpgradeResponseWithListener:
        path = request.path.decode()
        self.paths.append(path)
        if self.refuses:
            refusal = WSUpgradeResponse.create_error_response(503, b"{}", {"X-RTX-Version": "1.2.0"})
            return WSUpgradeResponseWithListener(refusal, None)
        return _Greeter(self, int(path.partition("&since=")[2] or self.sequence))

    def send(self, transport: WSTransport, **message: object) -> None:
        transport.send(WSMsgType.TEXT, msgspec.json.encode(message))


class _Greeter(WSListener):
    def __init__(self, engine: Engine, since: int) -> None:
        self._engine, self._since = engine, since

    def on_ws_connected(self, transport: WSTransport) -> None:
        engine = self._engine
        engine.transports.append(transport)
        engine.send(transport, type="hello", account_id=7, sequence=self._since, colour="blue")
        engine.send(transport, type="tick", symbol="EURUSD", bid="1", ask="1", time="t")
        for sequence in range(self._since + 1, engine.sequence + 1):
            engine.send(transport, type="order", sequence=sequence, client_order_id=f"r-{sequence}")


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    engine = Engine()
    server = await ws_create_server(engine.route, "127.0.0.1", 0)
    async with server:
        engine.target = Target("engine", "127.0.0.1", server.sockets[0].getsockname()[1])
        yield engine
        for transport in engine.transports:
            transport.disconnect(graceful=False)


def written(path: Path) -> list[Record]:
    return list(Ledger.parse(path.read_bytes().splitlines()).records[1:-1])


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  nothing announces what is waited for
            await asyncio.sleep(0.01)


async def recorded(
    engine: Engine, path: Path, script: Callable[[Socket], Awaitable[None]], *, target: Target | None = None
) -> list[Record]:
    """The records of one socket while `script` goes on."""
    settings = Run("r", "http://engine", time.time(), 0, 0, 0, 1, 1, 0)
    with Recorder(path, settings) as recorder:
        client = Socket(
            number=0,
            session=Session(Account("7", "u", "token")),
            target=target or engine.target,
            symbol="EURUSD",
            clock=recorder.clock,
            record=recorder.record,
        )
        task = asyncio.create_task(client.run())
        await script(client)
        task.cancel()
        await asyncio.wait([task])
        recorder.record(End(recorder.clock(), 0))
    return written(path)


async def test_disconnected_socket_resumes_after_its_last_event(engine: Engine, tmp_path: Path) -> None:
    # given a socket that saw event 6, when the engine closes it with 1012, makes event 7 and takes it back
    async def script(client: Socket) -> None:
        await until(lambda: engine.transports and client.sequence == 5)
        engine.send(engine.transports[0], type="order", sequence=6, client_order_id="r-6")
        await until(lambda: client.sequence == 6)
        engine.sequence = 7
        engine.transports[0].send_close(WSCloseCode.SERVICE_RESTART)
        await until(lambda: client.sequence == 7 and client.up.is_set())  # up once its handshake is written down

    records = await recorded(engine, tmp_path / "l", script)

    # then it came back with since=6 and the ledger tells it all, ticks left out
    assert engine.paths == ["/ws?symbols=EURUSD", "/ws?symbols=EURUSD&since=6"]
    assert [(r.socket, r.account_id) for r in records if isinstance(r, SocketStarted)] == [(0, "7")]
    hellos = [(r.account_id, r.sequence, r.since) for r in records if isinstance(r, SocketOpened)]
    assert hellos == [("7", 5, None), ("7", 6, 6)]
    assert [(r.sequence, r.client_order_id) for r in records if isinstance(r, SocketEvent)] == [(6, "r-6"), (7, "r-7")]
    assert next(r.code for r in records if isinstance(r, SocketClosed)) == 1012
    assert [r.status for r in records if isinstance(r, Request)] == [101, 101]


async def test_socket_whose_engine_answers_no_ping_reconnects(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a socket whose connection died without a close, as when the engine's node lost its network
    monkeypatch.setattr(sockets, "PING_AFTER_SECONDS", 0.1)
    monkeypatch.setattr(sockets, "PONG_DEADLINE_SECONDS", 0.1)

    async def script(client: Socket) -> None:
        await until(lambda: engine.transports and client.sequence == 5)
        engine.transports[0].underlying_transport.pause_reading()
        # when there is an event that it cannot hear of
        engine.sequence = 6
        await until(lambda: client.sequence == 6)

    records = await recorded(engine, tmp_path / "l", script)

    # then it found out, and received the event on another connection
    assert [(r.sequence, r.since) for r in records if isinstance(r, SocketOpened)] == [(5, None), (5, 5)]


async def test_refused_handshake_is_a_failed_request(engine: Engine, tmp_path: Path) -> None:
    # given an engine that refuses WebSockets, when a client tries twice and is then let in
    engine.refuses = True

    async def script(client: Socket) -> None:
        await until(lambda: len(engine.paths) == 2)
        engine.refuses = False
        await client.up.wait()

    records = await recorded(engine, tmp_path / "l", script)

    # then each refusal is written down with its status and the version that refused
    handshakes = [(r.status, r.failure, r.version) for r in records if isinstance(r, Request)]
    assert handshakes == [(503, Failure.SERVER_ERROR, "1.2.0")] * 2 + [(101, None, "")]


async def test_abandoned_handshake_records_nothing_more(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given an engine behind which the first connection hangs until the client has given it up and come back
    monkeypatch.setattr(sockets, "HANDSHAKE_DEADLINE_SECONDS", 0.3)
    accepted: list[asyncio.Event] = []

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(asyncio.Event())
        if len(accepted) == 1:
            monkeypatch.setattr(sockets, "HANDSHAKE_DEADLINE_SECONDS", 30.0)  # of the next one
            await accepted[0].wait()
        with contextlib.suppress(OSError):
            inner, outer = await asyncio.open_connection("127.0.0.1", engine.target.port)
            await asyncio.gather(pump(reader, outer), pump(inner, writer))

    async def script(client: Socket) -> None:
        await until(lambda: client.up.is_set() and client.sequence == 5)
        accepted[0].set()
        await asyncio.sleep(0.3)  # nothing announces that nothing comes
        engine.sequence = 6
        for transport in engine.transports:
            engine.send(transport, type="order", sequence=6, client_order_id="r-6")
        await until(lambda: client.sequence == 6)
        await asyncio.sleep(0.1)  # as above

    async with await asyncio.start_server(hang, "127.0.0.1", 0) as proxy:
        behind = dataclasses.replace(engine.target, port=proxy.sockets[0].getsockname()[1])
        records = await recorded(engine, tmp_path / "l", script, target=behind)

    # when it answers then, it was a failed request, and the client receives one hello and each event once
    handshakes = [record.failure for record in records if isinstance(record, Request)]
    assert handshakes == [Failure.ANSWER_TIMEOUT, None]
    assert [record.sequence for record in records if isinstance(record, SocketOpened)] == [5]
    assert [record.sequence for record in records if isinstance(record, SocketEvent)] == [6]


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
    writer.close()


async def test_malformed_message_is_a_failed_request(engine: Engine, tmp_path: Path) -> None:
    # given a socket, when the engine sends it what is no message
    async def script(client: Socket) -> None:
        await until(lambda: engine.transports and client.sequence == 5)
        engine.transports[0].send(WSMsgType.TEXT, b'{"type":"order","sequence":6')
        await until(lambda: len(engine.paths) == 2 and client.up.is_set())

    records = await recorded(engine, tmp_path / "l", script)

    # then that is a failure, and the client comes back
    assert [r.failure for r in records if isinstance(r, Request)] == [None, Failure.MALFORMED, None]
