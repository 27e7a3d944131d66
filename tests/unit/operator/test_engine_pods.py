"""Queries of engine pods over real connections: the error of one pod is its result and hides no other pod."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from rtx_operator.api.spec import SmokeTest
from rtx_operator.cluster import engine_pods
from rtx_operator.cluster.engine_pods import EnginePods
from rtx_operator.observation import Object
from rtx_operator.pod_reports import EngineReport, ReachReport, SmokeResult

SECRET = "peer"
STATUS = {
    "pod": "",
    "colour": "green",
    "version": "1.1.0",
    "epoch": 2,
    "executors": ["blue"],
    "executing": False,
    "draining": False,
    "ending": False,
    "websockets": 0,
    "quiet_seconds": 7.5,
    "forwarded": 0,
    "drained_connections": 0,
    "executed": None,
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Pods:
    """Pods on 127.0.0.1 to 127.0.0.99, which all have one port; each results as its handlers do."""

    def __init__(self) -> None:
        self.port = 0
        self._runners: list[web.AppRunner] = []

    async def start(self, name: str, **handlers: Handler) -> Object:
        """A pod that results /internal/NAME with the handler of that name, and else 404."""
        application = web.Application()
        for path, handler in handlers.items():
            application.router.add_route("*", f"/internal/{path}", handler)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        address = f"127.0.0.{len(self._runners) + 1}"
        site = web.TCPSite(runner, address, self.port)
        await site.start()
        self.port = runner.addresses[0][1]
        self._runners.append(runner)
        return pod(name, address)

    async def stop(self) -> None:
        for runner in self._runners:
            await runner.cleanup()

    @property
    def engines(self) -> EnginePods:
        return EnginePods(SECRET, port=self.port, service_port=self.port)


def pod(name: str, address: str | None) -> Object:
    return {"metadata": {"name": name}, "status": {"podIP": address} if address else {}}


def responds(answer: Any, status: int = 200) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        if request.headers.getall("x-rtx-peer", []) != [SECRET]:
            return web.Response(status=404)
        return web.Response(status=status, text=answer if isinstance(answer, str) else json.dumps(answer))

    return handle


async def hangs(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(60)
    return web.Response()


async def breaks_off(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-length": "1000"})
    await response.prepare(request)
    await response.write(b"{")
    assert request.transport is not None
    request.transport.abort()
    return response


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(32):
        await response.write(b" " * 65536)
    return response


@pytest_asyncio.fixture
async def pods(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pods]:
    for deadline in ("REPORT_DEADLINE_SECONDS", "REACH_DEADLINE_SECONDS", "SMOKE_DEADLINE_SECONDS"):
        monkeypatch.setattr(engine_pods, deadline, 5.0)  # a slow machine answers in time, too
    pods = Pods()
    yield pods
    await pods.stop()


async def test_status_report_of_each_pod_is_returned(pods: Pods) -> None:
    queried = [await pods.start(name, status=responds({**STATUS, "pod": name})) for name in ("a", "b")]

    results = await pods.engines.query_status(queried)

    reports = [answer for answer in results.values() if isinstance(answer, EngineReport)]
    assert [(report.pod, report.quiet_seconds) for report in reports] == [("a", 7.5), ("b", 7.5)]


@pytest.mark.parametrize(
    ("handler", "error"),
    [
        (hangs, "got no answer within 5 s; check that its pods run"),
        (breaks_off, "got no answer: "),
        (endless, "more than 1048576 bytes"),
        (responds("<html>"), "is not a valid report: Invalid JSON"),
        (responds({**STATUS, "pod": "sick", "websockets": None}), "is not a valid report: websockets"),
        (responds({**STATUS, "pod": "other"}), "now belongs to pod other"),
        (
            responds("busy\nwith  something", 503),
            "returned 503 instead of 2xx: busy with something; see the pods' logs",
        ),
        (responds("", 302), "returned 302 instead of 2xx: no body"),
    ],
)
async def test_invalid_answer_is_an_error_text_and_hides_no_other_pod(pods: Pods, handler: Handler, error: str) -> None:
    sick, well = (
        await pods.start("sick", status=handler),
        await pods.start("well", status=responds({**STATUS, "pod": "well"})),
    )

    results = await pods.engines.query_status([sick, well])

    assert isinstance(results["well"], EngineReport)
    assert isinstance(results["sick"], str)
    assert error in results["sick"]


async def test_pod_without_an_address_and_a_deleted_pod_are_errors(pods: Pods) -> None:
    await pods.start("a")

    results = await pods.engines.query_status([pod("new", None), pod("gone", "127.0.0.99")])

    assert results["new"] == "it has no IP address yet; the operator retries"
    assert "GET http://127.0.0.99" in str(results["gone"])


async def test_query_with_a_wrong_secret_is_refused(pods: Pods) -> None:
    one = await pods.start("a", status=responds({**STATUS, "pod": "a"}))

    results = await EnginePods("wrong", port=pods.port).query_status([one])

    assert "returned 404" in str(results["a"])


async def test_reach_report_of_each_pod_is_returned(pods: Pods) -> None:
    answer = {"reaches": False, "colour": "green", "error": "connection refused"}
    queried = [await pods.start("a", reach=responds(answer)), await pods.start("b", reach=responds({}))]

    results = await pods.engines.query_reach(queried)

    assert results["a"] == ReachReport(reaches=False, colour="green", error="connection refused")
    assert "is not a valid report" in str(results["b"])


async def test_drain_is_requested_and_a_refusal_is_an_error_of_its_pod(pods: Pods) -> None:
    requests: list[Any] = []

    async def drains(request: web.Request) -> web.StreamResponse:
        requests.append((request.method, await request.json()))
        return web.json_response({"draining": True})

    queried = [await pods.start("a", drain=drains), await pods.start("b", drain=responds("it executes", 409))]

    results = await pods.engines.drain(queried, epoch=5, seconds=30.0)

    assert requests == [("POST", {"epoch": 5, "seconds": 30.0})]
    assert results["a"] == ""
    assert "returned 409 instead of 2xx: it executes" in results["b"]


async def test_smoke_test_passes_only_on_2xx_of_the_colour_itself(pods: Pods) -> None:
    # Given a Service with a path that works, and others that fail, redirect or hang
    requests: list[tuple[str, str | None]] = []

    async def well(request: web.Request) -> web.StreamResponse:
        requests.append((request.path_qs, request.headers.get("x-rtx-here")))
        return web.Response(status=204)

    async def redirects(request: web.Request) -> web.StreamResponse:
        raise web.HTTPTemporaryRedirect("/internal/well")

    await pods.start("service", well=well, broken=responds("no table", 500), elsewhere=redirects, late=hangs)
    paths = {"well": "/internal/well?deep=1", "broken": "/internal/broken", "elsewhere": "/internal/elsewhere"}
    paths |= {"late": "/internal/late", "astray": "//example.com/internal/well"}

    # When the smoke tests run
    results = await pods.engines.run_smoke_tests(
        "127.0.0.1", [SmokeTest(name=name, path=path) for name, path in paths.items()]
    )

    # Then only the first passes, with the header against forwarding
    assert results[0] == SmokeResult("well", passed=True, detail="")
    assert requests == [("/internal/well?deep=1", "1")]
    assert {result.name for result in results if not result.passed} == {"broken", "elsewhere", "late", "astray"}
    assert "returned 500 instead of 2xx: no table" in results[1].detail
    assert "returned 404" in results[4].detail  # the path is not taken for a host


async def test_without_a_peer_secret_no_smoke_test_passes(
    pods: Pods,
) -> None:
    async def executing_colour_responds(request: web.Request) -> web.StreamResponse:
        return web.Response()

    await pods.start("service", well=executing_colour_responds)
    stranger = EnginePods("", service_port=pods.port)

    [result] = await stranger.run_smoke_tests("127.0.0.1", [SmokeTest(name="well", path="/internal/well")])

    assert not result.passed
    assert "not run: the internal Secret has no PEER_SECRET" in result.detail


async def test_service_without_pods_passes_no_smoke_test() -> None:
    [result] = await EnginePods(SECRET, service_port=1).run_smoke_tests(
        "127.0.0.1", [SmokeTest(name="health", path="/health")]
    )

    assert not result.passed
    assert "got no answer" in result.detail
