"""The load against a real server: due requests are sent on time, and unsendable ones are recorded as unsent."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from rtx_traffic import load as load_module
from rtx_traffic.accounts import Account
from rtx_traffic.completeness import records
from rtx_traffic.connection import Target
from rtx_traffic.ledger import Crash, End, Failure, Kind, Lane, Ledger, Order, Request, Run, SocketClosed, SocketOpened
from rtx_traffic.load import Load
from rtx_traffic.recorder import Recorder
from rtx_traffic.schedule import OrderSource, ScheduledRequest, schedule
from rtx_traffic.sessions import Session

ACKNOWLEDGED = (
    b'{"order_id":"o","client_order_id":"c","status":"filled","symbol":"EURUSD","side":"buy","quantity":"0.10",'
    b'"price":"1.1","realised":"0","executed_at":"2026-01-02T12:00:00Z","epoch":1,"colour":"blue","sequence":1}'
)


class Engine:
    """Answers orders and reads with `status`; after `break_at` requests it answers 503."""

    def __init__(self, *, delay: float = 0, break_at: int | None = None, status: bytes = b"") -> None:
        self.requests = 0
        self.connections = 0
        self.tokens: Counter[str] = Counter()  # of the reads
        self._delay = delay
        self._break_at = break_at
        self._status = status

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"POST"):
                    await reader.readexactly(int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0]))
                self.requests += 1
                if head.startswith(b"GET"):
                    self.tokens[head.partition(b"Authorization: Bearer ")[2].split(b"\r\n")[0].decode()] += 1
                await asyncio.sleep(self._delay)
                broken = self._break_at is not None and self.requests > self._break_at
                status = self._status or (b"201 Created" if head.startswith(b"POST") else b"200 OK")
                status = b"503 Service Unavailable" if broken else status
                body = b'{"error":{"reason":"Fenced","message":"No."}}' if broken else ACKNOWLEDGED
                version = b"X-RTX-Version: 1.2.0\r\n" if broken else b""
                writer.write(b"HTTP/1.1 %b\r\n%bContent-Length: %d\r\n\r\n%b" % (status, version, len(body), body))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def ledger_of(
    engine: Engine,
    path: Path,
    plan: Iterable[ScheduledRequest],
    *,
    keep_alive: int,
    stop: bool = False,
    source: type = OrderSource,
    tokens: Sequence[str] = ("token",),
) -> Ledger:
    """The records of a run of `plan`; with `stop`, it is stopped before it starts."""
    settings = Run("r", "http://engine", time.time(), 1, keep_alive, 0, 0, 1, 0)
    stopped = asyncio.Event()
    if stop:
        stopped.set()
    listener = await asyncio.start_server(engine.serve, "127.0.0.1", 0)
    async with listener:
        target = Target("engine", "127.0.0.1", listener.sockets[0].getsockname()[1])
        with Recorder(path, settings) as recorder:
            load = Load(
                target=target,
                sessions=[Session(Account(str(7 + number), "u", token)) for number, token in enumerate(tokens)],
                orders=source(run="r", account_ids=["7"], symbols=["EURUSD"], seed=1),
                keep_alive=keep_alive,
                recorder=recorder,
            )
            await load.run(plan, stopped)
            load.close()
            recorder.record(End(recorder.clock(), load.due))
    return read(path)


def read(path: Path) -> Ledger:
    return Ledger.parse(path.read_bytes().splitlines())


async def loaded(
    engine: Engine, path: Path, *, rate: float, new_per_second: float, keep_alive: int, duration: float = 1.0
) -> list[Request]:
    """The requests of a run's ledger."""
    plan = schedule(rate=rate, new_per_second=new_per_second, duration=duration, seed=1)
    ledger = await ledger_of(engine, path, plan, keep_alive=keep_alive)
    assert records(ledger).unrecorded == 0
    return list(ledger.requests())


async def test_every_due_request_is_sent_once_on_its_lane(tmp_path: Path) -> None:
    # given an engine that answers, when 100 requests are due in a second, 20 of them on new connections
    engine = Engine()
    requests = await loaded(engine, tmp_path / "l", rate=100, new_per_second=20, keep_alive=4)

    # then all 100 arrived, none failed, and the connections are the kept ones and the new ones
    assert Counter(request.failure for request in requests) == {None: 100}
    assert Counter(request.lane for request in requests) == {Lane.KEEP_ALIVE: 80, Lane.NEW: 20}
    assert (engine.requests, engine.connections) == (100, 24)
    assert all(request.answer for request in requests if request.kind is Kind.ORDER)


async def test_accounts_take_turns_with_reads(tmp_path: Path) -> None:
    engine = Engine()
    plan = [ScheduledRequest(number, 0.0, Lane.KEEP_ALIVE, Kind.READ) for number in range(9)]

    await ledger_of(engine, tmp_path / "l", plan, keep_alive=2, tokens=["a", "b", "c"])

    assert engine.tokens == {"a": 3, "b": 3, "c": 3}


