"""A colour that the fence does not name answers with the other colour's word: nothing fails, nothing is done twice."""

import asyncio
import contextlib
import itertools
import json
import secrets
import signal
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from rtx_engine.api import forward
from yarl import URL

PATIENCE = 20.0  # seconds for what only has to happen
PEER = {"x-rtx-peer": "peer"}
ORDER = {"symbol": "EURUSD", "side": "buy", "quantity": "0.01"}


@dataclass(frozen=True)
class Got:
    """An answer."""

    status: int
    body: Any
    headers: Any


@dataclass
class Trader:
    """One account, at any pod; each request on a connection of its own."""

    session: aiohttp.ClientSession
    headers: dict[str, str] = field(default_factory=dict)

    async def call(self, engine: Any, method: str, path: str, body: Any = None, **headers: str) -> Got:
        url = URL(engine.url + path, encoded=True)
        async with self.session.request(method, url, json=body, headers=self.headers | headers) as answer:
            text = await answer.text()
            return Got(answer.status, json.loads(text) if text else None, answer.headers)

    async def order(self, engine: Any, client_order_id: str, **headers: str) -> Got:
        body = {**ORDER, "client_order_id": client_order_id}
        return await self.call(engine, "POST", "/api/orders/market", body, **headers)

    async def log_in(self, engine: Any, username: str, password: str) -> "Trader":
        got = await self.call(engine, "POST", "/api/login", {"username": username, "password": password})
        assert got.status == 200, got
        return Trader(self.session, {"authorization": f"Bearer {got.body['token']}"})

    async def open(self, engine: Any, username: str) -> "Trader":
        """The trader of an account that is opened for this."""
        admin = await self.log_in(engine, "admin", "admin-password")
        account = {"username": username, "password": "password", "balance": "1000000000", "leverage": 100}
        got = await admin.call(engine, "POST", "/api/admin/accounts", account)
        assert got.status == 201, got
        return await self.log_in(engine, username, "password")


@pytest_asyncio.fixture
async def anybody() -> AsyncIterator[Trader]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=30)) as session:
        yield Trader(session)


@pytest_asyncio.fixture
async def colours(engines: Any) -> Any:
    return await engines.start_colours()


async def status(trader: Trader, engine: Any) -> dict[str, Any]:
    found: dict[str, Any] = (await trader.call(engine, "GET", "/internal/status", **PEER)).body
    return found


