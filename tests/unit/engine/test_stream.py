"""The WebSocket stream of real server processes on a real PostgreSQL and Redis."""

import asyncio
import itertools
import json
import socket
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from engine_processes import QUICK_END

TIMEOUT_SECONDS = 20.0
ORDERS_AT_ONCE = 100  # fewer than a pod lets one account have under way


class Trader:
    """One account, on any pod."""

    def __init__(self, session: aiohttp.ClientSession, token: str) -> None:
        self.session = session
        self.token = token
        self.headers = {"Authorization": f"Bearer {token}"}

    async def order(self, engine: Any, client_order_id: str) -> dict[str, Any]:
        order = {"client_order_id": client_order_id, "symbol": "EURUSD", "side": "buy", "quantity": "0.01"}
        async with self.session.post(f"{engine.url}/api/orders/market", json=order, headers=self.headers) as answer:
            body: dict[str, Any] = await answer.json()
            assert answer.status == 201, body
            return body

    async def orders(self, engine: Any, name: str, count: int) -> list[dict[str, Any]]:
        under_way = asyncio.Semaphore(ORDERS_AT_ONCE)

        async def order(number: int) -> dict[str, Any]:
            async with under_way:
                return await self.order(engine, f"{name}-{number}")

        return list(await asyncio.gather(*(order(number) for number in range(count))))

    def stream(self, engine: Any, query: str = "") -> Any:
        return self.session.ws_connect(f"{engine.url}/ws{query}", headers=self.headers)


