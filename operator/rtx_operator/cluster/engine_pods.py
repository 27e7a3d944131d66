"""Queries engine pods at their own addresses, and runs smoke tests on a colour's own Service (docs/architecture.md).

An error of a pod becomes its result, as text; nothing here raises for it, so that one sick pod hides no other. All pods
are queried concurrently, each over a new connection: a kept connection to a Service could lead to a pod that the
Service no longer selects.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp

from rtx_operator.api.names import HTTP_PORT, SERVICE_PORT
from rtx_operator.api.spec import SmokeTest
from rtx_operator.observation import Object
from rtx_operator.pod_reports import EngineReport, ReachReport, ReportError, SmokeResult, engine_report, reach_report

REPORT_DEADLINE_SECONDS = 2.0
REACH_DEADLINE_SECONDS = 3.0  # the queried pod gives up its own request after 2 s
SMOKE_DEADLINE_SECONDS = 3.0
MAX_RESPONSE_BYTES = 1 << 20
PEER_HEADER = "x-rtx-peer"  # has the secret that engine pods and the operator share
HERE_HEADER = "x-rtx-here"  # beside PEER_HEADER: the pod answers itself and does not forward

_CHECK_POD = "check that its pods run and that NetworkPolicies admit the operator"
_CHECK_IMAGE = "check that spec.image is an engine that this operator supports"
_Result = TypeVar("_Result")


class _RequestError(Exception):
    """A request failed. The message has the cause and what to do."""


@dataclass(frozen=True, slots=True)
class EnginePods:
    """The engine pods of one TradingEngine. They share `secret` with each other and with the operator."""

    secret: str
    port: int = HTTP_PORT  # of a pod
    service_port: int = SERVICE_PORT  # of a colour's Service

    async def query_status(self, pods: Iterable[Object]) -> dict[str, EngineReport | str]:
        """The answers to `GET /internal/status` by pod name; for a pod without a valid answer, the error as text."""

        async def get(session: aiohttp.ClientSession, pod: Object) -> EngineReport:
            report = engine_report(await self._request(session, "GET", self._of(pod, "/internal/status")))
            if report.pod != _name(pod):
                raise _RequestError(
                    f"its IP address {_address(pod)} now belongs to pod {report.pod}; the operator retries"
                )
            return report

        return await self._of_each(pods, REPORT_DEADLINE_SECONDS, get)

    async def query_reach(self, pods: Iterable[Object]) -> dict[str, ReachReport | str]:
        """The answers to `GET /internal/reach` by pod name; for a pod without a valid answer, the error as text."""

        async def get(session: aiohttp.ClientSession, pod: Object) -> ReachReport:
            return reach_report(await self._request(session, "GET", self._of(pod, "/internal/reach")))

        return await self._of_each(pods, REACH_DEADLINE_SECONDS, get)

    async def drain(self, pods: Iterable[Object], epoch: int, seconds: float) -> dict[str, str]:
        """Request that pods, whose colour lost execution at `epoch`, close their WebSockets spread over `seconds`.

        Returns by pod name the error as text, or an empty text when the pod drains. A second request has no effect.
        """
        body = {"epoch": epoch, "seconds": seconds}

        async def post(session: aiohttp.ClientSession, pod: Object) -> str:
            await self._request(session, "POST", self._of(pod, "/internal/drain"), json=body)
            return ""

        return await self._of_each(pods, REPORT_DEADLINE_SECONDS, post)

    async def run_smoke_tests(self, host: str, tests: Iterable[SmokeTest]) -> tuple[SmokeResult, ...]:
        """Send each test to the Service `host` of an idle colour. A test passes when that colour itself answers 2xx."""
        if not self.secret:
            detail = "not run: the internal Secret has no PEER_SECRET yet; the operator generates it and retries"
            return tuple(SmokeResult(test.name, passed=False, detail=detail) for test in tests)

        async def run(session: aiohttp.ClientSession, test: SmokeTest) -> SmokeResult:
            # The pod honours HERE_HEADER only with the secret. Without it, the executing colour would answer the test.
            url = _url(host, self.service_port, test.path)
            try:
                await self._request(session, "GET", url, headers={HERE_HEADER: "1"})
            except _RequestError as error:
                detail = f"{error}; if the test itself is wrong, edit spec.rollout.smoke"
                return SmokeResult(test.name, passed=False, detail=detail)
            return SmokeResult(test.name, passed=True, detail="")

        async with self._session(SMOKE_DEADLINE_SECONDS) as session:
            return tuple(await asyncio.gather(*(run(session, test) for test in tests)))

    async def _of_each(
        self,
        pods: Iterable[Object],
        deadline: float,
        query: Callable[[aiohttp.ClientSession, Object], Awaitable[_Result]],
    ) -> dict[str, _Result | str]:
        async def result_of(session: aiohttp.ClientSession, pod: Object) -> _Result | str:
            try:
                return await query(session, pod)
            except _RequestError as error:
                return str(error)
            except ReportError as error:
                return f"its answer is not a valid report: {error}; {_CHECK_IMAGE}"

        queried = list(pods)
        async with self._session(deadline) as session:
            results = await asyncio.gather(*(result_of(session, pod) for pod in queried))
        return {_name(pod): result for pod, result in zip(queried, results, strict=True)}

    def _session(self, deadline: float) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True, limit=0),
            headers={PEER_HEADER: self.secret},
            timeout=aiohttp.ClientTimeout(total=deadline),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    def _of(self, pod: Object, path: str) -> str:
        address = _address(pod)
        if not address:
            raise _RequestError("it has no IP address yet; the operator retries")
        return _url(address, self.port, path)

    async def _request(self, session: aiohttp.ClientSession, method: str, url: str, **more: Any) -> bytes:
        """The body of a 2xx answer. Raises _RequestError, also for a redirect."""
        try:
            async with session.request(method, url, allow_redirects=False, **more) as response:
                body = await _body(response.content, f"{method} {url}")
        except TimeoutError as error:
            raise _RequestError(
                f"{method} {url} got no answer within {session.timeout.total:g} s; {_CHECK_POD}"
            ) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            cause = str(error) or type(error).__name__
            raise _RequestError(f"{method} {url} got no answer: {cause}; {_CHECK_POD}") from error
        if not 200 <= response.status < 300:
            text = " ".join(body[:200].decode(errors="replace").split())
            raise _RequestError(
                f"{method} {url} returned {response.status} instead of 2xx: {text or 'no body'}; see the pods' logs"
            )
        return body


async def _body(content: aiohttp.StreamReader, request: str) -> bytes:
    parts, size = [], 0
    async for part in content.iter_any():
        size += len(part)
        if size > MAX_RESPONSE_BYTES:
            raise _RequestError(f"{request} returned more than {MAX_RESPONSE_BYTES} bytes, the limit")
        parts.append(part)
    return b"".join(parts)


def _url(host: str, port: int, path: str) -> str:
    return f"http://[{host}]:{port}{path}" if ":" in host else f"http://{host}:{port}{path}"


def _name(pod: Object) -> str:
    return str(pod["metadata"]["name"])


def _address(pod: Object) -> str:
    return str(pod.get("status", {}).get("podIP") or "")
