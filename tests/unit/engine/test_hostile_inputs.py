"""Whatever a client sends is its own fault, and is refused before the database is asked."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import hostile_inputs
import msgspec
import pytest_asyncio
from engine_postgres import TestDatabase
from engine_processes import Engine, Engines
from engine_traders import Trader
from rtx_engine.api.openapi import OPERATIONS

TIMEOUT_SECONDS = 30.0  # some are answered only when their time is over
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "M-SEARCH")
CLOSE = b"connection: close\r\n"
UPGRADE = (
    b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
    b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


@dataclass(frozen=True)
class Stranger:
    """Speaks to an engine whose database is gone: what is not refused before it asks the database gets a 503."""

    engine: Engine
    trader: bytes  # values of the Authorization header
    admin: bytes

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """The status and the body of the answer to `request`, on a connection of its own."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.engine.port, limit=1 << 20)
            try:
                writer.write(request)
                head, _, body = (await _whole_answer(reader)).partition(b"\r\n\r\n")
            finally:
                writer.close()
        assert head.startswith(b"HTTP/1.1 "), head
        return int(head[9:12]), body

    async def get(self, target: str, authorization: bytes, more: bytes = CLOSE) -> tuple[int, bytes]:
        head = b"GET %b HTTP/1.1\r\nhost: x\r\nauthorization: %b\r\n%b\r\n" % (target.encode(), authorization, more)
        return await self.send(head)

    async def post(self, path: str, body: bytes, authorization: bytes) -> tuple[int, bytes]:
        head = b"POST %b HTTP/1.1\r\nhost: x\r\nauthorization: %b\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
        return await self.send(head % (path.encode(), authorization, len(body)) + body)


async def _whole_answer(reader: asyncio.StreamReader) -> bytes:
    """What the server sends until it closes, also by a reset after bytes that it did not read."""
    parts = []
    try:
        while part := await reader.read(1 << 16):
            parts.append(part)
            if parts[0].startswith(b"HTTP/1.1 101"):
                break
    except ConnectionResetError:
        pass
    return b"".join(parts)


@pytest_asyncio.fixture
async def stranger(engines: Engines, anybody: Trader) -> AsyncIterator[Stranger]:
    engine = await engines.start()
    admin = await anybody.log_in(engine, "admin", "admin-password")
    alice = await anybody.open(engine, "alice")
    await _close(engines.database)
    yield Stranger(engine, alice.headers["authorization"].encode(), admin.headers["authorization"].encode())
    log = engine.log.read_text(errors="replace")
    assert "a request failed" not in log
    assert "Traceback" not in log


async def _close(database: TestDatabase) -> None:
    """The database refuses connections, and those that it has end."""
    connection = await database.server.connect("postgres", "postgres")
    try:
        await connection.execute(f'ALTER DATABASE "{database.name}" ALLOW_CONNECTIONS false')
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", database.name
        )
    finally:
        await connection.close()


def problem(status: int, body: bytes, allowed: Iterable[int]) -> str:
    """What is wrong with an answer to a client's fault; empty if nothing is."""
    if status not in allowed:
        return f"is answered {status}: {body[:300]!r}"
    try:
        error: Any = msgspec.json.decode(body)["error"]
    except (msgspec.DecodeError, KeyError, TypeError):
        return f"is answered {status} without our error: {body[:300]!r}"
    if not (10 <= len(error["message"]) <= 300 and error["message"].endswith(".") and error["message"].isprintable()):
        return f"is told {error['message']!r}"
    return ""


def test_every_field_and_parameter_of_the_api_is_in_the_table() -> None:
    fields = {(body.path, name) for body in hostile_inputs.BODIES for name in body.hostile}
    places = {url.target.partition("=%s")[0] for url in hostile_inputs.URLS}
    for operation in OPERATIONS:
        described = operation.body.__struct_fields__ if operation.body is not None else ()
        assert {(operation.path, name) for name in described} <= fields
        for parameter in operation.parameters:
            in_path = operation.path.replace(f"{{{parameter.name}}}", "%s")
            in_query = f"{operation.path}?{parameter.name}"
            assert {in_path if parameter.place == "path" else in_query} <= places


