"""What engine pods answered when they were asked (docs/architecture.md: the endpoints under /internal). Pure.

An answer that is missing, late or not understood is no report but a sentence that says so: it never counts as passed.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, TypeVar

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError

SHARE = 0.99  # of the requests that p99 speaks of

Count = Annotated[int, Field(ge=0)]
# JSON has no infinity: null stands for it.
Bound = Annotated[float, BeforeValidator(lambda bound: math.inf if bound is None else bound)]


class ReportError(Exception):
    """The answer is not what the contract says; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Latency:
    """A histogram in milliseconds: `counts[i]` answers took at most `upper_bounds[i]` and more than the bound below."""

    upper_bounds: tuple[Bound, ...]  # ascending; the last is infinite
    counts: tuple[Count, ...]

    def __post_init__(self) -> None:
        if len(self.counts) != len(self.upper_bounds):
            raise ValueError("as many counts as upper bounds are needed")
        if not all(lower < upper for lower, upper in pairwise(self.upper_bounds)):
            raise ValueError("upper bounds must ascend")
        if self.upper_bounds[-1:] not in {(), (math.inf,)}:
            raise ValueError("the last upper bound must be null: infinite")

    def quantile(self, share: float) -> float:
        """The bound under which `share` of the answers came, in milliseconds; never below the truth, 0 of none."""
        total, so_far = sum(self.counts), 0
        if total == 0:
            return 0.0
        for bound, count in zip(self.upper_bounds, self.counts, strict=True):
            so_far += count
            if so_far >= share * total:
                return bound
        return math.inf


@dataclass(frozen=True, slots=True)
class ServedRequests:
    """The client requests that were answered since the answerer became executor at `epoch`."""

    epoch: Count
    requests: Count
    server_errors: Count  # answers 5xx
    latency_ms: Latency

    def error_percent(self) -> float:
        """Answers 5xx of a hundred; 0 of none."""
        return 100 * self.server_errors / self.requests if self.requests else 0.0

    def p99_milliseconds(self) -> float:
        """The bucket's bound that 99 of a hundred answers did not exceed; infinite where no bound is known."""
        return self.latency_ms.quantile(SHARE)

    @staticmethod
    def total(parts: Iterable["ServedRequests | None"], epoch: int | None = None) -> "ServedRequests":
        """What several pods executed, added up; with `epoch`, only what they executed since that one.

        Histograms with different bounds (pods of two builds) are added up at the bounds that all of them have.
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
    """`GET /internal/status` of one pod."""

    pod: str
    colour: str
    version: str
    epoch: Count | None  # of the fence, as this pod last read it
    executors: tuple[str, ...]
    executing: bool
    draining: bool
    ending: bool
    websockets: Count
    quiet_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]  # since the last client request
    forwarded: Count  # requests, since the pod's start
    drained_connections: Count  # WebSockets that a drain closed, since the pod's start
    executed: ServedRequests | None  # None: it does not execute


@dataclass(frozen=True, slots=True)
class ReachReport:
    """`GET /internal/reach` of one pod: whether it reaches the other colour's own Service."""

    reaches: bool
    colour: str  # the other one, which it asked
    error: str  # why it does not


@dataclass(frozen=True, slots=True)
class SmokeResult:
    """One smoke test. `detail` is a sentence that says what came instead of an answer 2xx; empty when it passed."""

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