async def knows(trader: Trader, engine: Any, epoch: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            if (await status(trader, engine))["epoch"] == epoch:
                return
            await asyncio.sleep(0.02)


async def test_what_is_asked_of_the_other_colour_is_answered_by_the_one_that_executes(
    engines: Any, colours: Any, anybody: Trader
) -> None:
    # given a fence that has moved to green
    blue, green = colours.blue, colours.green
    alice = await anybody.open(blue, "alice")
    await alice.order(blue, "before")
    epoch = await engines.database.move_fence("green")
    await knows(anybody, blue, epoch)
    # when clients go on asking blue
    placed = await alice.order(blue, "one")
    again = await alice.order(blue, "one")
    listed = await alice.call(blue, "GET", "/api/orders?limit=1")
    found = await alice.call(blue, "GET", "/api/orders/one")
    bob = await anybody.open(blue, "bob")
    wrong = [
        await anybody.call(blue, "GET", "/api/account"),
        await alice.call(blue, "GET", "/api/nothing"),
        await alice.call(blue, "DELETE", "/api/positions"),
        await alice.call(blue, "POST", "/api/orders/market", {}),
        await alice.call(
            blue, "POST", "/api/orders/market", {**ORDER, "client_order_id": "big", "quantity": "100.001"}
        ),
    ]
    # then each gets green's answer, whole
    assert (placed.status, placed.body["colour"], placed.body["epoch"]) == (201, "green", epoch)
    assert (again.status, again.body) == (200, placed.body)
    assert (listed.status, listed.body["orders"], found.body) == (200, [placed.body], placed.body)
    assert (await bob.call(blue, "GET", "/api/account")).body["username"] == "bob"
    assert [got.status for got in wrong] == [401, 404, 405, 400, 400]
    assert (wrong[0].headers["www-authenticate"], wrong[2].headers["allow"]) == ("Bearer", "GET")
    answers = [placed, again, listed, found, *wrong]
    assert {got.headers["content-type"] for got in answers} == {"application/json"}
    assert all(len(got.headers.getall("content-length")) == 1 for got in answers)
    # and both say who did what
    assert (await status(anybody, blue))["forwarded"] >= len(answers)
    assert (await status(anybody, blue))["executed"] is None
    assert (await status(anybody, green))["executed"]["requests"] >= len(answers)
    async with anybody.session.get(blue.metrics_url) as metrics:
        assert 'rtx_forwarded_requests_total{result="answered"}' in await metrics.text()
    # and what is about the pod itself is the pod's
    for path, colour in [("/health", "blue"), ("/ready", "blue"), ("/internal/status", "blue")]:
        assert (await anybody.call(blue, "GET", path, **PEER)).body["colour"] == colour


async def test_clients_connect_anew_when_the_colour_that_they_ask_drains_and_not_before(
    engines: Any, colours: Any, anybody: Trader
) -> None:
    # given a colour that hands on what it is asked, while the live Service may still lead to it
    alice = await anybody.open(colours.blue, "alice")
    epoch = await engines.database.move_fence("green")
    await knows(anybody, colours.blue, epoch)
    before = [await alice.order(colours.blue, "one"), await alice.call(colours.blue, "GET", "/api/nothing")]
    # when it is told to drain, since the Service leads elsewhere
    drain = {"epoch": epoch, "seconds": 0.0}
    assert (await anybody.call(colours.blue, "POST", "/internal/drain", drain, **PEER)).status == 200
    after = [await alice.order(colours.blue, "two"), await alice.call(colours.blue, "GET", "/api/nothing")]
    # then its clients are told to connect anew
    assert [got.headers.get("connection") for got in before] == [None, None]
    assert [got.headers.get("connection") for got in after] == ["close", "close"]
    # and no longer once it executes again
    await knows(anybody, colours.blue, await engines.database.move_fence("blue"))
    assert "connection" not in (await alice.order(colours.blue, "three")).headers


@dataclass
class Load:
    """Traders that place orders at both colours as fast as these answer, and never ask twice."""

    anybody: Trader
    engines: list[Any]
    acknowledged: dict[str, str] = field(default_factory=dict)  # order_id by client_order_id
    colours: set[str] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)
    done: bool = False

    async def goes_on(self) -> None:
        """Wait until a few more orders have been filled."""
        enough = len(self.acknowledged) + 50
        async with asyncio.timeout(PATIENCE):
            while len(self.acknowledged) < enough:  # noqa: ASYNC110  # many wait for their own; this one only looks
                await asyncio.sleep(0.02)

    async def trade(self, trader: Trader, name: str) -> None:
        for number, engine in zip(itertools.count(), itertools.cycle(self.engines)):
            if self.done:
                return
            client_order_id = f"{name}-{number}"
            try:
                got = await trader.order(engine, client_order_id)
            except (aiohttp.ClientError, TimeoutError) as error:
                self.failures.append(repr(error))
                continue
            if got.status != 201:
                self.failures.append(f"{got.status} {got.body}")
            elif got.body["client_order_id"] != client_order_id:
                self.failures.append(f"{client_order_id} was answered with {got.body}")
            else:
                self.acknowledged[client_order_id] = got.body["order_id"]
                self.colours.add(got.body["colour"])


async def trade_across_moves(engines: Any, anybody: Trader, colours: Any, moves: int) -> Load:
    load = Load(anybody, [colours.blue, colours.green])
    traders = [await anybody.open(colours.blue, f"trader {number}") for number in range(6)]
    trading = [
        asyncio.create_task(load.trade(trader, f"{number}-{lane}"))
        for number, trader in enumerate(traders)
        for lane in range(4)
    ]
    for _, colour in zip(range(moves), itertools.cycle(["green", "blue"]), strict=False):
        await load.goes_on()
        await engines.database.move_fence(colour)
    await load.goes_on()
    load.done = True
    await asyncio.gather(*trading)
    return load


