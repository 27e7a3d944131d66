"""The load against a real server: what is due leaves on time, and what cannot leave is written down as unsent."""

import asyncio
import time
from collections import Counter
from pathlib import Path

import pytest
from rtx_traffic import load as load_module
from rtx_traffic.accounts import Account
from rtx_traffic.connection import Target
from rtx_traffic.ledger import End, Failure, Kind, Lane, Ledger, Request, Run, SocketClosed, SocketOpened
from rtx_traffic.load import Load
from rtx_traffic.recorder import Recorder
from rtx_traffic.schedule import OrderSource, schedule

ACKNOWLEDGED = (
    b'{"order_id":"o","client_order_id":"c","status":"filled","symbol":"EURUSD","side":"buy","quantity":"0.10",'
    b'"price":"1.1","executed_at":"t","epoch":1,"colour":"blue","sequence":1}'
)


class Engine:
    """Answers orders and reads; after `break_at` requests it answers 503."""

    def __init__(self, *, delay: float = 0, break_at: int | None = None) -> None:
        self.requests = 0
        self.connections = 0
        self._delay = delay
        self._break_at = break_at

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"POST"):
                    await reader.readexactly(int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0]))
                self.requests += 1
                await asyncio.sleep(self._delay)
                broken = self._break_at is not None and self.requests > self._break_at
                status = b"503 Service Unavailable" if broken else b"201 Created"
                body = b'{"error":{"reason":"Fenced","message":"No."}}' if broken else ACKNOWLEDGED
                version = b"X-RTX-Version: 1.2.0\r\n" if broken else b""
                writer.write(b"HTTP/1.1 %b\r\n%bContent-Length: %d\r\n\r\n%b" % (status, version, len(body), body))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def written(path: Path) -> list[Request]:
    return list(Ledger.parse(path.read_bytes().splitlines()).requests())


async def loaded(
    engine: Engine, path: Path, *, rate: float, new_per_second: float, keep_alive: int, duration: float = 1.0
) -> list[Request]:
    """The requests of a run's ledger."""
    settings = Run("r", "http://engine", time.time(), rate, keep_alive, new_per_second, 0, 1, duration)
    listener = await asyncio.start_server(engine.serve, "127.0.0.1", 0)
    async with listener:
        target = Target("engine", "127.0.0.1", listener.sockets[0].getsockname()[1])
        with Recorder(path, settings) as recorder:
            load = Load(
                target=target,
                accounts=[Account("7", "u", "token")],
                orders=OrderSource(run="r", account_ids=["7"], symbols=["EURUSD"], seed=1),
                keep_alive=keep_alive,
                recorder=recorder,
            )
            plan = schedule(rate=rate, new_per_second=new_per_second, duration=duration, seed=1)
            await load.run(plan, asyncio.Event())
            load.close()
            recorder.record(End(recorder.clock()))
    return written(path)


async def test_every_due_request_is_sent_once_on_its_lane(tmp_path: Path) -> None:
    # given an engine that answers, when 100 requests are due in a second, 20 of them on new connections
    engine = Engine()
    requests = await loaded(engine, tmp_path / "l", rate=100, new_per_second=20, keep_alive=4)

    # then all 100 arrived, none failed, and the connections are the kept ones and the new ones
    assert Counter(request.failure for request in requests) == {None: 100}
    assert Counter(request.lane for request in requests) == {Lane.KEEP_ALIVE: 80, Lane.NEW: 20}
    assert (engine.requests, engine.connections) == (100, 24)
    assert all(request.answer for request in requests if request.kind is Kind.ORDER)


def test_a_socket_closed_before_it_said_hello_was_never_open(tmp_path: Path) -> None:
    # given two sockets, one that is up, and one that is closed twice without a hello
    with Recorder(tmp_path / "l", Run("r", "u", time.time(), 1, 1, 0, 2, 1, 0)) as recorder:
        recorder.record(SocketOpened(0, "7", 0.1, 0, "blue", None))
        recorder.record(SocketClosed(1, 0.2, 1012))
        recorder.record(SocketClosed(1, 0.3, 1012))

        # when the progress is told, then one is open
        assert recorder.progress().sockets == 1


async def test_an_engine_that_stalls_does_not_slow_the_schedule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given one connection and an engine that needs half a second for each request
    monkeypatch.setattr(load_module, "PATIENCE", 0.2)
    engine = Engine(delay=0.5)

    # when 20 are due in a second, then those that found no free connection count as failed, unsent
    requests = await loaded(engine, tmp_path / "l", rate=20, new_per_second=0, keep_alive=1)
    failures = Counter(request.failure for request in requests)
    assert len(requests) == 20
    assert failures[Failure.UNSENT] == 20 - engine.requests
    assert failures[Failure.UNSENT] > 10
    assert all(request.sent is None for request in requests if request.failure is Failure.UNSENT)


async def test_an_error_answer_is_a_failed_request_with_the_engine_s_reason(tmp_path: Path) -> None:
    # given an engine that refuses from its 31st request on
    engine = Engine(break_at=30)

    # when 50 are sent, then 20 failed, each with the reason and the version that the engine gave, and only those
    requests = await loaded(engine, tmp_path / "l", rate=50, new_per_second=10, keep_alive=2)
    told = Counter((request.failure, request.detail, request.version) for request in requests)
    assert told == {(Failure.SERVER_ERROR, "503 Fenced", "1.2.0"): 20, (None, "", ""): 30}
