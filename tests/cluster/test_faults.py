"""The API server fails, conflicts, stalls, cuts connections: the engine comes up, and nothing ends the operator.

A small proxy stands between the operator and the real API server, and spoils what a test tells it to.
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
from cluster_support import Cluster, Engine, Operator, eventually, make_engine

Spoil = Callable[
    [web.Request], str
]  # "": pass it on; "cut": no answer; "lost": done, but no answer; else a status code


class Proxy:
    """Passes requests on to the API server but for those that `spoil` picks."""

    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        self.spoil: Spoil = lambda _: ""
        self.spoiled = 0
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
        fault = self.spoil(request)
        self.spoiled += bool(fault)
        if fault.isdecimal():
            reason = {"409": "Conflict", "429": "TooManyRequests"}.get(fault, "InternalError")
            body = {"kind": "Status", "code": int(fault), "reason": reason, "message": "spoiled by the test"}
            return web.json_response(body, status=int(fault))
        if fault == "cut":
            return _cut(request)
        headers = {
            key: value for key, value in request.headers.items() if key.lower() not in {"host", "content-length"}
        }
        async with self._session.request(
            request.method, self._server + request.raw_path, headers=headers, data=await request.read() or None
        ) as answer:
            if fault == "lost":
                await answer.read()
                return _cut(request)
            response = web.StreamResponse(
                status=answer.status, headers={"Content-Type": answer.headers.get("Content-Type", "")}
            )
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            return response


def _cut(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def _client_tls(config: dict[str, Any], folder: Path) -> ssl.SSLContext:
    """TLS as the kubeconfig says, its certificates inline or in files."""

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


Spoiled = tuple[Engine, Proxy, Operator]


@pytest.fixture
def spoiled(
    cluster: Cluster,
    namespace: str,
    start_operator: Callable[..., Operator],
    sql: Callable[[str], str],
    tmp_path: Path,
) -> Iterator[Spoiled]:
    """An engine that is not applied yet, and its operator behind a proxy."""
    proxy = Proxy(cluster.kubeconfig, tmp_path)
    operator = start_operator(namespace, namespace, kubeconfig=proxy.kubeconfig)
    eventually(operator.leads, "the operator leads")
    yield make_engine(cluster, namespace, namespace), proxy, operator
    operator.kill()
    proxy.close()


def writes(request: web.Request) -> bool:
    """Everything the operator writes but its Lease."""
    return request.method != "GET" and "/leases/" not in request.path


def every(number: int, fault: str, among: Callable[[web.Request], bool] = writes) -> Spoil:
    counter = itertools.count(1)
    return lambda request: fault if among(request) and next(counter) % number == 0 else ""


@pytest.mark.parametrize("fault", ["500", "429", "409", "cut", "lost"])
def test_an_engine_comes_up_although_every_third_write_goes_wrong(spoiled: Spoiled, fault: str):
    engine, proxy, operator = spoiled
    proxy.spoil = every(3, fault)
    engine.apply()

    engine.wait_ready()

    assert proxy.spoiled >= 5
    assert operator.process.poll() is None
    assert not [line for line in operator.lines() if "by a bug" in line]


def test_lists_that_fail_do_not_look_like_absence(spoiled: Spoiled):
    engine, proxy, _ = spoiled
    engine.apply()
    engine.wait_ready()
    before = {
        child["metadata"]["uid"] for child in engine.cluster.list("deploy,sts,svc,secret", "-n", engine.namespace)
    }

    proxy.spoil = every(4, "500", among=lambda request: request.method == "GET" and "watch" not in request.query)
    for number in range(5):
        engine.kubectl("annotate", "service", "rtx-engine", f"look=again-{number}", "--overwrite")
    eventually(lambda: proxy.spoiled >= 3, "reads went wrong")
    proxy.spoil = lambda _: ""
    engine.wait_ready()

    after = {child["metadata"]["uid"] for child in engine.cluster.list("deploy,sts,svc,secret", "-n", engine.namespace)}
    assert after == before


def test_a_status_that_somebody_else_wrote_first_is_read_again(spoiled: Spoiled):
    engine, proxy, _ = spoiled
    raced = iter(range(5))

    def race(request: web.Request) -> str:
        if (
            request.method == "PUT"
            and request.path.endswith("/tradingengines/rtx/status")
            and next(raced, None) is not None
        ):
            return "409"
        return ""

    proxy.spoil = race
    engine.apply()

    engine.wait_ready()
    assert proxy.spoiled == 5


def test_an_api_server_that_is_away_costs_the_lease_and_ends_the_process(spoiled: Spoiled):
    engine, proxy, operator = spoiled
    engine.apply()
    engine.wait_ready()

    proxy.spoil = lambda _: "cut"

    assert operator.process.wait(40) == 1
    assert sum("leadership lost" in line for line in operator.lines()) == 1