async def test_twenty_moves_under_load_fail_no_order_and_double_none(
    engines: Any, colours: Any, anybody: Trader
) -> None:
    load = await trade_across_moves(engines, anybody, colours, moves=20)
    # then every order was answered, by whoever was named
    assert load.failures == []
    assert load.colours == {"blue", "green"}
    # and the database has just these, each once, under the id that was answered
    rows = await engines.database.execute("SELECT client_order_id, id, epoch FROM orders")
    assert {row["client_order_id"]: str(row["id"]) for row in rows} == load.acknowledged
    assert len(rows) == len(load.acknowledged)
    assert {row["epoch"] for row in rows} == set(range(1, 22))
    [fills] = await engines.database.execute("SELECT count(*), count(DISTINCT order_id) FROM fills")
    assert fills[0] == fills[1] == len(rows)
    # and both forwarded
    assert (await status(anybody, colours.blue))["forwarded"] > 0
    assert (await status(anybody, colours.green))["forwarded"] > 0


async def test_without_forwarding_the_same_load_counts_failures(engines: Any, anybody: Trader) -> None:
    colours = await engines.start_colours(forwarding=False)
    load = await trade_across_moves(engines, anybody, colours, moves=2)
    assert len(load.failures) > 0
    assert all("Fenced" in failure for failure in load.failures)


async def test_a_hop_is_never_sent_on_again(engines: Any, colours: Any, anybody: Trader) -> None:
    # given a pod that forwards
    alice = await anybody.open(colours.blue, "alice")
    epoch = await engines.database.move_fence("green")
    await knows(anybody, colours.blue, epoch)
    # when a peer sends it a request, knowing less than the row says
    forwarded = (await status(anybody, colours.blue))["forwarded"]
    got = await alice.order(colours.blue, "one", **PEER, **{"x-rtx-hop": "1", "x-rtx-epoch": "1"})
    # then it refuses it
    assert (got.status, got.body["error"]["reason"], got.headers["retry-after"]) == (503, "Fenced", "1")
    assert got.headers["x-rtx-version"] == (await status(anybody, colours.blue))["version"]
    assert (await status(anybody, colours.blue))["forwarded"] == forwarded
    assert await engines.database.execute("SELECT FROM orders") == []


async def test_a_hop_waits_for_the_fence_that_is_to_come(engines: Any, colours: Any, anybody: Trader) -> None:
    # given a pod that is not named yet, and a peer that knows more than the row says
    alice = await anybody.open(colours.blue, "alice")
    hop = {**PEER, "x-rtx-hop": "1", "x-rtx-epoch": "2", "x-rtx-order-id": str(uuid.uuid4())}
    asked = asyncio.create_task(alice.order(colours.green, "one", **hop))
    await asyncio.sleep(0.2)
    assert not asked.done()
    # when it is named
    await engines.database.move_fence("green")
    # then it executes, under the id that the peer has given
    got = await asked
    assert (got.status, got.body["colour"], got.body["order_id"]) == (201, "green", hop["x-rtx-order-id"])


@pytest.mark.parametrize("secret", [{}, {"x-rtx-peer": "guessed"}])
async def test_what_a_client_says_in_our_headers_is_not_believed(
    engines: Any, colours: Any, anybody: Trader, secret: dict[str, str]
) -> None:
    # given a client that claims to be a pod
    alice = await anybody.open(colours.blue, "alice")
    forged = str(uuid.uuid4())
    claims = {"x-rtx-hop": "1", "x-rtx-order-id": forged, "x-rtx-epoch": "9", **secret}
    # when it asks the colour that executes, and the one that does not
    here = await alice.order(colours.blue, "here", **claims)
    there = await alice.order(colours.green, "there", **claims)
    # then its orders are as any client's
    assert (here.status, there.status) == (201, 201)
    assert forged not in {here.body["order_id"], there.body["order_id"]}


async def test_a_smoke_test_is_answered_by_the_pod_that_it_is_sent_to(colours: Any, anybody: Trader) -> None:
    # given a colour that the fence does not name
    before = (await status(anybody, colours.green))["forwarded"]
    # when the operator asks it, and when a client claims to be the operator
    asked = await anybody.call(colours.green, "GET", "/api/symbols", **PEER, **{"x-rtx-here": "1"})
    between = (await status(anybody, colours.green))["forwarded"]
    forged = await anybody.call(colours.green, "GET", "/api/symbols", **{"x-rtx-here": "1"})
    # then only the operator learns what this very pod would answer
    assert (asked.status, forged.status) == (200, 200)
    assert (between - before, (await status(anybody, colours.green))["forwarded"] - between) == (0, 1)


async def test_a_peer_whose_order_id_is_none_is_told_so(colours: Any, anybody: Trader) -> None:
    alice = await anybody.open(colours.blue, "alice")
    got = await alice.order(colours.blue, "one", **PEER, **{"x-rtx-hop": "1", "x-rtx-order-id": "7"})
    assert (got.status, got.body["error"]["reason"]) == (400, "BadRequest")


