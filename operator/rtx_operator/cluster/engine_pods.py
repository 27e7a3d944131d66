"""Asks engine pods, each at its own address, and tries a colour's own Service (docs/architecture.md: the endpoints).

Whatever keeps a pod from giving a good answer is a sentence in the answer's place; nothing here raises for it, so that
one sick pod hides no other. All are asked side by side, each on a new connection: a connection that was kept could lead
to a pod that has been taken out of the Service since.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp

from rtx_operator.api.names import HTTP_PORT, SERVICE_PORT
from rtx_operator.api.rollout import SmokeTest
from rtx_operator.observation import Object
from rtx_operator.pod_reports import EngineReport, ReachReport, ReportError, SmokeResult, engine_report, reach_report

REPORT_DEADLINE_SECONDS = 2.0  # seconds
REACH_DEADLINE_SECONDS = 3.0  # seconds: the pod that is asked has 2 itself
SMOKE_DEADLINE_SECONDS = 3.0  # seconds
MAX_RESPONSE_BYTES = 1 << 20  # bytes
PEER = "x-rtx-peer"  # the secret that pods and operator share
HERE = "x-rtx-here"  # beside it: answer this yourself, whoever executes

_Answer = TypeVar("_Answer")


class _NoAnswerError(Exception):
    """No good answer came; the message says what came instead."""


@dataclass(frozen=True, slots=True)
class EnginePods:
    """The engine pods of one TradingEngine, which know each other by `secret`."""

    secret: str
    port: int = HTTP_PORT  # of the pods
    service_port: int = SERVICE_PORT

    async def ask(self, pods: Iterable[Object]) -> dict[str, EngineReport | str]:
        """How each pod is, by the pod's name; or why it does not say."""

        async def get(session: aiohttp.ClientSession, pod: Object) -> EngineReport:
            report = engine_report(await self._request(session, "GET", self._of(pod, "/internal/status")))
            if report.pod != _name(pod):
                raise _NoAnswerError(f"its address {_address(pod)} belongs to pod {report.pod} now")
            return report

        return await self._of_each(pods, REPORT_DEADLINE_SECONDS, get)

    async def reach(self, pods: Iterable[Object]) -> dict[str, ReachReport | str]:
        """Whether each pod reaches the other colour, by the pod's name; or why it does not say."""

        async def get(session: aiohttp.ClientSession, pod: Object) -> ReachReport:
            return reach_report(await self._request(session, "GET", self._of(pod, "/internal/reach")))

        return await self._of_each(pods, REACH_DEADLINE_SECONDS, get)

    async def drain(self, pods: Iterable[Object], epoch: int, seconds: float) -> dict[str, str]:
        """Tell pods whose colour lost execution at `epoch` to close their WebSockets, spread over `seconds`.

        Returns, by the pod's name, why it does not; empty when it does. Asked twice, it is done once.
        """
        body = {"epoch": epoch, "seconds": seconds}

        async def post(session: aiohttp.ClientSession, pod: Object) -> str:
            await self._request(session, "POST", self._of(pod, "/internal/drain"), json=body)
            return ""

        return await self._of_each(pods, REPORT_DEADLINE_SECONDS, post)

    async def smoke(self, host: str, tests: Iterable[SmokeTest]) -> tuple[SmokeResult, ...]:
        """Try each test on the Service `host` of an idle colour: it passes when that colour itself answers 2xx."""
        if not self.secret:
            said = "not tried: the Secret by which engine pods know the operator has no value yet"
            return tuple(SmokeResult(test.name, passed=False, detail=said) for test in tests)

        async def run(session: aiohttp.ClientSession, test: SmokeTest) -> SmokeResult:
            # The secret lets the colour answer by itself. Without it, it would have the colour that executes answer.
            url = _url(host, self.service_port, test.path)
            said = ""
            try:
                await self._request(session, "GET", url, headers={HERE: "1"})
            except _NoAnswerError as error:
                said = str(error)
            return SmokeResult(test.name, passed=not said, detail=said)

        async with self._session(SMOKE_DEADLINE_SECONDS) as session:
            return tuple(await asyncio.gather(*(run(session, test) for test in tests)))

    async def _of_each(
        self,
        pods: Iterable[Object],
        deadline: float,
        question: Callable[[aiohttp.ClientSession, Object], Awaitable[_Answer]],
    ) -> dict[str, _Answer | str]:
        async def answer(session: aiohttp.ClientSession, pod: Object) -> _Answer | str:
            try:
                return await question(session, pod)
            except _NoAnswerError as error:
                return str(error)
            except ReportError as error:
                return f"its answer is not understood: {error}"

        asked = list(pods)
        async with self._session(deadline) as session:
            answers = await asyncio.gather(*(answer(session, pod) for pod in asked))
        return {_name(pod): said for pod, said in zip(asked, answers, strict=True)}

    def _session(self, deadline: float) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True, limit=0),
            headers={PEER: self.secret},
            timeout=aiohttp.ClientTimeout(total=deadline),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    def _of(self, pod: Object, path: str) -> str:
        address = _address(pod)
        if not address:
            raise _NoAnswerError("it has no address yet")
        return _url(address, self.port, path)

    async def _request(self, session: aiohttp.ClientSession, method: str, url: str, **more: Any) -> bytes:
        """The body of an answer 2xx. Raises _NoAnswerError."""
        try:
            async with session.request(method, url, allow_redirects=False, **more) as response:
                body = await _body(response.content)
        except TimeoutError as error:
            raise _NoAnswerError(f"{method} {url} got no answer in time") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            said = str(error) or type(error).__name__
            raise _NoAnswerError(f"{method} {url} got no answer: {said}") from error
        if not 200 <= response.status < 300:
            text = " ".join(body[:200].decode(errors="replace").split())
            raise _NoAnswerError(f"{method} {url} was answered with {response.status}: {text}")
        return body


async def _body(content: aiohttp.StreamReader) -> bytes:
    parts, size = [], 0
    async for part in content.iter_any():
        size += len(part)
        if size > MAX_RESPONSE_BYTES:
            raise _NoAnswerError(f"its answer is longer than {MAX_RESPONSE_BYTES} bytes")
        parts.append(part)
    return b"".join(parts)


def _url(host: str, port: int, path: str) -> str:
    return f"http://[{host}]:{port}{path}" if ":" in host else f"http://{host}:{port}{path}"


def _name(pod: Object) -> str:
    return str(pod["metadata"]["name"])


def _address(pod: Object) -> str:
    return str(pod.get("status", {}).get("podIP") or "")
