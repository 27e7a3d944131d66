"""The API server answers with errors and conflicts, or cuts connections: the engine gets ready, the operator survives.

A small proxy between the operator and the real API server injects the faults.
"""

import asyncio
import base64
import itertools
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import ClientSession, ClientTimeout, TCPConnector, web
from cluster_support import WAIT_SECONDS, Cluster, Engine, Operator, eventually, make_engine

CUT = "cut"  # the request is not forwarded, and its connection is cut
LOST = "lost"  # the request is forwarded, and its connection is cut instead of a response
PickFault = Callable[[web.Request], str]
"""The fault for a request: empty for none, CUT, LOST, or the status code of the response."""


class Proxy:
    """Forwards requests to the API server, except those for which `pick_fault` returns a fault."""

    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        self.pick_fault: PickFault = lambda _: ""
        self.faults = 0  # injected so far
        self._config = yaml.safe_load(kubeconfig.read_text())
        self._server = self._config["clusters"][0]["cluster"]["server"]
        self._tls = _client_tls(self._config, folder)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        port = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        self.kubeconfig = folder / "proxy.kubeconfig"
        context = {"name": "rtx-lab", "context": {"cluster": "proxy", "user": "nobody"}}
        cluster = {"name": "proxy", "cluster": {"server": f"http://127.0.0.1:{port}"}}
        config = {"apiVersion": "v1", "kind": "Config", "current-context": "rtx-lab", "contexts": [context]}
        self.kubeconfig.write_text(
            yaml.safe_dump({**config, "clusters": [cluster], "users": [{"name": "nobody", "user": {}}]})
        )

    async def _start(self) -> int:
        self._session = ClientSession(connector=TCPConnector(ssl=self._tls, limit=0), timeout=ClientTimeout(total=None))
        app = web.Application(client_max_size=16 * 2**20)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)  # watches never end by themselves
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return int(self._runner.addresses[0][1])

    def close(self) -> None:
        async def stop() -> None:
            await self._runner.cleanup()
            await self._session.close()

        asyncio.run_coroutine_threadsafe(stop(), self._loop).result(90)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        fault = self.pick_fault(request)
        self.faults += bool(fault)
        if fault.isdecimal():
            reason = {"409": "Conflict", "429": "TooManyRequests"}.get(fault, "InternalError")
            body = {"kind": "Status", "code": int(fault), "reason": reason, "message": "injected by the test"}
            return web.json_response(body, status=int(fault))
        if fault == CUT:
            return _cut(request)
        headers = {
            key: value for key, value in request.headers.items() if key.lower() not in {"host", "content-length"}
        }
        async with self._session.request(
            request.method, self._server + request.raw_path, headers=headers, data=await request.read() or None
        ) as upstream:
            if fault == LOST:
                await upstream.read()
                return _cut(request)
            response = web.StreamResponse(
                status=upstream.status, headers={"Content-Type": upstream.headers.get("Content-Type", "")}
            )
            await response.prepare(request)
            async for chunk in upstream.content.iter_any():
                await response.write(chunk)
            return response


def _cut(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def _client_tls(config: dict[str, Any], folder: Path) -> ssl.SSLContext:
    """TLS with the kubeconfig's certificates, inline or in files."""

    def path(holder: dict[str, str], key: str) -> str:
        if f"{key}-data" not in holder:
            return holder[key]
        written = folder / key
        written.write_bytes(base64.b64decode(holder[f"{key}-data"]))
        return str(written)

    tls = ssl.create_default_context(cafile=path(config["clusters"][0]["cluster"], "certificate-authority"))
    user = config["users"][0]["user"]
    tls.load_cert_chain(path(user, "client-certificate"), path(user, "client-key"))
    return tls


Proxied = tuple[Engine, Proxy, Operator]


@pytest.fixture
def proxied(
    cluster: Cluster,
    namespace: str,
    start_operator: Callable[..., Operator],
    sql: Callable[[str], str],
    tmp_path: Path,
) -> Iterator[Proxied]:
    """An engine that is not applied yet, and its operator, which reaches the API server through the proxy."""
    proxy = Proxy(cluster.kubeconfig, tmp_path)
    operator = start_operator(namespace, namespace, kubeconfig=proxy.kubeconfig)
    eventually(operator.leads, "the operator leads")
    yield make_engine(cluster, namespace, namespace), proxy, operator
    operator.kill()
    proxy.close()


def is_write(request: web.Request) -> bool:
    """Whether the request is a write of another object than the Lease."""
    return request.method != "GET" and "/leases/" not in request.path


def every(number: int, fault: str, among: Callable[[web.Request], bool] = is_write) -> PickFault:
    """The fault for each `number`-th request of those that `among` picks."""
    counter = itertools.count(1)
    return lambda request: fault if among(request) and next(counter) % number == 0 else ""


@pytest.mark.parametrize("fault", ["500", "429", "409", CUT, LOST])
def test_engine_gets_ready_although_every_third_write_fails(proxied: Proxied, fault: str) -> None:
    # Given an API server that fails every third write.
    engine, proxy, operator = proxied
    proxy.pick_fault = every(3, fault)

    # When an engine is applied.
    engine.apply()

    # Then it gets ready, and the operator runs and has logged no bug.
    engine.wait_ready()
    assert proxy.faults >= 5
    assert operator.process.poll() is None
    assert not [line for line in operator.lines() if "by a bug" in line]


def test_failed_read_does_not_count_as_absence(proxied: Proxied) -> None:
    def uids() -> set[str]:
        children = engine.cluster.list("deploy,sts,svc,secret", "-n", engine.namespace)
        return {child["metadata"]["uid"] for child in children}

    # Given a ready engine.
    engine, proxy, _ = proxied
    engine.apply()
    engine.wait_ready()
    before = uids()

    # When reads fail while the operator reconciles, since a child of another kind is missing again and again.
    proxy.pick_fault = every(4, "500", among=lambda request: request.method == "GET" and "watch" not in request.query)

    def three_have_failed() -> bool:
        engine.kubectl("delete", "networkpolicy", "rtx-redis", "--ignore-not-found")
        return proxy.faults >= 3

    eventually(three_have_failed, "three reads have failed")
    proxy.pick_fault = lambda _: ""
    engine.wait_ready()

    # Then the operator has made no child again.
    assert uids() == before


def test_conflicting_status_write_is_retried(proxied: Proxied) -> None:
    # Given an API server that answers the first five writes of status with a conflict.
    engine, proxy, _ = proxied
    conflicts = iter(range(5))

    def conflict(request: web.Request) -> str:
        is_status = request.method == "PUT" and request.path.endswith("/tradingengines/rtx/status")
        return "409" if is_status and next(conflicts, None) is not None else ""

    proxy.pick_fault = conflict

    # When an engine is applied.
    engine.apply()

    # Then it gets ready, after five conflicts.
    engine.wait_ready()
    assert proxy.faults == 5


def test_operator_without_an_api_server_loses_the_lease_and_exits(proxied: Proxied) -> None:
    # Given a ready engine.
    engine, proxy, operator = proxied
    engine.apply()
    engine.wait_ready()

    # When the API server becomes unreachable.
    proxy.pick_fault = lambda _: CUT

    # Then the operator logs once that it lost the Lease, and exits with 1.
    assert operator.process.wait(WAIT_SECONDS) == 1
    assert sum("leadership lost" in line for line in operator.lines()) == 1
