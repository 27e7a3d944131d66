"""The internal API for the operator: status, reach, drain."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from rtx_engine.stream.drain import close_evenly

TIMEOUT_SECONDS = 20.0
PEER = {"x-rtx-peer": "peer"}
NOT_EXECUTING = 409
DRAINED = aiohttp.WSCloseCode.SERVICE_RESTART


@pytest_asyncio.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session:
        yield session


async def ask(session: aiohttp.ClientSession, engine: Any, path: str = "status") -> dict[str, Any]:
    async with session.get(f"{engine.url}/internal/{path}", headers=PEER) as answer:
        assert answer.status == 200, await answer.text()
        found: dict[str, Any] = await answer.json()
        return found


async def drain(session: aiohttp.ClientSession, engine: Any, epoch: int, seconds: float = 0.0) -> int:
    body = {"epoch": epoch, "seconds": seconds}
    async with session.post(f"{engine.url}/internal/drain", json=body, headers=PEER) as answer:
        await answer.read()
        return answer.status


async def token(session: aiohttp.ClientSession, engine: Any, username: str = "alice") -> str:
    """Of an account that is opened for this."""

    async def log_in(name: str, password: str) -> str:
        body = {"username": name, "password": password}
        async with session.post(f"{engine.url}/api/login", json=body) as answer:
            return str((await answer.json())["token"])

    headers = {"Authorization": f"Bearer {await log_in('admin', 'admin-password')}"}
    account = {"username": username, "password": "password", "balance": "1000000", "leverage": 100}
    async with session.post(f"{engine.url}/api/admin/accounts", json=account, headers=headers) as answer:
        assert answer.status == 201
    return await log_in(username, "password")


async def closed(stream: aiohttp.ClientWebSocketResponse) -> int | None:
    """Read to the end; returns the code that the stream was closed with."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while (await stream.receive()).type is aiohttp.WSMsgType.TEXT:
            pass
    return stream.close_code


async def eventually(session: aiohttp.ClientSession, engine: Any, **wanted: Any) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while True:
            status = await ask(session, engine)
            if all(status[name] == value for name, value in wanted.items()):
                return
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("headers", [{}, {"x-rtx-peer": "guessed"}, {"x-rtx-peer": ""}])
async def test_internal_path_without_the_secret_is_404(
    shared_engines: Any, session: aiohttp.ClientSession, headers: dict[str, str]
) -> None:
    [engine] = shared_engines.running
    seen = set()
    for method, path in [("GET", "/internal/status"), ("POST", "/internal/drain"), ("GET", "/nothing")]:
        async with session.request(method, engine.url + path, headers=headers) as answer:
            seen.add((answer.status, await answer.text()))
    assert len(seen) == 1
    assert next(iter(seen))[0] == 404


async def test_openapi_document_omits_internal_paths(shared_engines: Any, session: aiohttp.ClientSession) -> None:
    async with session.get(f"{shared_engines.running[0].url}/openapi.json") as answer:
        assert "/internal" not in await answer.text()


async def test_status_counts_requests_served_since_the_fence_named_the_colour(
    engines: Any, session: aiohttp.ClientSession
) -> None:
    # given a pod that the fence names, and one that it does not
    blue, green = await engines.start(COLOUR="blue"), await engines.start(COLOUR="green")
    bearer = {"Authorization": f"Bearer {await token(session, blue)}"}
    before = (await ask(session, blue))["executed"]
    # when clients and probes ask
    for _ in range(3):
        async with session.get(f"{blue.url}/api/positions", headers=bearer) as answer:
            assert answer.status == 200
        await asyncio.to_thread(blue.probe, "/health")
    # then the clients' requests count, and nobody else's
    status, idle = await ask(session, blue), await ask(session, green)
    assert (status["colour"], status["pod"], status["executing"]) == ("blue", "pod-0", True)
    assert (status["epoch"], status["executors"]) == (1, ["blue"])
    assert (status["draining"], status["ending"], status["websockets"], status["forwarded"]) == (False, False, 0, 0)
    executed = status["executed"]
    assert (executed["epoch"], executed["requests"] - before["requests"], executed["server_errors"]) == (1, 3, 0)
    assert executed["latency_ms"]["upper_bounds"][-1] is None
    assert sum(executed["latency_ms"]["counts"]) == executed["requests"]
    assert status["quiet_seconds"] < (await ask(session, blue))["quiet_seconds"]  # the operator is no client
    assert (idle["executing"], idle["executed"]) == (False, None)
    # and when the fence moves, the one begins to count and the other stops
    epoch = await engines.database.move_fence("green")
    await eventually(session, blue, executing=False, executed=None)
    await eventually(session, green, executing=True)
    assert (await ask(session, green))["executed"]["epoch"] == epoch
    assert (await ask(session, green))["executed"]["requests"] == 0


