"""Replay: clients that are behind get their missing events, and no false report of a lost event."""

import asyncio
import datetime as dt
import types
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from picows import WSCloseCode
from rtx_engine.domain.access import Claims, Role
from rtx_engine.domain.events import AccountEvent, EventKind
from rtx_engine.stream.catchup import MAX_CONCURRENT_REPLAYS, CatchUp
from rtx_engine.stream.connection import Connection
from rtx_engine.stream.handshake import Request


class Client:
    """The client's end of a connection: what it received, and the code it was closed with."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.closed: WSCloseCode | None = None
        self.is_disconnected = self.is_close_frame_sent = False
        self.underlying_transport = types.SimpleNamespace(
            is_closing=lambda: False,
            get_write_buffer_size=lambda: 0,
            set_write_buffer_limits=lambda **_: None,
            get_extra_info=lambda *_: types.SimpleNamespace(setsockopt=lambda *_: None),
        )

    def send(self, _kind: object, text: bytes) -> None:
        self.sent.append(msgspec.json.decode(text))

    def send_close(self, code: WSCloseCode, _why: str) -> None:
        self.closed, self.is_close_frame_sent = code, True

    def disconnect(self, _graceful: object) -> None:
        self.is_disconnected = True

    def sequences(self) -> list[int]:
        return [message["sequence"] for message in self.sent if message["type"] == "order"]


class ConnectionRegistry:
    def connected(self, connection: Connection) -> None: ...

    def disconnected(self, connection: Connection) -> None: ...

    def received(self, connection: Connection, text: bytes) -> None: ...

    def unread(self, connection: Connection, size: int) -> None: ...


@dataclass
class Log:
    """The database: it answers once `let` is set."""

    events: list[AccountEvent]
    let: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list[int] = field(default_factory=list)

    async def sequences(self, account_ids: Sequence[int]) -> dict[int, int]:
        raise NotImplementedError

    async def events_since(self, account_id: int, sequence: int, limit: int = 200) -> list[AccountEvent]:
        self.asked.append(account_id)
        await self.let.wait()
        return [event for event in self.events if event.account_id == account_id and event.sequence > sequence][:limit]


def event(account_id: int, sequence: int) -> AccountEvent:
    payload = msgspec.Raw(b'{"sequence":%d}' % sequence)
    return AccountEvent(account_id, sequence, EventKind.ORDER, payload, dt.datetime.now(dt.UTC))


def claims(account_id: int) -> Claims:
    return Claims(account_id, Role.TRADER, issued_at=0.0, expires_at=0.0, engine=None, generation=None)


def connected(account_id: int, newest: int) -> tuple[Connection, Client]:
    """A client that has got its hello and all events up to `newest`."""
    client, connection = Client(), Connection(Request(None, (), None), "", claims(account_id), ConnectionRegistry())
    connection.on_ws_connected(client)  # type: ignore[arg-type]  # the part of a WSTransport that is used
    connection.send_hello(newest, "blue")
    return connection, client


async def until_idle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
async def log() -> Log:
    return Log([event(account, sequence) for account in range(MAX_CONCURRENT_REPLAYS + 1) for sequence in (1, 2, 3)])


async def test_client_behind_gets_its_missing_events(log: Log) -> None:
    # given a client that has had event 1, when 3 comes and 2 does not
    connection, client = connected(0, newest=1)
    connection.send_event(event(0, 3), b"")
    catch_up = CatchUp(log, hub=None, colour="blue")  # type: ignore[arg-type]  # unused here
    catch_up.start_replays([connection])
    log.let.set()
    await until_idle()
    # then it gets both
    assert (client.sequences(), client.closed) == ([2, 3], None)


async def test_event_that_arrives_while_its_replay_is_queued_is_not_reported_lost(log: Log) -> None:
    # given as many replays as there may be at once, and one more client that is behind
    clients = [connected(account, newest=2) for account in range(MAX_CONCURRENT_REPLAYS + 1)]
    catch_up = CatchUp(log, hub=None, colour="blue")  # type: ignore[arg-type]
    for connection, _ in clients:
        assert connection.cursor is not None
        connection.cursor.observe(3)
        catch_up.start_replays([connection])
    await until_idle()
    last, client = clients[-1]
    assert log.asked == list(range(MAX_CONCURRENT_REPLAYS))
    # when its event comes from another pod before it is its turn
    last.send_event(event(MAX_CONCURRENT_REPLAYS, 3), b'{"type":"order","sequence":3}')
    log.let.set()
    await until_idle()
    # then it has it once, stays, and the database was not asked
    assert (client.sequences(), client.closed) == ([3], None)
    assert MAX_CONCURRENT_REPLAYS not in log.asked
    assert [client.sequences() for _, client in clients] == [[3]] * len(clients)


async def test_event_that_arrives_during_the_query_is_not_reported_lost(log: Log) -> None:
    # given a client that is behind, and a database that has nothing for it yet
    log.events.clear()
    connection, client = connected(0, newest=2)
    assert connection.cursor is not None
    connection.cursor.observe(3)
    catch_up = CatchUp(log, hub=None, colour="blue")  # type: ignore[arg-type]
    catch_up.start_replays([connection])
    await until_idle()
    # when the event comes before the database's answer
    connection.send_event(event(0, 3), b'{"type":"order","sequence":3}')
    log.let.set()
    await until_idle()
    assert (client.sequences(), client.closed) == ([3], None)


async def test_event_missing_in_the_database_closes_the_stream(log: Log) -> None:
    # given an event that is known of and nowhere to be had
    log.events[:] = [event(0, 3)]
    connection, client = connected(0, newest=1)
    assert connection.cursor is not None
    connection.cursor.observe(3)
    catch_up = CatchUp(log, hub=None, colour="blue")  # type: ignore[arg-type]
    catch_up.start_replays([connection])
    log.let.set()
    await until_idle()
    # then the client is told to begin anew, instead of waiting for ever
    assert (client.sequences(), client.closed) == ([], WSCloseCode.POLICY_VIOLATION)
    await catch_up.stop()