def test_socket_closed_before_its_hello_does_not_count_as_open(tmp_path: Path) -> None:
    # given two sockets, one that is up, and one that is closed twice without a hello
    with Recorder(tmp_path / "l", Run("r", "u", time.time(), 1, 1, 0, 2, 1, 0)) as recorder:
        recorder.record(SocketOpened(0, "7", 0.1, 0, "blue", None))
        recorder.record(SocketClosed(1, 0.2, 1012))
        recorder.record(SocketClosed(1, 0.3, 1012))

        # when the progress is read, then one is open
        assert recorder.progress().sockets == 1


async def test_stalled_engine_does_not_slow_the_schedule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # given one connection and an engine that needs half a second for each request
    monkeypatch.setattr(load_module, "MAX_QUEUE_SECONDS", 0.2)
    engine = Engine(delay=0.5)

    # when 20 are due in a second, then those that found no free connection count as failed, unsent
    requests = await loaded(engine, tmp_path / "l", rate=20, new_per_second=0, keep_alive=1)
    failures = Counter(request.failure for request in requests)
    assert len(requests) == 20
    assert failures[Failure.UNSENT] == 20 - engine.requests
    assert failures[Failure.UNSENT] > 10
    assert all(request.sent is None for request in requests if request.failure is Failure.UNSENT)


async def test_error_response_is_a_failed_request_with_the_engines_reason(tmp_path: Path) -> None:
    # given an engine that refuses from its 31st request on
    engine = Engine(break_at=30)

    # when 50 are sent, then 20 failed, each with the reason and the version that the engine gave, and only those
    requests = await loaded(engine, tmp_path / "l", rate=50, new_per_second=10, keep_alive=2)
    reported = Counter((request.failure, request.detail, request.version) for request in requests)
    assert reported == {(Failure.SERVER_ERROR, "503 Fenced", "1.2.0"): 20, (None, "", ""): 30}


async def test_a_status_that_is_no_answer_to_the_request_is_a_failure(tmp_path: Path) -> None:
    # given an engine that answers each order and read with 204, when they are sent
    requests = await loaded(Engine(status=b"204 No Content"), tmp_path / "l", rate=20, new_per_second=0, keep_alive=2)

    # then each failed
    assert {(request.failure, request.detail) for request in requests} == {(Failure.MALFORMED, "status 204")}


async def test_what_was_due_before_a_stop_is_sent_or_recorded_as_unsent(tmp_path: Path) -> None:
    # given a load that has fallen behind: of three requests, two were due before now, one of them long ago
    plan = [ScheduledRequest(number, at, Lane.NEW, Kind.READ) for number, at in enumerate((-60.0, -0.1, 60.0))]

    # when it is stopped
    ledger = await ledger_of(Engine(), tmp_path / "l", plan, keep_alive=1, stop=True)

    # then both are recorded, the one that is too late as unsent, and the third was never due
    assert sorted((request.number, request.failure) for request in ledger.requests()) == [
        (0, Failure.UNSENT),
        (1, None),
    ]
    assert ledger.end.due == 2


class BrokenSource(OrderSource):
    """Has no second order."""

    def fresh(self, number: int) -> Order:
        if number == 1:
            raise RuntimeError("no order")
        return super().fresh(number)


async def test_a_request_that_leaves_no_record_was_due_all_the_same(tmp_path: Path) -> None:
    # given a load in which one of three requests ends with an exception that nobody expects
    plan = [ScheduledRequest(number, 0, Lane.NEW, Kind.ORDER) for number in range(3)]
    ledger = await ledger_of(Engine(), tmp_path / "l", plan, keep_alive=1, source=BrokenSource)

    # then the ledger tells the crash, and that one request of three has no record
    crashes = [(record.task, record.error) for record in ledger.records if isinstance(record, Crash)]
    assert crashes == [("request 1", "RuntimeError('no order')")]
    assert (ledger.end.due, records(ledger).unrecorded) == (3, 1)


async def test_crashed_task_is_recorded_and_reported(tmp_path: Path) -> None:
    # given a recorder that watches a task which crashes, and one which is cancelled
    async def crashes() -> None:
        raise ValueError("of no use")

    reported: list[str] = []
    with Recorder(tmp_path / "l", Run("r", "u", time.time(), 1, 1, 0, 0, 1, 0), reported.append) as recorder:
        tasks = [asyncio.create_task(crashes()), asyncio.create_task(asyncio.sleep(60))]
        for task, name in zip(tasks, ("WebSocket 3", "progress"), strict=True):
            recorder.watch(task, name)
        await asyncio.wait(tasks[:1])
        tasks[1].cancel()
        await asyncio.wait(tasks)
        recorder.record(End(recorder.clock(), 0))

    # then the first is reported, and in the ledger
    assert reported == ["Task 'WebSocket 3' of the load generator crashed with ValueError('of no use')."]
    assert [record.task for record in read(tmp_path / "l").records if isinstance(record, Crash)] == ["WebSocket 3"]
