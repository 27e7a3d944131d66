"""The HTTP API of a real server process on a real PostgreSQL and Redis."""

import asyncio
import datetime as dt
import json
import re
import secrets
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import aiohttp
import openapi_spec_validator
import pytest
import pytest_asyncio
from rtx_engine.domain.pricing import STALE_AFTER

ADMIN_PASSWORD = "admin-password"
SENTENCE = re.compile(r"^[^\n]{10,300}\.$")


@dataclass
class Client:
    """Speaks to an engine, as one account."""

    session: aiohttp.ClientSession
    token: str | None = None
    username: str = ""

    async def call(self, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        async with self.session.request(method, path, json=body, headers=headers, **options) as answer:
            return answer.status, await answer.json()

    async def login(self, username: str, password: str) -> "Client":
        status, answer = await self.call("POST", "/api/login", {"username": username, "password": password})
        assert status == 200, answer
        return Client(self.session, answer["token"], username)

    async def order(self, client_order_id: str, **changes: Any) -> tuple[int, Any]:
        body = {"client_order_id": client_order_id, "symbol": "EURUSD", "side": "buy", "quantity": "0.10", **changes}
        return await self.call("POST", "/api/orders/market", body)


def account(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "username": name,
        "password": f"password of {name}",
        "currency": "USD",
        "balance": "10000.00",
        "leverage": 100,
        **changes,
    }


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A username of the test's own: the tests share an engine."""
    return f"{request.node.name[:40]} {secrets.token_hex(4)}"


@pytest_asyncio.fixture
async def anybody(shared_engines: Any) -> AsyncIterator[Client]:
    timeout = aiohttp.ClientTimeout(total=20)
    async with aiohttp.ClientSession(shared_engines.running[0].url, timeout=timeout) as session:
        yield Client(session)


@pytest_asyncio.fixture
async def admin(anybody: Client) -> Client:
    return await anybody.login("admin", ADMIN_PASSWORD)


async def opened(admin: Client, name: str) -> Client:
    status, answer = await admin.call("POST", "/api/admin/accounts", account(name))
    assert status == 201, answer
    return await admin.login(name, f"password of {name}")


@pytest_asyncio.fixture
async def alice(admin: Client, name: str) -> Client:
    return await opened(admin, name)


async def test_an_account_is_opened_once_and_can_log_in(admin: Client, name: str) -> None:
    # when the administrator opens the same account twice
    first = await admin.call("POST", "/api/admin/accounts", account(name))
    second = await admin.call("POST", "/api/admin/accounts", account(name))
    # then it exists once, and its owner sees it
    assert first[0] == 201
    assert (second[0], second[1]["error"]["reason"]) == (409, "Conflict")
    owner = await admin.login(name, f"password of {name}")
    status, seen = await owner.call("GET", "/api/account")
    assert (status, seen) == (200, first[1])
    assert (seen["balance"], seen["leverage"], seen["currency"]) == ("10000.00", 100, "USD")


async def test_wrong_password_and_unknown_user_get_the_same_response(alice: Client) -> None:
    answers = [
        await alice.call("POST", "/api/login", {"username": username, "password": "wrong password"})
        for username in (alice.username, "nobody", "admin")
    ]
    assert [status for status, _ in answers] == [401, 401, 401]
    assert len({json.dumps(answer) for _, answer in answers}) == 1


async def test_order_is_filled_at_the_quote_and_in_all_responses(alice: Client, shared_engines: Any) -> None:
    # when an order is placed
    status, order = await alice.order("one")
    # then it is filled at a price with the symbol's digits, by the colour and epoch that the fence names
    assert status == 201, order
    assert (order["status"], order["side"], order["quantity"]) == ("filled", "buy", "0.10")
    assert (order["epoch"], order["colour"], order["sequence"]) == (1, "blue", 1)
    assert re.fullmatch(r"\d+\.\d{5}", order["price"])
    # and the order, the list, the position and the database tell the same
    assert await alice.call("GET", "/api/orders/one") == (200, order)
    assert (await alice.call("GET", "/api/orders"))[1]["orders"] == [order]
    [position] = (await alice.call("GET", "/api/positions"))[1]["positions"]
    assert (position["symbol"], Decimal(position["quantity"])) == ("EURUSD", Decimal("0.10"))
    assert Decimal(position["average_price"]) == Decimal(order["price"])
    [row] = await shared_engines.database.execute(
        "SELECT price FROM fills WHERE order_id = $1", uuid.UUID(order["order_id"])
    )
    assert row["price"] == Decimal(order["price"])


async def test_repeated_order_gets_the_first_response_and_another_order_a_conflict(alice: Client) -> None:
    first = await alice.order("one")
    again = await alice.order("one")
    other = await alice.order("one", quantity="0.20")
    assert (first[0], again[0]) == (201, 200)
    assert again[1] == first[1]
    assert (other[0], other[1]["error"]["reason"]) == (409, "Conflict")
    assert len((await alice.call("GET", "/api/orders"))[1]["orders"]) == 1


async def test_the_same_order_sent_ten_times_at_once_is_filled_once(alice: Client) -> None:
    answers = await asyncio.gather(*(alice.order("one") for _ in range(10)))
    assert sorted(status for status, _ in answers) == [200] * 9 + [201]
    assert len({answer["order_id"] for _, answer in answers}) == 1
    [position] = (await alice.call("GET", "/api/positions"))[1]["positions"]
    assert Decimal(position["quantity"]) == Decimal("0.10")


async def test_an_order_beyond_the_margin_is_recorded_as_rejected(alice: Client) -> None:
    # when 100 lots are bought with 10,000 dollars
    status, answer = await alice.order("large", quantity="100")
    # then a sentence says why, the record stays, and asking again gives the same answer
    assert status == 422
    assert answer["error"]["reason"] == "InsufficientMargin"
    assert SENTENCE.match(answer["error"]["message"])
    assert (answer["order"]["status"], answer["order"]["reason"]) == ("rejected", "InsufficientMargin")
    assert await alice.call("GET", "/api/orders/large") == (200, answer["order"])
    assert await alice.order("large", quantity="100") == (422, answer)
    assert (await alice.call("GET", "/api/positions"))[1]["positions"] == []


async def test_no_order_is_filled_on_a_stale_quote(engines: Any) -> None:
    # given an engine whose prices have stopped
    an_hour_ago = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
    engine = await engines.start(PRICES_STOPPED_AT=an_hour_ago.isoformat())
    async with aiohttp.ClientSession(engine.url) as session:
        alice = await opened(await Client(session).login("admin", ADMIN_PASSWORD), "alice")
        # when an order comes, then it is rejected for that
        status, answer = await alice.order("one")
        assert (status, answer["error"]["reason"]) == (422, "StaleQuote")


async def test_orders_are_paged_newest_first(alice: Client) -> None:
    for number in range(5):
        assert (await alice.order(f"order {number}"))[0] == 201
    _, first = await alice.call("GET", "/api/orders?limit=3")
    _, second = await alice.call("GET", f"/api/orders?limit=3&before={first['next_before']}")
    ids = [order["client_order_id"] for page in (first, second) for order in page["orders"]]
    assert ids == [f"order {number}" for number in (4, 3, 2, 1, 0)]
    assert second["next_before"] is None


async def test_orders_are_listed_by_symbol(alice: Client) -> None:
    for number, symbol in enumerate(["EURUSD", "XAUUSD", "EURUSD", "EURUSD"]):
        assert (await alice.order(f"order {number}", symbol=symbol, quantity="0.01"))[0] == 201
    _, first = await alice.call("GET", "/api/orders?symbol=EURUSD&limit=2")
    _, second = await alice.call("GET", f"/api/orders?symbol=EURUSD&limit=2&before={first['next_before']}")
    ids = [order["client_order_id"] for page in (first, second) for order in page["orders"]]
    assert ids == ["order 3", "order 2", "order 0"]
    assert (await alice.call("GET", "/api/orders?symbol=GBPUSD"))[1]["orders"] == []


async def test_fill_has_the_time_of_its_quote(alice: Client) -> None:
    _, filled = await alice.order("filled")
    _, rejected = await alice.order("rejected", quantity="100")
    quoted, executed = (dt.datetime.fromisoformat(filled[name]) for name in ("quoted_at", "executed_at"))
    assert dt.timedelta(0) <= executed - quoted <= STALE_AFTER
    assert "quoted_at" not in rejected["order"]
    assert (await alice.call("GET", "/api/orders/filled"))[1] == filled


async def test_an_order_is_found_whatever_printable_characters_its_id_has(alice: Client) -> None:
    _, order = await alice.order("a/b c?d%e#f")
    assert await alice.call("GET", "/api/orders/a%2Fb%20c%3Fd%25e%23f") == (200, order)


async def test_orders_of_other_accounts_are_invisible(alice: Client, admin: Client, name: str) -> None:
    bob = await opened(admin, f"{name} 2")
    await alice.order("one")
    assert (await bob.call("GET", "/api/orders/one"))[0] == 404
    assert (await bob.call("GET", "/api/positions"))[1]["positions"] == []
    assert (await bob.order("one"))[0] == 201


async def test_symbols_are_public_and_quoted(anybody: Client) -> None:
    status, answer = await anybody.call("GET", "/api/symbols")
    assert status == 200
    assert len(answer["symbols"]) >= 5
    for symbol in answer["symbols"]:
        assert 0 < Decimal(symbol["bid"]) < Decimal(symbol["ask"])
        assert -Decimal(symbol["bid"]).as_tuple().exponent == symbol["digits"]  # type: ignore[operator]


WRONG_ORDERS = {
    "no body": b"",
    "not JSON": b"{symbol: EURUSD}",
    "cut off": b'{"symbol": "EUR',
    "not UTF-8": b'{"symbol": "\xff\xfe"}',
    "a list": b"[]",
    "a string": b'"buy"',
    "nothing in it": b"{}",
    "symbol missing": b'{"client_order_id": "1", "side": "buy", "quantity": "1"}',
    "a field too many": b'{"client_order_id": "1", "symbol": "EURUSD", "side": "buy", "quantity": "1", "price": "1"}',
    "quantity a number": b'{"client_order_id": "1", "symbol": "EURUSD", "side": "buy", "quantity": 0.1}',
    "quantity no number": b'{"client_order_id": "1", "symbol": "EURUSD", "side": "buy", "quantity": "much"}',
    "quantity NaN": b'{"client_order_id": "1", "symbol": "EURUSD", "side": "buy", "quantity": "NaN"}',
    "quantity infinite": b'{"client_order_id": "1", "symbol": "EURUSD", "side": "buy", "quantity": "Infinity"}',
    "quantity negative": b'{"client_order_id": "1", "symbol": "EURUSD", "side": "buy", "quantity": "-1"}',
    "quantity zero": b'{"client_order_id": "1", "symbol": "EURUSD", "side": "buy", "quantity": "0"}',
    "quantity off the step": b'{"client_order_id": "1", "symbol": "EURUSD", "side": "buy", "quantity": "0.015"}',
    "quantity astronomical": b'{"client_order_id": "1", "symbol": "EURUSD", "side": "buy", "quantity": "1e999999"}',
    "quantity microscopic": b'{"client_order_id": "1", "symbol": "EURUSD", "side": "buy", "quantity": "1e-999999"}',
    "side unknown": b'{"client_order_id": "1", "symbol": "EURUSD", "side": "hold", "quantity": "1"}',
    "side null": b'{"client_order_id": "1", "symbol": "EURUSD", "side": null, "quantity": "1"}',
    "symbol unknown": b'{"client_order_id": "1", "symbol": "DOGEUSD", "side": "buy", "quantity": "1"}',
    "id empty": b'{"client_order_id": "", "symbol": "EURUSD", "side": "buy", "quantity": "1"}',
    "id too long": b'{"client_order_id": "%s", "symbol": "EURUSD", "side": "buy", "quantity": "1"}' % (b"x" * 65),
    "id unprintable": b'{"client_order_id": "a\\u0000b", "symbol": "EURUSD", "side": "buy", "quantity": "1"}',
    "nested a thousand deep": b"[" * 1000,
}


async def test_invalid_orders_are_refused_with_one_sentence(
    alice: Client, subtests: pytest.Subtests, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = []
    for what, body in WRONG_ORDERS.items():
        with subtests.test(what):
            headers = {"Authorization": f"Bearer {alice.token}"}
            async with alice.session.post("/api/orders/market", data=body, headers=headers) as answer:
                error = (await answer.json())["error"]
            assert (answer.status, error["reason"]) == (400, "BadRequest")
            assert SENTENCE.match(error["message"]), error["message"]
            lines.append(f"  {what:<24}{error['message']}")
    with capsys.disabled():
        print("\nWrong orders and what they are told:", *lines, sep="\n")
    # and none of them left anything behind
    assert (await alice.call("GET", "/api/orders"))[1]["orders"] == []


WRONG_ACCOUNTS = {
    "balance a float": {"balance": 1.5},
    "balance no number": {"balance": "much"},
    "balance negative": {"balance": "-1"},
    "balance below a cent": {"balance": "0.001"},
    "leverage zero": {"leverage": 0},
    "leverage a string": {"leverage": "100"},
    "currency unknown": {"currency": "DOGE"},
    "password short": {"password": "short"},
    "username empty": {"username": ""},
    "username reserved": {"username": "admin"},
    "username with a line break": {"username": "a\nb"},
    "a field too many": {"role": "admin"},
}


async def test_invalid_accounts_are_refused_with_one_sentence(admin: Client, subtests: pytest.Subtests) -> None:
    for what, change in WRONG_ACCOUNTS.items():
        with subtests.test(what):
            status, answer = await admin.call("POST", "/api/admin/accounts", account("alice", **change))
            assert (status, answer["error"]["reason"]) == (400, "BadRequest")
            assert SENTENCE.match(answer["error"]["message"]), answer["error"]["message"]


async def test_invalid_requests_are_refused_with_one_sentence(
    alice: Client, admin: Client, anybody: Client, subtests: pytest.Subtests
) -> None:
    forged = alice.token[:-4] + "AAAA" if alice.token else ""
    table: list[tuple[Client, str, str, int]] = [
        (anybody, "GET", "/api/account", 401),
        (Client(alice.session, forged), "GET", "/api/account", 401),
        (Client(alice.session, "no.token"), "POST", "/api/orders/market", 401),
        (admin, "GET", "/api/positions", 403),
        (alice, "POST", "/api/admin/accounts", 403),
        (alice, "GET", "/api/nothing", 404),
        (alice, "GET", "/", 404),
        (alice, "GET", "/api/orders/none", 404),
        (alice, "DELETE", "/api/positions", 405),
        (alice, "PUT", "/api/login", 405),
        (alice, "GET", "/api/orders?limit=0", 400),
        (alice, "GET", "/api/orders?limit=many", 400),
        (alice, "GET", "/api/orders?before=-1", 400),
        (alice, "GET", "/api/orders?symbol=DOGEUSD", 400),
    ]
    for client, method, path, status in table:
        with subtests.test(f"{method} {path}"):
            got, answer = await client.call(method, path)
            assert got == status
            assert SENTENCE.match(answer["error"]["message"]), answer["error"]["message"]


async def test_oversized_body_is_refused_and_the_connection_stays_open(alice: Client) -> None:
    # given one connection only
    connector = aiohttp.TCPConnector(limit=1)
    async with aiohttp.ClientSession(alice.session._base_url, connector=connector) as session:
        client = Client(session, alice.token)
        # when a megabyte is sent, known path or not, and then an order
        large = await client.call("POST", "/api/orders/market", "x" * 1_000_000)
        lost = await client.call("POST", "/api/nothing", "x" * 1_000_000)
        order = await client.order("after")
    # then each gets its own answer
    assert (large[0], lost[0], order[0]) == (413, 413, 201)


async def test_metrics_have_orders_latency_and_epoch(engines: Any) -> None:
    # given an engine of its own, whose counts begin at nothing
    engine = await engines.start()
    async with aiohttp.ClientSession(engine.url) as session:
        alice = await opened(await Client(session).login("admin", ADMIN_PASSWORD), "alice")
        # when one order is filled and one is rejected
        await alice.order("one")
        await alice.order("large", quantity="100")
        # then the metrics say so
        async with session.get(engine.metrics_url) as answer:
            text = await answer.text()
    assert 'rtx_orders_placed_total{symbol="EURUSD",type="market"} 1.0' in text
    assert 'rtx_order_latency_seconds_count{symbol="EURUSD"} 2.0' in text
    assert 'rtx_order_errors_total{reason="InsufficientMargin"} 1.0' in text
    assert "rtx_fence_epoch 1.0" in text
    assert "rtx_batch_size_count 2.0" in text
    assert "rtx_active_connections 0.0" in text
    assert "process_cpu_seconds_total" in text


async def test_openapi_document_is_valid_and_docs_page_loads_nothing_external(anybody: Client) -> None:
    _, document = await anybody.call("GET", "/openapi.json")
    openapi_spec_validator.validate(document)
    async with anybody.session.get("/docs") as answer:
        page = await answer.text()
    assert answer.status == 200
    assert "http://" not in page
    assert "https://" not in page


async def test_name_of_the_broker_is_told_in_its_own_letters(engines: Any) -> None:
    engine = await engines.start(BROKER_NAME="株式会社 🚀 «RTX»")
    async with aiohttp.ClientSession(engine.url) as session, session.get("/openapi.json") as answer:
        assert (await answer.json())["info"]["title"] == "株式会社 🚀 «RTX»"


async def test_responses_match_the_openapi_document(alice: Client, anybody: Client) -> None:
    _, document = await anybody.call("GET", "/openapi.json")
    schemas = document["components"]["schemas"]
    await alice.order("one")
    for path in ("/api/account", "/api/symbols", "/api/positions", "/api/orders", "/health", "/ready"):
        described = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
        _, answer = await alice.call("GET", path)
        assert set(answer) == set(schemas[described.rsplit("/", 1)[1]]["properties"]), path


async def test_fenced_order_can_be_retried(engines: Any) -> None:
    # given an engine that the fence names no more
    engine = await engines.start()
    async with aiohttp.ClientSession(engine.url) as session:
        alice = await opened(await Client(session).login("admin", ADMIN_PASSWORD), "alice")
        await engines.database.move_fence("green")
        # when an order comes, then nothing is done and the client is asked to try again
        headers = {"Authorization": f"Bearer {alice.token}"}
        order = {"client_order_id": "one", "symbol": "EURUSD", "side": "buy", "quantity": "0.10"}
        async with session.post("/api/orders/market", json=order, headers=headers) as answer:
            error = (await answer.json())["error"]
            assert (answer.status, error["reason"], answer.headers["retry-after"]) == (503, "Fenced", "1")
            assert SENTENCE.match(error["message"])
        # and when the fence names it again, the same order is filled, at the new epoch
        epoch = await engines.database.move_fence("blue")
        status, filled = await alice.order("one")
        assert (status, filled["epoch"]) == (201, epoch)