async def messages(stream: Any, count: int, kind: str = "order") -> list[dict[str, Any]]:
    """The next `count` messages of that type; others are passed over."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while len(found) < count:
            message = await stream.receive()
            assert message.type is aiohttp.WSMsgType.TEXT, message
            content = json.loads(message.data)
            if content["type"] == kind:
                found.append(content)
    return found


async def hello(stream: Any) -> dict[str, Any]:
    message: dict[str, Any] = await stream.receive_json(timeout=TIMEOUT_SECONDS)
    assert message["type"] == "hello"
    return message


@pytest_asyncio.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=60)) as session:
        yield session


@pytest_asyncio.fixture
async def engine(engines: Any) -> Any:
    return await engines.start()


async def log_in(session: aiohttp.ClientSession, engine: Any, username: str, password: str) -> Trader:
    credentials = {"username": username, "password": password}
    async with session.post(f"{engine.url}/api/login", json=credentials) as answer:
        assert answer.status == 200, await answer.text()
        return Trader(session, (await answer.json())["token"])


async def open_account(session: aiohttp.ClientSession, engine: Any, username: str) -> Trader:
    admin = await log_in(session, engine, "admin", "admin-password")
    account = {"username": username, "password": "password", "currency": "USD", "balance": "1000000", "leverage": 100}
    async with session.post(f"{engine.url}/api/admin/accounts", json=account, headers=admin.headers) as answer:
        assert answer.status == 201, await answer.text()
    return await log_in(session, engine, username, "password")


@pytest_asyncio.fixture
async def alice(session: aiohttp.ClientSession, engine: Any) -> Trader:
    return await open_account(session, engine, "alice")


async def test_client_gets_hello_prices_and_its_own_orders(alice: Trader, engine: Any) -> None:
    # given an order of before
    await alice.order(engine, "before")
    async with alice.stream(engine, "?symbols=EURUSD,XAUUSD") as stream:
        # then the client is told where it stands, and gets a price of each symbol
        greeting = await hello(stream)
        assert greeting["sequence"] == 1
        assert greeting["colour"] == "blue"
        ticks = await messages(stream, 2, "tick")
        assert {tick["symbol"] for tick in ticks} == {"EURUSD", "XAUUSD"}
        assert all(Decimal(tick["bid"]) < Decimal(tick["ask"]) for tick in ticks)
        # when it places an order
        order = await alice.order(engine, "one")
        # then the event tells what the answer told
        assert await messages(stream, 1) == [{"type": "order", **order}]
        assert order["sequence"] == 2
        # and prices go on
        await messages(stream, 6, "tick")


async def test_event_goes_only_to_its_account(alice: Trader, session: aiohttp.ClientSession, engine: Any) -> None:
    bob = await open_account(session, engine, "bob")
    async with alice.stream(engine) as hers, bob.stream(engine) as his:
        await hello(hers)
        await hello(his)
        await alice.orders(engine, "a", 3)
        await bob.order(engine, "b")
        [event] = await messages(his, 1)
        assert event["client_order_id"] == "b"
        assert [event["sequence"] for event in await messages(hers, 3)] == [1, 2, 3]


async def test_event_reaches_clients_of_another_pod(alice: Trader, engines: Any, engine: Any) -> None:
    other = await engines.start()
    async with alice.stream(engine) as here, alice.stream(other) as there:
        await hello(here)
        await hello(there)
        for number in range(5):
            order = await alice.order((engine, other)[number % 2], f"order-{number}")
            for stream in (here, there):
                assert await messages(stream, 1) == [{"type": "order", **order}]


async def test_resumed_stream_has_each_event_once_under_load(alice: Trader, engines: Any, engine: Any) -> None:
    # given more events than one page holds, and orders that go on at two pods
    other = await engines.start()
    await alice.orders(engine, "before", 450)
    enough = asyncio.Event()

    async def keep_ordering(pod: Any, name: str) -> int:
        for number in itertools.count():
            if enough.is_set():
                return number
            await alice.order(pod, f"{name}-{number}")
        return 0

    async with asyncio.TaskGroup() as group:
        flow = [group.create_task(keep_ordering((engine, other)[n % 2], f"flow-{n}")) for n in range(8)]
        # when clients resume from various events on
        for since in (0, 1, 449, 300):
            async with alice.stream(other, f"?since={since}") as stream:
                assert (await hello(stream))["sequence"] == since
                events = await messages(stream, 600 - since)
                assert [event["sequence"] for event in events] == list(range(since + 1, 601))
        # and one comes back again and again, at this pod and at that
        seen = 600
        for number in range(20):
            async with alice.stream((engine, other)[number % 2], f"?since={seen}") as stream:
                await hello(stream)
                events = await messages(stream, 30)
                assert [event["sequence"] for event in events] == list(range(seen + 1, seen + 31))
                seen += 30
        enough.set()
    # then all that was ordered is there, to the last
    count = 450 + sum(task.result() for task in flow)
    async with alice.stream(engine, f"?since={seen}") as stream:
        await hello(stream)
        events = await messages(stream, count - seen)
        assert [event["sequence"] for event in events] == list(range(seen + 1, count + 1))


async def test_events_arrive_during_and_after_a_redis_outage(alice: Trader, engines: Any, engine: Any) -> None:
    other = await engines.start()
    async with alice.stream(other) as stream:
        await hello(stream)
        # when Redis stops
        engines.redis.stop()
        for number in range(3):
            order = await alice.order(engine, f"without-{number}")
            assert await messages(stream, 1) == [{"type": "order", **order}]
        # when it is back
        engines.redis.start()
        orders = [await alice.order(engine, f"with-{number}") for number in range(3)]
        assert await messages(stream, 3) == [{"type": "order", **order} for order in orders]


async def test_orders_logins_and_new_pods_do_without_redis(alice: Trader, engines: Any, engine: Any) -> None:
    # given a Redis that is gone, as one scaled to no replicas is
    engines.redis.stop()
    placed = [await alice.order(engine, f"old-{number}") for number in range(3)]
    # when a pod starts meanwhile
    late = await engines.start()
    again = await log_in(alice.session, late, "alice", "password")
    placed.append(await again.order(late, "new"))
    # then all orders are placed, there as well
    assert [order["sequence"] for order in placed] == [1, 2, 3, 4]


async def test_only_the_slow_client_is_disconnected(alice: Trader, engine: Any) -> None:
    # given a client that reads nothing, and one that does
    async with alice.stream(engine, "?since=0&symbols=EURUSD") as reading:
        await hello(reading)
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", engine.port))
        deaf.sendall(
            f"GET /ws?since=0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {alice.token}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        # when there are more events than it may leave unread
        count = 1500
        await alice.orders(engine, "order", count)
        # then it is dropped, which the metrics tell, and the other gets them all
        assert [event["sequence"] for event in await messages(reading, count)] == list(range(1, count + 1))
        async with asyncio.timeout(TIMEOUT_SECONDS * 2):
            while await metric(alice.session, engine, "rtx_active_connections") != 1:  # noqa: ASYNC110  # of a process
                await asyncio.sleep(0.1)
        assert await metric(alice.session, engine, "rtx_slow_consumers_total") == 1
        deaf.close()


async def metric(session: aiohttp.ClientSession, engine: Any, name: str) -> float:
    async with session.get(engine.metrics_url) as answer:
        lines = (await answer.text()).splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


@pytest.mark.parametrize(
    ("path", "headers", "status", "reason"),
    [
        ("/ws", {"Authorization": "Bearer nonsense"}, 401, "Unauthorized"),
        ("/ws?token=nonsense", {}, 400, "BadRequest"),
        ("/nowhere", {}, 404, "NotFound"),
    ],
)
async def test_unauthorised_handshake_is_refused(
    session: aiohttp.ClientSession, engine: Any, path: str, headers: dict[str, str], status: int, reason: str
) -> None:
    upgrade = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    async with session.get(f"{engine.url}{path}", headers=headers | upgrade) as answer:
        assert (answer.status, (await answer.json())["error"]["reason"]) == (status, reason)


async def test_stream_that_is_asked_for_behind_an_order_does_not_take_its_answer(alice: Trader, engine: Any) -> None:
    # given a client that sends an order and asks for a stream without waiting for the answer
    body = b'{"client_order_id": "one", "symbol": "EURUSD", "side": "buy", "quantity": "0.01"}'
    order = f"POST /api/orders/market HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    upgrade = (
        "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    )
    token = f"Authorization: Bearer {alice.token}\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", engine.port)
    writer.write((order + token).encode() + body + (upgrade + token).encode())
    # when everything is read until the pod closes the connection
    async with asyncio.timeout(TIMEOUT_SECONDS):
        answers = await reader.read()
    writer.close()
    # then it is the answer to the order
    head, _, answer = answers.partition(b"\r\n\r\n")
    assert (head.split()[1], json.loads(answer)["client_order_id"]) == (b"201", "one")


async def test_resume_after_an_unknown_event_is_refused(alice: Trader, engine: Any) -> None:
    async with alice.stream(engine, "?since=5") as stream:
        message = await stream.receive(timeout=TIMEOUT_SECONDS)
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1008)
        assert message.extra == "since is after the last event, 0: connect without since"


async def test_close_and_ping_are_answered(alice: Trader, engine: Any) -> None:
    async with alice.stream(engine, "?symbols=EURUSD") as stream:
        await hello(stream)
        await stream.send_str("nobody asked")
        await stream.ping(b"still there?")
        await messages(stream, 4, "tick")
        assert await stream.close(code=aiohttp.WSCloseCode.OK)
        assert stream.close_code == aiohttp.WSCloseCode.OK


async def test_stream_survives_a_database_outage(alice: Trader, engines: Any, engine: Any) -> None:
    async with alice.stream(engine, "?symbols=EURUSD") as stream:
        await hello(stream)
        await messages(stream, 1, "tick")
        elsewhere = await engines.database.server.connect("postgres", "postgres")
        name = engines.database.name
        await elsewhere.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        await elsewhere.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
        # then prices go on, and who comes now is asked to come again
        await messages(stream, 4, "tick")
        async with alice.stream(engine) as early:
            assert (await early.receive(timeout=TIMEOUT_SECONDS)).data == aiohttp.WSCloseCode.TRY_AGAIN_LATER
        # when it is back, events go on
        await elsewhere.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        await elsewhere.close()
        async with alice.stream(engine, "?since=0") as later:
            await hello(later)
        order = await alice.order(engine, "after")
        assert await messages(stream, 1) == [{"type": "order", **order}]


async def test_shutdown_closes_all_streams_and_refuses_new_ones(session: aiohttp.ClientSession, engines: Any) -> None:
    # given more streams than are closed at once
    engine = await engines.start(TIMEOUTS=QUICK_END)
    traders = [await open_account(session, engine, f"trader {number}") for number in range(8)]
    streams = [await trader.stream(engine) for trader in traders for _ in range(30)]
    for stream in streams:
        await hello(stream)
    # when the pod is told to end
    ending = asyncio.create_task(engine.terminate())
    # then all are told to come back elsewhere
    for stream in streams:
        message = await stream.receive(timeout=TIMEOUT_SECONDS)
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, aiohttp.WSCloseCode.SERVICE_RESTART)
    with pytest.raises(aiohttp.ClientError):
        await traders[0].stream(engine)
    assert await ending == 0, engine.log.read_text()