async def test_only_answers_of_the_pods_own_handlers_to_clients_are_counted(
    engines: Any, session: aiohttp.ClientSession
) -> None:
    # Given a pod that executes, and one that does not
    colours = await engines.start_colours()
    blue, green = colours.blue, colours.green
    bearer = {"Authorization": f"Bearer {await token(session, blue)}"}

    async def counted() -> int:
        return int((await ask(session, blue))["executed"]["requests"])

    async def counted_after(method: str, url: str, **more: Any) -> int:
        before = await counted()
        async with session.request(method, url, **more) as answer:
            await answer.read()
        return await counted() - before

    # When clients are at fault, or the operator runs a smoke test, or a page of the pod itself is read
    # Then nothing counts
    assert await counted_after("GET", f"{blue.url}/api/positions") == 0
    assert await counted_after("GET", f"{blue.url}/api/nothing", headers=bearer) == 0
    assert await counted_after("POST", f"{blue.url}/api/orders/market", headers=bearer, data=b"{") == 0
    assert await counted_after("GET", f"{blue.url}/api/symbols", headers={**PEER, "x-rtx-here": "1"}) == 0
    assert await counted_after("GET", f"{blue.url}/docs") == 0

    # And when a client is served, also by way of the other colour, then it counts where it was handled
    assert await counted_after("GET", f"{blue.url}/api/symbols") == 1
    assert await counted_after("GET", f"{green.url}/api/positions", headers=bearer) == 1
    assert (await ask(session, green))["executed"] is None


async def test_status_names_the_revision_of_the_release(engines: Any, session: aiohttp.ClientSession) -> None:
    assert (await ask(session, await engines.start(REVISION="abc")))["revision"] == "abc"


async def test_reach_reports_whether_the_other_colour_answers(engines: Any, session: aiohttp.ClientSession) -> None:
    # given a pod of each colour
    colours = await engines.start_colours()
    assert await ask(session, colours.blue, "reach") == {"reaches": True, "colour": "green", "error": ""}
    assert await ask(session, colours.green, "reach") == {"reaches": True, "colour": "blue", "error": ""}
    # when one is gone, then the other says so in a sentence
    colours.green.vanish()
    found = await ask(session, colours.blue, "reach")
    assert (found["reaches"], found["colour"]) == (False, "green")
    assert "does not answer" in found["error"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"PEER_SECRET": "another"},
            "answers 404, as to a client: give both colours the same PEER_SECRET.",
        ),
        ({"COLOUR": "blue"}, "is answered by blue: the Service selects the wrong pods."),
    ],
)
async def test_reach_requires_the_other_colour_and_a_peer(
    engines: Any, session: aiohttp.ClientSession, changes: dict[str, str], sentence: str
) -> None:
    # given a Service for green behind which something else answers
    colours = await engines.start_colours()
    colours.green.vanish()
    await engines.start(**{"COLOUR": "green", "PORT": str(colours.green.port), **changes})
    # then blue does not say that it reaches green
    found = await ask(session, colours.blue, "reach")
    assert (found["reaches"], found["error"].endswith(sentence)) == (False, True), found


async def test_reach_without_a_peer_service_fails(engines: Any, session: aiohttp.ClientSession) -> None:
    found = await ask(session, await engines.start(), "reach")
    assert (found["reaches"], found["error"]) == (False, "PEER_SERVICE is not set: forwarding is off.")


