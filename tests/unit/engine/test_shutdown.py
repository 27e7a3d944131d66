"""Start and shutdown: no request fails when a pod terminates."""

import asyncio
import http.client
import json
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from cables import Cable
from engine_processes import COMMAND, QUICK_END, Engines
from free_ports import free_port

TIMEOUT_SECONDS = 20.0
PIPELINED = 8  # orders that a connection sends at once


@dataclass
class KeepAlive:
    """Places order after order on one connection, as proxies keep one, and stops when it is told to."""

    name: str
    token: str
    acknowledged: list[str] = field(default_factory=list)
    told_to_close: bool = False
    failure: str | None = None

    async def run(self, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            async with asyncio.timeout(30):
                while not self.told_to_close:
                    order_id = f"{self.name}-{len(self.acknowledged)}"
                    writer.write(order_request(self.token, order_id))
                    head = await reader.readuntil(b"\r\n\r\n")
                    length = int(next(line for line in head.split(b"\r\n") if line.startswith(b"content-length"))[16:])
                    body = await reader.readexactly(length)
                    assert head.startswith(b"HTTP/1.1 201"), body
                    self.acknowledged.append(order_id)
                    self.told_to_close = b"connection: close" in head
                    await asyncio.sleep(0.01)
                # after an answer that says so, the connection ends cleanly
                assert await reader.read() == b""
        except (OSError, asyncio.IncompleteReadError, AssertionError, TimeoutError) as error:
            self.failure = repr(error)
        finally:
            writer.close()


def order_request(token: str, order_id: str) -> bytes:
    order = {"client_order_id": order_id, "symbol": "EURUSD", "side": "buy", "quantity": "0.01"}
    body = json.dumps(order).encode()
    head = f"POST /api/orders/market HTTP/1.1\r\nhost: engine\r\nauthorization: Bearer {token}\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


async def test_sigterm_under_load_fails_no_request_and_loses_no_order(engines: Any) -> None:
    # given clients that place orders and never let their connections go
    engine = await engines.start(*COMMAND)
    async with aiohttp.ClientSession(engine.url) as session:
        token = await _trader(session, balance="1000000000")
    clients = [KeepAlive(f"client-{number}", token) for number in range(24)]
    running = [asyncio.create_task(client.run(engine.port)) for client in clients]
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while min(len(client.acknowledged) for client in clients) < 3:  # noqa: ASYNC110  # they wait for their own
            await asyncio.sleep(0.02)
    # when the pod is told to end
    exit_code = await engine.terminate()
    await asyncio.gather(*running)
    # then each client got all its answers and was told to go elsewhere, and the process ended well
    assert [client.failure for client in clients if client.failure] == []
    assert all(client.told_to_close for client in clients)
    assert min(len(client.acknowledged) for client in clients) > 1
    assert exit_code == 0, engine.log.read_text()
    # and exactly the acknowledged orders are in the database
    rows = await engines.database.execute("SELECT client_order_id FROM orders")
    assert sorted(row["client_order_id"] for row in rows) == sorted(
        order_id for client in clients for order_id in client.acknowledged
    )


@dataclass
class Pipeline:
    """Places orders one behind the other without waiting for answers, and knows which answer belongs to which order."""

    name: str
    token: str
    acknowledged: list[str] = field(default_factory=list)
    told_to_close: bool = False

    async def run(self, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        number = 0
        while not self.told_to_close:
            orders = [f"{self.name}-{number + index}" for index in range(PIPELINED)]
            number += PIPELINED
            writer.write(b"".join(order_request(self.token, order_id) for order_id in orders))
            for order_id in orders:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(next(line for line in head.split(b"\r\n") if line.startswith(b"content-length"))[16:])
                body = json.loads(await reader.readexactly(length))
                assert (head[:12], body["client_order_id"]) == (b"HTTP/1.1 201", order_id), body
                self.acknowledged.append(order_id)
                self.told_to_close = b"connection: close" in head
                if self.told_to_close:
                    break
        # orders behind an answer that says so are not placed: nothing else comes, and the connection ends cleanly
        assert await reader.read() == b""
        writer.close()


async def test_sigterm_amid_pipelined_orders_loses_none_and_mixes_up_no_answers(engines: Any) -> None:
    # given thousands of orders, of which each connection has some under way
    engine = await engines.start(*COMMAND)
    async with aiohttp.ClientSession(engine.url) as session:
        token = await _trader(session, balance="1000000000")
    clients = [Pipeline(f"client-{number}", token) for number in range(48)]
    async with asyncio.timeout(300), asyncio.TaskGroup() as running:
        for client in clients:
            running.create_task(client.run(engine.port))
        while sum(len(client.acknowledged) for client in clients) < 3000:  # noqa: ASYNC110  # they wait for their own
            await asyncio.sleep(0.02)
        # when the pod is told to end
        exit_code = await engine.terminate()
    # then exactly the acknowledged orders were placed, each once
    rows = await engines.database.execute("SELECT client_order_id FROM orders")
    acknowledged = [order_id for client in clients for order_id in client.acknowledged]
    assert sorted(row["client_order_id"] for row in rows) == sorted(acknowledged)
    assert all(client.told_to_close for client in clients)
    assert exit_code == 0, engine.log.read_text()


async def test_terminating_pod_is_not_ready_and_still_answers(engines: Any) -> None:
    # given a pod that was told to end
    engine = await engines.start()
    engine.process.send_signal(signal.SIGTERM)
    await engine.wait_for("/ready", status=503)
    # then it lives and answers new connections, once each
    assert await asyncio.to_thread(engine.probe, "/health") == 200
    connection = http.client.HTTPConnection("127.0.0.1", engine.port, timeout=TIMEOUT_SECONDS)
    connection.request("GET", "/api/symbols")
    answer = connection.getresponse()
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    connection.close()
    assert await asyncio.to_thread(engine.process.wait, 30) == 0


async def test_shutdown_closes_websockets_with_1012(engines: Any) -> None:
    engine = await engines.start(TIMEOUTS=QUICK_END)
    async with aiohttp.ClientSession(engine.url) as session:
        token = await _trader(session)
        async with session.ws_connect("/ws", headers=_bearer(token)) as websocket:
            await websocket.receive_json(timeout=TIMEOUT_SECONDS)  # hello
            # when the pod is told to end
            engine.process.send_signal(signal.SIGTERM)
            # then the socket is closed as a service that restarts closes it
            while (message := await websocket.receive(timeout=TIMEOUT_SECONDS)).type is aiohttp.WSMsgType.TEXT:
                pass
            assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1012)
    assert await asyncio.to_thread(engine.process.wait, 30) == 0


async def test_pod_without_database_is_alive_not_ready_and_stops_cleanly(engines: Any) -> None:
    # given a database that cannot be reached
    engine = engines.launch(DB_PORT="1", TIMEOUTS=QUICK_END)
    await engine.wait_for("/health")
    # then it says what it waits for
    async with aiohttp.ClientSession(engine.url) as session, session.get("/ready") as answer:
        error = (await answer.json())["error"]
        assert (answer.status, error["reason"], answer.headers["retry-after"]) == (503, "NotReady", "1")
        assert "database" in error["message"]
    assert await engine.terminate() == 0, engine.log.read_text()


async def test_requests_to_a_container_that_restarts_wait_for_its_database(engines: Engines, cable: Cable) -> None:
    # given a client of a pod whose container is killed, and a database that takes some time to answer
    port = free_port()
    killed = await engines.start(PORT=str(port))
    async with aiohttp.ClientSession(killed.url) as session:
        headers = _bearer(await _trader(session))
    killed.vanish()
    cable.delay_seconds = 0.1
    # when the client asks again as soon as the container that follows takes connections
    engine = engines.launch(PORT=str(port), DB_PORT=str(cable.port), TIMEOUTS='{"first_answer_seconds": 20}')
    async with aiohttp.ClientSession(engine.url) as session, asyncio.timeout(TIMEOUT_SECONDS):
        while True:
            try:
                answer = await session.get("/api/account", headers=headers)
                break
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.005)
        # then it gets its answer
        assert answer.status == 200, await answer.text()