async def test_database_is_asked_by_a_good_request(stranger: Stranger) -> None:
    # A control: without it, an engine that answers 400 to everything would pass the other tests.
    good = b'{"client_order_id": "one", "symbol": "EURUSD", "side": "buy", "quantity": "0.10"}'
    assert (await stranger.post("/api/orders/market", good, stranger.trader))[0] == 503
    assert (await stranger.post("/api/login", b'{"username": "alice", "password": "x"}', b""))[0] == 503
    assert (await stranger.get("/api/orders/market", stranger.trader))[0] == 503
    good = '{"id": "one", "amount": "1.00", "reason": "Überweisung, 銀行"}'.encode()
    assert (await stranger.post("/api/admin/accounts/1/deposits", good, stranger.admin))[0] == 503


async def test_hostile_values_in_bodies_are_the_clients_fault(stranger: Stranger) -> None:
    found = {}
    for hostile in hostile_inputs.BODIES:
        authorization = stranger.admin if "admin" in hostile.path else stranger.trader
        for what, body in hostile.requests():
            answer = await stranger.post(hostile.path.replace("{account_id}", "1"), body, authorization)
            found[hostile.path, what] = problem(*answer, (400, 401, 413))
    assert not _told(found)


async def test_hostile_values_in_urls_are_the_clients_fault(stranger: Stranger) -> None:
    found = {}
    for url in hostile_inputs.URLS:
        more = UPGRADE if url.target.startswith("/ws") else CLOSE
        for what, target in url.targets():
            answer = (
                await stranger.get(target, stranger.trader, more)
                if url.body is None
                else await stranger.post(target, url.body, stranger.admin)
            )
            found[url.target, what] = problem(*answer, (400, 401, 404))
    assert not _told(found)


async def test_hostile_paths_are_the_clients_fault(stranger: Stranger) -> None:
    found = {}
    for path in hostile_inputs.PATHS:
        for more in (CLOSE, UPGRADE):
            found[path, more] = problem(*await stranger.get(path, stranger.trader, more), (400, 404))
    assert not _told(found)


async def test_hostile_tokens_are_the_clients_fault(stranger: Stranger) -> None:
    found = {}
    for what, value in hostile_inputs.AUTHORIZATIONS.items():
        for target, more in (("/api/account", CLOSE), ("/ws", UPGRADE)):
            found[target, what] = problem(*await stranger.get(target, value, more), (400, 401))
    assert not _told(found)


async def test_requests_that_are_none_are_the_clients_fault(stranger: Stranger) -> None:
    answers = await asyncio.gather(*(stranger.send(request) for request in hostile_inputs.RAW.values()))
    allowed = (400, 404, 405, 408, 413, 414, 431)
    assert not _told(
        {what: problem(*answer, allowed) for what, answer in zip(hostile_inputs.RAW, answers, strict=True)}
    )


async def test_no_method_of_any_path_is_a_server_fault(stranger: Stranger) -> None:
    described = {(operation.method.upper(), operation.path) for operation in OPERATIONS}
    described.add(("GET", "/api/orders/market"))  # the order with that id
    paths = {path for _, path in described} | {"/docs", "/openapi.json", "/internal/drain"}
    headers = {"authorization": stranger.trader.decode()}
    found = {}
    async with aiohttp.ClientSession(stranger.engine.url, headers=headers) as session:
        for path, method in itertools.product(sorted(paths), METHODS):
            if not {(method, path), ("GET" if method == "HEAD" else method, path)} & described:
                target = path.replace("{client_order_id}", "\x00").replace("{account_id}", "1")
                async with session.request(method, target) as answer:
                    found[method, path] = f"is answered {answer.status}" if answer.status >= 500 else ""
    assert not _told(found)


def _told(found: Mapping[Any, str]) -> str:
    """A line for each problem."""
    return "\n".join(f"{what} {problem}" for what, problem in found.items() if problem)
