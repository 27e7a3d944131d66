"""An engine within its limits: what strangers take leaves enough for the others."""

import asyncio
import contextlib
import json
from typing import Any

import aiohttp
import pytest
from engine_processes import Engine, Engines
from engine_traders import ORDER, Trader, status
from rtx_engine.api.login_places import OF_USER

TIMEOUT_SECONDS = 20
IDLE_SECONDS = 600  # for which clients keep a connection: longer than a test, however slow the machine


async def test_requests_beyond_the_limit_are_refused_and_probes_are_not(engines: Engines, anybody: Trader) -> None:
    # given an engine that handles one request at a time, and an order that waits for its account
    engine = await engines.start(LIMITS=json.dumps({"requests": 1}))
    alice = await anybody.open(engine, "alice")
    holder = await engines.database.connect("postgres")
    async with holder.transaction():
        await holder.execute("SELECT FROM accounts FOR UPDATE")
        order = asyncio.create_task(alice.order(engine, "one"))
        # when other requests come, then they are refused at once, and probes are answered
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while (busy := await anybody.call(engine, "GET", "/api/symbols")).status != 503:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert busy.body["error"]["reason"] == "Busy"
        assert busy.headers["retry-after"] == "1"
        assert [engine.probe(path) for path in ("/health", "/ready")] == [200, 200]
    # and the order is placed
    await holder.close()
    assert (await order).status == 201


@pytest.mark.parametrize(
    ("limits", "status_code", "reason"),
    [
        ({"max_waiting_per_account": 0}, 429, "TooManyRequests"),
        ({"max_waiting": 0, "min_waiting": 0}, 503, "Busy"),
    ],
)
async def test_reads_beyond_the_limits_are_refused_and_no_fault_of_the_release(
    engines: Engines, anybody: Trader, limits: dict[str, int], status_code: int, reason: str
) -> None:
    # given a client who is logged in, and a pod where no read may wait
    alice = await anybody.open(await engines.start(), "alice")
    engine = await engines.start(READ_LIMITS=json.dumps(limits))
    # when one comes, then it is refused
    refused = await alice.call(engine, "GET", "/api/positions")
    assert (refused.status, refused.body["error"]["reason"]) == (status_code, reason)
    assert refused.headers["retry-after"] == "1"
    # and that does not count against the release
    executed = (await status(anybody, engine))["executed"]
    assert (executed["requests"], executed["server_errors"]) == (0, 0)


async def test_websockets_count_as_connections_of_their_address(engines: Engines, anybody: Trader) -> None:
    # given an engine that takes a few connections from an address
    engine = await engines.start(MAX_CONNECTIONS_PER_ADDRESS="10")
    alice = await anybody.open(engine, "alice")
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(engine.url, connector=connector, headers=alice.headers) as session:
        # when an address opens WebSockets, then it is refused more when it has as many
        sockets: list[aiohttp.ClientWebSocketResponse] = []
        refusal = None
        while refusal is None:
            try:
                sockets.append(await session.ws_connect("/ws"))
            except aiohttp.WSServerHandshakeError as error:
                refusal = error
        assert refusal.status == 429
        assert 7 <= len(sockets) <= 10  # the engine's other clients here have kept connections
        # and when one is closed, there is room again
        await sockets.pop().close()
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while await _symbols(session) == 429:  # noqa: ASYNC110  # the engine tells nobody
                await asyncio.sleep(0.01)
        for one in sockets:
            await one.close()


async def test_idle_connections_of_strangers_give_way_to_customers(engines: Engines, anybody: Trader) -> None:
    # given a customer who keeps a connection
    engine = await engines.start(MAX_CONNECTIONS="100", LIMITS=json.dumps({"reserved_connections": 10}))
    alice = await anybody.open(engine, "alice")
    async with contextlib.AsyncExitStack() as stack:

        async def connected(*_: object) -> None:
            connections.append(engine)

        connections: list[Engine] = []
        tracing = aiohttp.TraceConfig()
        tracing.on_connection_create_end.append(connected)

        async def client(address: str) -> aiohttp.ClientSession:
            connector = aiohttp.TCPConnector(limit=1, local_addr=(address, 0), keepalive_timeout=IDLE_SECONDS)
            session = aiohttp.ClientSession(engine.url, connector=connector, trace_configs=[tracing])
            return await stack.enter_async_context(session)

        async def served(session: aiohttp.ClientSession, path: str, **headers: str) -> bool:
            """Whether the connection was taken, whatever the answer: a slow database refuses requests as well."""
            async with session.get(path, headers=headers) as answer:
                body = await answer.json()
                return body.get("error", {}).get("reason") != "TooManyConnections"

        kept = await client("127.0.0.9")
        assert await served(kept, "/api/account", **alice.headers)
        # and strangers who take the rest, each connection for one request
        strangers = [await client(f"127.0.0.{2 + number % 4}") for number in range(100)]
        assert not all([await served(stranger, "/health") for stranger in strangers])
        # when customers come from elsewhere, with more connections than were reserved for new addresses
        customers = [await client(f"127.0.0.{10 + number % 5}") for number in range(60)]
        refused = [one for one in customers if not await served(one, "/api/account", **alice.headers)]
        # then all have one, and the first one's is as before
        assert not refused
        before = len(connections)
        assert await served(kept, "/api/account", **alice.headers)
        assert len(connections) == before


