"""The answers of engine pods to the operator (docs/architecture.md: the endpoints under /internal). Pure.

Law: an answer that is missing, late or invalid is no report. The error as text takes its place, and fails every check.
"""

import math
import re
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, TypeVar

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError

P99 = 0.99  # share of the answers

Count = Annotated[int, Field(ge=0)]
# null stands for infinity, which JSON does not have.
Bound = Annotated[float, BeforeValidator(lambda bound: math.inf if bound is None else bound)]


class ReportError(Exception):
    """The answer breaks the contract. The message has the field and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Latency:
    """A histogram in ms: `counts[i]` answers took at most `upper_bounds[i]` and more than the bound before it."""

    upper_bounds: tuple[Bound, ...]  # ascending; the last is infinite
    counts: tuple[Count, ...]

    def __post_init__(self) -> None:
        if len(self.counts) != len(self.upper_bounds):
            raise ValueError("counts and upper_bounds differ in length")
        if not all(lower < upper for lower, upper in pairwise(self.upper_bounds)):
            raise ValueError("upper_bounds do not ascend")
        if self.upper_bounds[-1:] not in {(), (math.inf,)}:
            raise ValueError("the last of upper_bounds is not null (infinity)")

    def quantile(self, share: float) -> float:
        """The upper bound in ms of the bucket with the quantile `share` (0 to 1): never below the true quantile.

        0.0 without answers; infinite when no finite bound is known.
        """
        total, cumulative = sum(self.counts), 0
        if total == 0:
            return 0.0
        for bound, count in zip(self.upper_bounds, self.counts, strict=True):
            cumulative += count
            if cumulative >= share * total:
                return bound
        return math.inf


@dataclass(frozen=True, slots=True)
class ServedRequests:
    """What pods answered to clients, without answers 4xx, since their colour became executor at `epoch`."""

    epoch: Count
    requests: Count
    server_errors: Count  # 5xx answers
    latency_ms: Latency

    def error_percent(self) -> float:
        """The share of 5xx answers in percent; 0.0 without requests."""
        return 100 * self.server_errors / self.requests if self.requests else 0.0

    @property
    def timed(self) -> int:
        """The answers whose latency is known: not those of pods that are gone."""
        return sum(self.latency_ms.counts)

    def p99_milliseconds(self) -> float:
        """Upper bound of the 99th percentile of latency in ms; 0.0 without answers, infinite when no bound is known."""
        return self.latency_ms.quantile(P99)

    @staticmethod
    def total(parts: Iterable["ServedRequests | None"], epoch: int | None = None) -> "ServedRequests":
        """The sum over pods; None is a pod that does not execute. With `epoch`, only the pods that report that epoch.

        Histograms with different bounds (pods of two builds) are added at the bounds that all of them have.
        """
        counted = [part for part in parts if part is not None and epoch in {None, part.epoch}]
        common = set[float].intersection(*(set(part.latency_ms.upper_bounds) for part in counted)) if counted else ()
        bounds = sorted(common)
        counts = [0] * len(bounds)
        for part in counted:
            for bound, count in zip(part.latency_ms.upper_bounds, part.latency_ms.counts, strict=True):
                counts[bisect_left(bounds, bound)] += count
        return ServedRequests(
            max((part.epoch for part in counted), default=epoch or 0),
            sum(part.requests for part in counted),
            sum(part.server_errors for part in counted),
            Latency(tuple(bounds), tuple(counts)),
        )


@dataclass(frozen=True, slots=True)
class EngineReport:
    """The answer to `GET /internal/status` of one pod."""

    pod: str
    colour: str
    version: str
    epoch: Count | None  # of the fence when this pod last read it; None: not read yet
    executors: tuple[str, ...]
    executing: bool
    draining: bool
    ending: bool
    websockets: Count
    quiet_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]  # since the pod's last client request
    forwarded: Count  # requests forwarded to the other colour since the pod's start
    drained_connections: Count  # WebSockets that a drain closed, since the pod's start
    executed: ServedRequests | None  # None: the pod does not execute
    revision: str = ""  # as the operator named it to the pod; empty: a build that does not report it


def is_same_version(one: str, other: str) -> bool:
    """Whether both name one version: packages of Python write 1.4.0-rc.1 as 1.4.0rc1, and tags cannot have a plus."""
    return _parts(one) == _parts(other)


def _parts(version: str) -> list[str]:
    short = {"alpha": "a", "beta": "b", "c": "rc", "pre": "rc", "preview": "rc"}
    return [short.get(part, part) for part in re.findall(r"\d+|[a-z]+", version.lower().removeprefix("v"))]


@dataclass(frozen=True, slots=True)
class ReachReport:
    """The answer to `GET /internal/reach` of one pod: whether it reaches the Service of the other colour."""

    reaches: bool
    colour: str  # the other colour
    error: str  # why the pod does not reach it; empty when it does


@dataclass(frozen=True, slots=True)
class SmokeResult:
    """The result of one smoke test. `detail` has the error and what to do about it; empty when the test passed."""

    name: str
    passed: bool
    detail: str


def engine_report(answer: bytes) -> EngineReport:
    """The report in the answer to `GET /internal/status`. Raises ReportError."""
    return _read(_ENGINE_REPORT, answer)


def reach_report(answer: bytes) -> ReachReport:
    """The report in the answer to `GET /internal/reach`. Raises ReportError."""
    return _read(_REACH_REPORT, answer)


_ENGINE_REPORT = TypeAdapter(EngineReport)
_REACH_REPORT = TypeAdapter(ReachReport)
_Report = TypeVar("_Report")


def _read(adapter: TypeAdapter[_Report], answer: bytes) -> _Report:
    try:
        return adapter.validate_json(answer, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ReportError(f"{where}: {first['msg']}" if where else first["msg"]) from error