async def test_a_colour_that_is_away_for_a_moment_fails_nobody(engines: Any, colours: Any, anybody: Trader) -> None:
    # given a fence that names a colour whose pod is gone
    alice = await anybody.open(colours.blue, "alice")
    await colours.green.terminate()
    epoch = await engines.database.move_fence("green")
    await knows(anybody, colours.blue, epoch)
    # when an order waits at the other one, and the fence comes back
    asked = asyncio.create_task(alice.order(colours.blue, "one"))
    await asyncio.sleep(0.3)
    assert not asked.done()
    await engines.database.move_fence("blue")
    # then it is executed
    got = await asked
    assert (got.status, got.body["colour"], got.body["epoch"]) == (201, "blue", epoch + 1)


async def test_patience_has_an_end(engines: Any, colours: Any, anybody: Trader) -> None:
    # given a fence that names a colour that does not come back
    alice = await anybody.open(colours.blue, "alice")
    await colours.green.terminate()
    epoch = await engines.database.move_fence("green")
    await knows(anybody, colours.blue, epoch)
    # then orders and everything else are told to come again
    for got in await asyncio.gather(alice.order(colours.blue, "one"), alice.call(colours.blue, "GET", "/api/symbols")):
        assert (got.status, got.body["error"]["reason"], got.headers["retry-after"]) == (503, "Fenced", "1")
    # and nothing was done
    assert await engines.database.execute("SELECT FROM orders") == []


async def test_back_and_forth_nothing_is_forgotten(engines: Any, colours: Any, anybody: Trader) -> None:
    alice = await anybody.open(colours.blue, "alice")
    placed = [await alice.order(colours.blue, "a")]
    for name, colour in [("b", "green"), ("c", "blue"), ("d", "green"), ("e", "blue")]:
        await engines.database.move_fence(colour)
        placed += [await alice.order(engine, f"{name}{n}") for n, engine in enumerate((colours.blue, colours.green))]
    assert [got.status for got in placed] == [201] * 9
    assert [got.body["sequence"] for got in placed] == list(range(1, 10))
    assert [got.body["colour"] for got in placed] == ["blue", *(["green"] * 2 + ["blue"] * 2) * 2]
    for engine in (colours.blue, colours.green):
        [position] = (await alice.call(engine, "GET", "/api/positions")).body["positions"]
        assert position["quantity"] == "0.09"


async def test_a_pod_that_is_told_to_end_goes_on_forwarding(engines: Any, colours: Any, anybody: Trader) -> None:
    # given a pod that forwards
    alice = await anybody.open(colours.blue, "alice")
    epoch = await engines.database.move_fence("green")
    await knows(anybody, colours.blue, epoch)
    # when it is told to end, and clients still come
    colours.blue.process.send_signal(signal.SIGTERM)
    await colours.blue.wait_for("/ready", status=503)
    placed = [await alice.order(colours.blue, str(number)) for number in range(5)]
    # then they are answered by the other colour, and the pod ends well
    assert [(got.status, got.body["colour"]) for got in placed] == [(201, "green")] * 5
    assert await asyncio.to_thread(colours.blue.process.wait, 40) == 0


async def test_clients_resume_their_stream_at_the_other_colour(engines: Any, colours: Any, anybody: Trader) -> None:
    # given a client of blue's stream
    alice = await anybody.open(colours.blue, "alice")
    async with anybody.session.ws_connect(f"{colours.blue.url}/ws", headers=alice.headers) as stream:
        assert (await stream.receive_json(timeout=PATIENCE))["type"] == "hello"
        await alice.order(colours.blue, "one")
        assert (await stream.receive_json(timeout=PATIENCE))["sequence"] == 1
        # when the fence moves and blue drains
        epoch = await engines.database.move_fence("green")
        await alice.order(colours.blue, "two")
        drain = {"epoch": epoch, "seconds": 0.0}
        assert (await anybody.call(colours.blue, "POST", "/internal/drain", drain, **PEER)).status == 200
        seen = [message.json()["sequence"] async for message in stream]
        assert stream.close_code == aiohttp.WSCloseCode.SERVICE_RESTART
    last = max([1, *seen])
    # and orders come before it is back
    for number in range(5):
        await alice.order(colours.green, f"meanwhile {number}")
    # then green has for it what it missed, in order and once
    async with anybody.session.ws_connect(f"{colours.green.url}/ws?since={last}", headers=alice.headers) as stream:
        greeting = await stream.receive_json(timeout=PATIENCE)
        assert (greeting["type"], greeting["sequence"], greeting["colour"]) == ("hello", last, "green")
        missed = [(await stream.receive_json(timeout=PATIENCE))["sequence"] for _ in range(7 - last)]
    assert missed == list(range(last + 1, 8))


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@contextlib.asynccontextmanager
async def in_the_place_of(engine: Any, handler: Handler) -> AsyncIterator[list[web.BaseRequest]]:
    """Something that answers at the Service of a pod that has ended; yields the requests that it gets."""
    seen: list[web.BaseRequest] = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        seen.append(request)
        return await handler(request)  # type: ignore[arg-type]

    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", engine.port).start()
    try:
        yield seen
    finally:
        await runner.cleanup()