async def test_readiness_survives_an_outage_of_database_and_redis(engines: Any) -> None:
    # given a pod that was ready
    engine = await engines.start()
    # when database and Redis go away
    engines.redis.stop()
    name = engines.database.name
    elsewhere = await engines.database.server.connect("postgres", "postgres")
    await elsewhere.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    await elsewhere.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
    # then it stays ready, says that orders have to wait, and takes them again when the database is back
    async with aiohttp.ClientSession(engine.url) as session:
        async with session.post("/api/login", json={"username": "alice", "password": "password"}) as answer:
            assert answer.status == 503
            assert answer.headers["retry-after"] == "1"
        assert await asyncio.to_thread(engine.probe, "/ready") == 200
        await elsewhere.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        await elsewhere.close()
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while answer.status != 401:
                await asyncio.sleep(0.05)
                async with session.post("/api/login", json={"username": "alice", "password": "password"}) as answer:
                    pass


async def test_dockers_health_check_follows_the_server(engines: Any) -> None:
    engine = await engines.start(TIMEOUTS=QUICK_END)
    command = [sys.executable, "-m", "rtx_engine.health"]
    environment = {"PORT": str(engine.port)}
    alive = await asyncio.to_thread(subprocess.run, command, env=environment, check=False)
    await engine.terminate()
    gone = await asyncio.to_thread(subprocess.run, command, env=environment, check=False)
    assert (alive.returncode, gone.returncode) == (0, 1)