async def test_streams_behind_a_proxy_are_counted_by_the_address_that_the_proxy_saw(
    engines: Engines, anybody: Trader
) -> None:
    # given a trusted proxy that adds a line of its own behind those of the client, as HAProxy does
    engine = await engines.start(MAX_CONNECTIONS_PER_ADDRESS="10", TRUSTED_PROXIES="127.0.0.0/8")
    alice = await anybody.open(engine, "alice")
    async with contextlib.AsyncExitStack() as stack:
        proxies = [
            await stack.enter_async_context(
                aiohttp.ClientSession(engine.url, connector=aiohttp.TCPConnector(local_addr=(address, 0)))
            )
            for address in ("127.0.0.2", "127.0.0.3")
        ]
        streams: list[aiohttp.ClientWebSocketResponse] = []

        async def stream(number: int) -> int:
            claims = [("x-forwarded-for", f"203.0.113.{number}"), ("x-forwarded-for", "198.51.100.7")]
            try:
                streams.append(await proxies[number % 2].ws_connect("/ws", headers=[*alice.headers.items(), *claims]))
            except aiohttp.WSServerHandshakeError as error:
                return error.status
            return 101

        # when a client says each time that it is another one, then it is not believed
        assert [await stream(number) for number in range(11)] == [101] * 10 + [429]


async def _symbols(session: aiohttp.ClientSession) -> int:
    async with session.get("/api/symbols") as answer:
        return answer.status


async def test_client_that_offers_http2_keeps_the_body_of_its_request(shared_engines: Engines) -> None:
    # when a client sends what Java's HttpClient sends first
    [engine] = shared_engines.running
    offer = {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "http2-settings": "AAEAAEAAAAIAAAABAAMAAABkAAQ"}
    credentials = {"username": "nobody", "password": "wrong-password"}
    async with (
        aiohttp.ClientSession(engine.url) as session,
        session.post("/api/login", json=credentials, headers=offer) as answer,
    ):
        # then its body arrived
        assert (answer.status, (await answer.json())["error"]["reason"]) == (401, "Unauthorized")


async def test_order_with_the_name_of_a_path_can_be_looked_up(shared_engines: Engines, anybody: Trader) -> None:
    [engine] = shared_engines.running
    alice = await anybody.open(engine, "path")
    placed = await alice.order(engine, "market")
    found = await alice.call(engine, "GET", "/api/orders/market")
    assert (placed.status, found.status) == (201, 200)
    assert found.body == placed.body
    # and another method is told both that there are
    other = await alice.call(engine, "DELETE", "/api/orders/market")
    assert (other.status, other.headers["allow"]) == (405, "GET, HEAD, POST")


async def test_quantity_is_the_same_order_however_it_is_written(shared_engines: Engines, anybody: Trader) -> None:
    [engine] = shared_engines.running
    alice = await anybody.open(engine, "written")
    orders = [{**ORDER, "client_order_id": "one", "quantity": quantity} for quantity in ("0.1", "0.10", "0.100")]
    answers = [await alice.call(engine, "POST", "/api/orders/market", order) for order in orders]
    assert [answer.status for answer in answers] == [201, 200, 200]
    assert {answer.body["quantity"] for answer in answers} == {"0.10"}


async def test_flood_of_logins_is_told_to_come_back_and_counts_against_no_release(engines: Engines) -> None:
    # given an engine of which the operator asks how it serves
    engine = await engines.start()
    credentials = {"username": "nobody", "password": "wrong-password"}
    async with aiohttp.ClientSession(engine.url, connector=aiohttp.TCPConnector(limit=0)) as session:

        async def log_in() -> tuple[int, str | None]:
            async with session.post("/api/login", json=credentials) as answer:
                return answer.status, answer.headers.get("retry-after")

        # when a hundred logins come at once
        answers = set(await asyncio.gather(*(log_in() for _ in range(100))))
    # then each is looked at or told when to come back
    assert {status for status, _ in answers} == {401, 429}
    assert all(after is not None for status, after in answers if status == 429)
    assert await _server_errors(engine) == 0


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/login", {"username": "alice", "password": "password"}),
        ("/api/password", {"password": "password", "new_password": "another password"}),
    ],
)
async def test_user_has_a_few_places_of_those_who_log_in_and_change_passwords(
    engines: Engines, anybody: Trader, path: str, body: dict[str, str]
) -> None:
    # given a database that answers no question for passwords
    engine = await engines.start()
    alice = await anybody.open(engine, "alice")
    holder = await engines.database.connect("postgres")
    try:
        await holder.execute("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        # when a user asks more often than there are places for one user of an address
        asked = [asyncio.create_task(alice.call(engine, "POST", path, body)) for _ in range(OF_USER + 2)]
        # then what is too much is refused at once
        refused, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        assert {got.result().status for got in refused} == {429}
    finally:
        await holder.close()
    statuses = [got.status for got in await asyncio.gather(*asked)]
    assert statuses.count(429) >= 2


async def _server_errors(engine: Engine) -> Any:
    headers = {"x-rtx-peer": "peer"}
    async with aiohttp.ClientSession(engine.url, headers=headers) as session, session.get("/internal/status") as answer:
        return (await answer.json())["executed"]["server_errors"]
