"""A colour that the fence does not name forwards: no request fails, no order is executed twice."""

import asyncio
import signal
import uuid
from typing import Any

import aiohttp
import pytest
from engine_traders import ORDER, PEER, TIMEOUT_SECONDS, Trader, knows, status


async def test_requests_to_the_other_colour_are_answered_by_the_executing_one(
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
    assert (await status(anybody, green))["executed"]["requests"] >= len(answers) - len(wrong)  # 4xx is not counted
    async with anybody.session.get(blue.metrics_url) as metrics:
        assert 'rtx_forwarded_requests_total{result="answered"}' in await metrics.text()
    # and what is about the pod itself is the pod's
    for path, colour in [("/health", "blue"), ("/ready", "blue"), ("/internal/status", "blue")]:
        assert (await anybody.call(blue, "GET", path, **PEER)).body["colour"] == colour


async def test_connections_are_closed_only_while_the_colour_drains(engines: Any, colours: Any, anybody: Trader) -> None:
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


async def test_forwarded_request_is_never_forwarded_again(engines: Any, colours: Any, anybody: Trader) -> None:
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


async def test_forwarded_request_waits_for_the_fence_to_move(engines: Any, colours: Any, anybody: Trader) -> None:
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


async def test_change_of_a_password_amid_a_cutover_is_made_once(engines: Any, colours: Any, anybody: Trader) -> None:
    # given a change of a password that waits where its session is kept
    alice = await anybody.open(colours.blue, "alice")
    holder = await engines.database.connect("rtx_migrator")
    await holder.execute("BEGIN; LOCK TABLE refresh_tokens IN SHARE ROW EXCLUSIVE MODE")
    passwords = {"password": "password", "new_password": "another password"}
    asked = asyncio.create_task(alice.call(colours.blue, "POST", "/api/password", passwords))
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not await engines.database.execute("SELECT FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    # when the fence moves
    await engines.database.move_fence("green")
    await holder.close()
    got = await asked
    # then the colour that executes now has changed it
    assert got.status == 200, got.body
    await anybody.log_in(colours.green, "alice", "another password")
    assert await engines.database.execute("SELECT generation FROM users WHERE username = 'alice'") == [(1,)]


@pytest.mark.parametrize("secret", [{}, {"x-rtx-peer": "guessed"}])
async def test_peer_headers_of_clients_are_ignored(
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


async def test_smoke_test_is_not_forwarded(colours: Any, anybody: Trader) -> None:
    # given a colour that the fence does not name
    before = (await status(anybody, colours.green))["forwarded"]
    # when the operator asks it, and when a client claims to be the operator
    asked = await anybody.call(colours.green, "GET", "/api/symbols", **PEER, **{"x-rtx-here": "1"})
    between = (await status(anybody, colours.green))["forwarded"]
    forged = await anybody.call(colours.green, "GET", "/api/symbols", **{"x-rtx-here": "1"})
    # then only the operator learns what this very pod would answer
    assert (asked.status, forged.status) == (200, 200)
    assert (between - before, (await status(anybody, colours.green))["forwarded"] - between) == (0, 1)


async def test_invalid_order_id_of_a_peer_is_refused(colours: Any, anybody: Trader) -> None:
    alice = await anybody.open(colours.blue, "alice")
    got = await alice.order(colours.blue, "one", **PEER, **{"x-rtx-hop": "1", "x-rtx-order-id": "7"})
    assert (got.status, got.body["error"]["reason"]) == (400, "BadRequest")


async def test_cutover_and_back_keep_all_orders(engines: Any, colours: Any, anybody: Trader) -> None:
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


async def test_terminating_pod_continues_to_forward(engines: Any, colours: Any, anybody: Trader) -> None:
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


async def test_stream_resumes_at_the_other_colour(engines: Any, colours: Any, anybody: Trader) -> None:
    # given a client of blue's stream
    alice = await anybody.open(colours.blue, "alice")
    async with anybody.session.ws_connect(f"{colours.blue.url}/ws", headers=alice.headers) as stream:
        assert (await stream.receive_json(timeout=TIMEOUT_SECONDS))["type"] == "hello"
        await alice.order(colours.blue, "one")
        assert (await stream.receive_json(timeout=TIMEOUT_SECONDS))["sequence"] == 1
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
        greeting = await stream.receive_json(timeout=TIMEOUT_SECONDS)
        assert (greeting["type"], greeting["sequence"], greeting["colour"]) == ("hello", last, "green")
        missed = [(await stream.receive_json(timeout=TIMEOUT_SECONDS))["sequence"] for _ in range(7 - last)]
    assert missed == list(range(last + 1, 8))