@pytest.mark.parametrize("variable", ["PORT", "METRICS_PORT"])
async def test_port_in_use_is_reported_in_one_sentence(engines: Any, variable: str) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:  # noqa: S104  # as the engine listens
        port = taken.getsockname()[1]
        engine = engines.launch(**{variable: str(port)})
        assert await asyncio.to_thread(engine.process.wait, 20) == 1
    [line] = [line for line in engine.log.read_text().splitlines() if not line.startswith("{")]
    assert line == (f"Cannot listen on port {port} (Address already in use): check whether another process uses it.")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_requests_and_metrics_are_answered_over_both_families(engines: Any, address: str) -> None:
    engine = await engines.start(TIMEOUTS=QUICK_END)

    for port, path in ((engine.port, "/health"), (urlsplit(engine.metrics_url).port, "/metrics")):
        connection = http.client.HTTPConnection(address, port, timeout=TIMEOUT_SECONDS)
        await asyncio.to_thread(connection.request, "GET", path)
        assert connection.getresponse().status == 200
        connection.close()


async def test_missing_variables_are_named_in_one_line(engines: Any) -> None:
    engine = engines.launch(JWT_SECRET="", COLOUR="red")
    assert await asyncio.to_thread(engine.process.wait, 20) == 1
    [line] = engine.log.read_text().splitlines()
    assert "JWT_SECRET is not set" in line
    assert "COLOUR is 'red'" in line


async def test_logs_are_one_json_object_a_line(engines: Any) -> None:
    engine = await engines.start(TIMEOUTS=QUICK_END)
    assert await engine.terminate() == 0
    lines = [json.loads(line) for line in engine.log.read_text().splitlines()]
    assert {"serving", "stopped"} <= {line["message"] for line in lines}
    assert all(line["colour"] == "blue" and line["level"] and line["time"] for line in lines)


async def _trader(session: aiohttp.ClientSession, balance: str = "1000.00") -> str:
    """The token of an account that is opened for this."""
    body = {"username": "alice", "password": "password", "balance": balance, "leverage": 100}
    headers = _bearer(await _token(session, "admin", "admin-password"))
    async with session.post("/api/admin/accounts", json=body, headers=headers) as answer:
        assert answer.status == 201
    return await _token(session, "alice", "password")


async def _token(session: aiohttp.ClientSession, username: str, password: str) -> str:
    async with session.post("/api/login", json={"username": username, "password": password}) as answer:
        return str((await answer.json())["token"])


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