@pytest_asyncio.fixture
async def forwarding(engines: Any, colours: Any, anybody: Trader) -> Trader:
    """A trader, with green's pod ended and named by the fence."""
    alice = await anybody.open(colours.blue, "alice")
    await colours.green.terminate()
    await knows(anybody, colours.blue, await engines.database.move_fence("green"))
    return alice


async def test_the_clients_address_travels_and_its_other_headers_do_not(colours: Any, forwarding: Trader) -> None:
    async def handler(_: web.Request) -> web.StreamResponse:
        return web.json_response({"said": "green"}, headers={"x-rtx-version": "9.9.9"}, status=500)

    async with in_the_place_of(colours.green, handler) as seen:
        claims = {"x-forwarded-for": "203.0.113.7", "cookie": "a=b", "x-rtx-peer": "no", "x-rtx-hop": "2"}
        got = await forwarding.call(colours.blue, "GET", "/api/orders/a%2Fb%20c?x=%2F&y", **claims)
    assert (got.status, got.body, got.headers["x-rtx-version"]) == (500, {"said": "green"}, "9.9.9")
    [request] = seen
    assert request.raw_path == "/api/orders/a%2Fb%20c?x=%2F&y"
    assert {name.lower(): value for name, value in request.headers.items() if name != "Host"} == {
        "x-forwarded-for": "203.0.113.7, 127.0.0.1",
        "x-rtx-peer": "peer",
        "x-rtx-hop": "1",
        "x-rtx-epoch": "2",
        "authorization": forwarding.headers["authorization"],
    }


async def test_an_order_whose_answer_got_lost_is_asked_for_again_under_its_id(colours: Any, forwarding: Trader) -> None:
    tries = itertools.count()

    async def handler(request: web.Request) -> web.StreamResponse:
        await request.read()
        if next(tries) < 2 and request.transport is not None:
            request.transport.abort()
        return web.json_response({}, status=201)

    async with in_the_place_of(colours.green, handler) as seen:
        got = await forwarding.order(colours.blue, "one")
    assert (got.status, len(seen)) == (201, 3)
    assert len({request.headers["x-rtx-order-id"] for request in seen}) == 1


async def test_an_account_whose_answer_got_lost_is_not_asked_for_again(colours: Any, forwarding: Trader) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        await request.read()
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with in_the_place_of(colours.green, handler) as seen:
        got = await forwarding.call(colours.blue, "POST", "/api/admin/accounts", {"username": secrets.token_hex(4)})
    assert (got.status, got.body["error"]["reason"], len(seen)) == (503, "OutcomeUnknown", 1)


async def test_too_many_at_once_are_told_so_and_the_rest_wait(colours: Any, forwarding: Trader) -> None:
    released = asyncio.Event()

    async def handler(_: web.Request) -> web.StreamResponse:
        await released.wait()
        return web.json_response({})

    async with in_the_place_of(colours.green, handler):
        asked = [
            asyncio.create_task(forwarding.call(colours.blue, "GET", "/api/symbols")) for _ in range(forward.MOST + 5)
        ]
        first, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        released.set()
        answers = await asyncio.gather(*asked)
    refused = [got for got in answers if got.status != 200]
    assert (first.pop().result().status, len(refused)) == (503, 5)
    assert {(got.body["error"]["reason"], got.headers["retry-after"]) for got in refused} == {("Busy", "1")}
