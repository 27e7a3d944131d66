"""Forwarding while the other colour is unreachable, loses responses, or is slow."""

import asyncio
import contextlib
import itertools
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from engine_traders import Trader, knows
from rtx_engine.api import forward


async def test_short_absence_of_the_executing_colour_fails_no_order(
    engines: Any, colours: Any, anybody: Trader
) -> None:
    # given a fence that names a colour whose pod is gone
    alice = await anybody.open(colours.blue, "alice")
    colours.green.vanish()
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


async def test_forwarding_times_out_with_503_fenced(engines: Any, anybody: Trader) -> None:
    # given a fence that names a colour that does not come back
    colours = await engines.start_colours(TIMEOUTS='{"forward_seconds": 0.5}')
    alice = await anybody.open(colours.blue, "alice")
    colours.green.vanish()
    epoch = await engines.database.move_fence("green")
    await knows(anybody, colours.blue, epoch)
    # then orders and everything else are told to come again
    for got in await asyncio.gather(alice.order(colours.blue, "one"), alice.call(colours.blue, "GET", "/api/symbols")):
        assert (got.status, got.body["error"]["reason"], got.headers["retry-after"]) == (503, "Fenced", "1")
    # and nothing was done
    assert await engines.database.execute("SELECT FROM orders") == []


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
    colours.green.vanish()
    await knows(anybody, colours.blue, await engines.database.move_fence("green"))
    return alice


async def test_only_the_client_address_and_the_token_are_forwarded(colours: Any, forwarding: Trader) -> None:
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


async def test_all_lines_about_the_client_address_are_forwarded(colours: Any, forwarding: Trader) -> None:
    async def handler(_: web.Request) -> web.StreamResponse:
        return web.json_response([])

    lines = [("x-forwarded-for", "203.0.113.7"), ("x-forwarded-for", "198.51.100.7")]
    headers = [*forwarding.headers.items(), *lines]
    async with (
        in_the_place_of(colours.green, handler) as seen,
        forwarding.session.get(f"{colours.blue.url}/api/positions", headers=headers) as answer,
    ):
        assert answer.status == 200
    assert seen[0].headers.getall("x-forwarded-for") == ["203.0.113.7, 198.51.100.7, 127.0.0.1"]


async def test_order_with_a_lost_response_is_retried_with_the_same_id(colours: Any, forwarding: Trader) -> None:
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


@pytest.mark.parametrize(
    "path", ["/api/orders/market", "/api/admin/accounts/1/deposits", "/api/admin/accounts/1/revoke"]
)
@pytest.mark.parametrize(
    ("status", "next_answers"),
    [
        (503, "Overloaded"),
        (503, "none"),
        (404, "NotFound"),  # the release before executes again, and knows no such request
        (401, "Unauthorized"),  # the token has expired meanwhile
    ],
)
async def test_what_has_a_lost_response_is_never_said_not_to_be_done(
    engines: Any, anybody: Trader, status: int, next_answers: str, path: str
) -> None:
    # given what changes an account, and that the executing colour received and did not answer
    colours = await engines.start_colours(TIMEOUTS='{"forward_seconds": 1.0}')
    alice = await anybody.open(colours.blue, "alice")
    colours.green.vanish()
    await knows(anybody, colours.blue, await engines.database.move_fence("green"))
    tries = itertools.count()

    async def handler(request: web.Request) -> web.StreamResponse:
        await request.read()
        if (next(tries) == 0 or next_answers == "none") and request.transport is not None:
            request.transport.abort()
        error = {"reason": next_answers, "message": "This says nothing of the first attempt."}
        return web.json_response({"error": error}, status=status)

    # when no later attempt tells what became of it
    async with in_the_place_of(colours.green, handler) as seen:
        got = await alice.call(colours.blue, "POST", path, {})

    # then it may have been done
    assert len(seen) > 1
    assert (got.status, got.body["error"]["reason"], got.headers["retry-after"]) == (503, "OutcomeUnknown", "1")


@pytest.mark.parametrize(("status", "reason"), [(409, "Conflict"), (404, "UnknownAccount"), (422, "StaleQuote")])
async def test_what_tells_of_the_order_itself_is_passed_on_after_a_lost_response(
    colours: Any, forwarding: Trader, status: int, reason: str
) -> None:
    tries = itertools.count()

    async def handler(request: web.Request) -> web.StreamResponse:
        await request.read()
        if next(tries) == 0 and request.transport is not None:
            request.transport.abort()
        return web.json_response({"error": {"reason": reason, "message": "It is so."}}, status=status)

    async with in_the_place_of(colours.green, handler):
        got = await forwarding.order(colours.blue, "one")
    assert (got.status, got.body["error"]["reason"]) == (status, reason)


@pytest.mark.parametrize("path", ["/api/admin/accounts", "/api/password"])
async def test_what_cannot_be_repeated_is_not_retried_after_a_lost_response(
    colours: Any, forwarding: Trader, path: str
) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        await request.read()
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with in_the_place_of(colours.green, handler) as seen:
        got = await forwarding.call(colours.blue, "POST", path, {"username": secrets.token_hex(4)})
    assert (got.status, got.body["error"]["reason"], len(seen)) == (503, "OutcomeUnknown", 1)


@contextlib.asynccontextmanager
async def stalled(colours: Any) -> AsyncIterator[None]:
    """The other colour takes requests and answers none until this is left."""
    released = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path != "/api/account":
            await released.wait()
        return web.json_response({})

    async with in_the_place_of(colours.green, handler):
        try:
            yield
        finally:
            released.set()


@pytest.mark.parametrize("who", ["an account", "an address"])
async def test_forwards_of_one_sender_leave_places_and_connections_to_others(
    colours: Any, forwarding: Trader, anybody: Trader, who: str
) -> None:
    sender = forwarding if who == "an account" else anybody
    others = anybody if who == "an account" else forwarding
    async with stalled(colours):
        # given somebody who asks for more than their share, of a colour that answers them nothing
        asked = [
            asyncio.create_task(sender.call(colours.blue, "GET", "/api/symbols"))
            for _ in range(forward.MAX_FORWARDS // 5 + 20)
        ]
        first, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        # then others are forwarded, and answered
        assert (await others.call(colours.blue, "GET", "/api/account")).status == 200
    refused = [got for got in await asyncio.gather(*asked) if got.status == 429]
    assert first.pop().result() in refused
    assert len(refused) == 20
    assert {(got.body["error"]["reason"], got.headers["retry-after"]) for got in refused} == {("TooManyRequests", "1")}