async def test_drain_closes_all_streams_and_later_ones(engines: Any, session: aiohttp.ClientSession) -> None:
    # given clients of a colour that the fence names no more
    blue = await engines.start()
    headers = {"Authorization": f"Bearer {await token(session, blue)}"}
    streams = [await session.ws_connect(f"{blue.url}/ws", headers=headers) for _ in range(5)]
    epoch = await engines.database.move_fence("green")
    # when it is told to drain, twice
    assert await drain(session, blue, epoch, seconds=0.5) == 200
    assert await drain(session, blue, epoch, seconds=60.0) == 200
    # then all are told to come back
    assert [await closed(stream) for stream in streams] == [DRAINED] * 5
    # and one that comes now is greeted, and sent on
    late = await session.ws_connect(f"{blue.url}/ws", headers=headers)
    assert (await late.receive_json(timeout=TIMEOUT_SECONDS))["type"] == "hello"
    assert await closed(late) == DRAINED
    await eventually(session, blue, websockets=0)
    status = await ask(session, blue)
    assert (status["draining"], status["drained_connections"]) == (True, 6)
    async with session.get(blue.metrics_url) as answer:
        assert "rtx_drained_connections_total 6.0" in await answer.text()
    # and when the fence names it again, clients may stay
    await engines.database.move_fence("blue")
    await eventually(session, blue, executing=True, draining=False)
    async with session.ws_connect(f"{blue.url}/ws", headers=headers) as stays:
        await stays.receive_json(timeout=TIMEOUT_SECONDS)
        await asyncio.sleep(1.5)  # longer than a draining pod would keep it
        assert (await ask(session, blue))["websockets"] == 1
        assert not stays.closed


async def test_streams_are_closed_evenly() -> None:
    # when ten streams are closed within a second
    clock = asyncio.get_running_loop().time
    begin, closed_at = clock(), list[float]()
    await close_evenly(range(10), 1.0, lambda _: closed_at.append(clock() - begin))  # type: ignore[arg-type]
    # then each tenth of it has one
    assert all(at > number / 10 - 0.01 for number, at in enumerate(closed_at))
    assert len(closed_at) == 10


async def test_drain_with_an_outdated_epoch_is_refused(engines: Any, session: aiohttp.ClientSession) -> None:
    # given a client of the colour that the fence names
    blue = await engines.start()
    headers = {"Authorization": f"Bearer {await token(session, blue)}"}
    async with session.ws_connect(f"{blue.url}/ws", headers=headers) as stream:
        await stream.receive_json(timeout=TIMEOUT_SECONDS)
        # when someone thinks that the other one is named, now or at an epoch long gone
        assert await drain(session, blue, epoch=1) == NOT_EXECUTING
        await engines.database.move_fence("green")
        await engines.database.move_fence("green")
        assert await drain(session, blue, epoch=2) == NOT_EXECUTING
        # then the client stays
        status = await ask(session, blue)
        assert (status["draining"], status["websockets"], status["epoch"]) == (False, 1, 3)
    # and nonsense is refused
    assert await drain(session, blue, epoch=3, seconds=-1) == 400


async def test_client_that_goes_amid_its_pipelined_orders_is_no_server_error(
    engines: Any, session: aiohttp.ClientSession
) -> None:
    # given a client that sends orders, and goes at one moment or another before all are answered
    engine = await engines.start()
    key = await token(session, engine)
    for attempt in range(40):
        orders = b""
        for number in range(6):
            name = f"{attempt}-{number}"
            body = f'{{"client_order_id": "{name}", "symbol": "EURUSD", "side": "buy", "quantity": "0.01"}}'
            head = f"POST /api/orders/market HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
            orders += f"{head}content-length: {len(body)}\r\n\r\n{body}".encode()
        _, writer = await asyncio.open_connection("127.0.0.1", engine.port)
        writer.write(orders)
        await asyncio.sleep(0.0005 * (attempt % 10))
        writer.transport.abort()
    await asyncio.sleep(0.5)

    # then no release is judged by it
    assert (await ask(session, engine))["executed"]["server_errors"] == 0
