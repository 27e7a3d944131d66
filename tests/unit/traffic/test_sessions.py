"""Tokens are renewed before they expire; what fails is in the ledger, and tried again."""

import asyncio
import datetime as dt
import json
from collections.abc import AsyncIterator, Callable

import pytest
from rtx_traffic import sessions
from rtx_traffic.accounts import Account
from rtx_traffic.connection import Target
from rtx_traffic.ledger import Kind, Record, Request
from rtx_traffic.sessions import Session, Sessions


class Engine:
    """Answers each path with its statuses, one after the other; the last one stays."""

    def __init__(self) -> None:
        self.target = Target("", "", 0)
        self.statuses: dict[str, list[int]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        body = json.loads(await reader.readexactly(int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0])))
        path = head.split()[1].decode()
        self.asked.append((path, body))
        statuses = self.statuses.get(path, [200])
        status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
        expires_at = (dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)).isoformat()
        login = {"token": f"token {len(self.asked)}", "account_id": 7, "refresh_token": "r2", "expires_at": expires_at}
        answer = json.dumps(login if status == 200 else {}).encode()
        writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(answer), answer))
        writer.close()


class Journal:
    def __init__(self) -> None:
        self.records: list[Record] = []

    def clock(self) -> float:
        return 0.0

    def record(self, record: Record) -> None:
        self.records.append(record)

    def outcomes(self) -> list[tuple[str, int | None, bool]]:
        """(path, status, whether it failed) of each request."""
        found = [record for record in self.records if isinstance(record, Request)]
        assert {request.kind for request in found} <= {Kind.SESSION}
        return [(request.path, request.status, bool(request.failed)) for request in found]


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    engine = Engine()
    server = await asyncio.start_server(engine.serve, "127.0.0.1", 0)
    async with server:
        engine.target = Target("engine", "127.0.0.1", server.sockets[0].getsockname()[1])
        yield engine


def session(refresh_token: str | None = "r1", *, minutes: float = 1.0) -> Session:  # noqa: S107
    expires_at = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=minutes)
    return Session(Account("7", "u", "first", "password", refresh_token, expires_at))


async def until_renewed(
    engine: Engine, mine: Session, monkeypatch: pytest.MonkeyPatch, done: Callable[[], bool] | None = None
) -> Journal:
    monkeypatch.setattr(sessions, "CHECK_INTERVAL_SECONDS", 0.01)
    journal = Journal()
    task = asyncio.create_task(Sessions(engine.target, [mine], journal).run())
    async with asyncio.timeout(10):
        while not (done() if done else mine.token != "first"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])
    return journal


async def test_token_is_renewed_before_it_expires(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, told = session(), []
    mine.on_renewal(lambda: told.append(mine.token))
    journal = await until_renewed(engine, mine, monkeypatch)
    assert engine.asked == [("/api/refresh", {"refresh_token": "r1"})]
    assert told == [mine.token] == ["token 1"]
    assert mine.account.refresh_token == "r2"
    assert journal.outcomes() == [("/api/refresh", 200, False)]


def test_token_that_lasts_is_left_alone() -> None:
    now = dt.datetime.now(dt.UTC)
    assert not session(minutes=10).is_due(now)
    assert not Session(Account("7", "u", "token")).is_due(now)
    assert session(minutes=4).is_due(now)


@pytest.mark.parametrize("status", [401, 404])
async def test_release_that_knows_no_refresh_is_logged_in_to(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    engine.statuses["/api/refresh"] = [status]
    journal = await until_renewed(engine, session(), monkeypatch)
    assert engine.asked[-1] == ("/api/login", {"username": "u", "password": "password"})
    assert journal.outcomes() == [("/api/refresh", status, False), ("/api/login", 200, False)]


async def test_failed_renewal_is_a_failed_request_and_tried_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.statuses["/api/login"] = [503, 200]
    journal = await until_renewed(engine, session(refresh_token=None), monkeypatch)
    assert journal.outcomes() == [("/api/login", 503, True), ("/api/login", 200, False)]
