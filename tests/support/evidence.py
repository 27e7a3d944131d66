"""What one needs to judge a failing end-to-end test: what the machine had to give, what the operator said, and which
requests took longest in which phase. A pytest plugin.
"""

import datetime as dt
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from loads import Load
from operators import logs
from rtx_demo.errors import DemoError
from rtx_demo.kubectl import Kubectl
from rtx_traffic.ledger import Ledger, Request
from upgrades import Upgrades

LINES = 60  # of each replica's log
SLOWEST = 10  # requests
_TICKS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")  # proc_stat(5)


@dataclass(frozen=True)
class Moment:
    """When a test began, and the processors' ticks by then."""

    at: float  # Unix seconds
    ticks: dict[str, int]


BEGAN = pytest.StashKey[Moment]()
REPORT = pytest.StashKey[pytest.TestReport]()  # of the test's own part, or of what came before it and kept it away
LOADS = pytest.StashKey[list[str]]()  # what is told of loads that ended before their test had failed


def pytest_runtest_setup(item: pytest.Item) -> None:
    item.stash[BEGAN] = Moment(time.time(), _ticks())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call" or (report.when == "setup" and not report.passed):
        item.stash[REPORT] = report
    kubectl = getattr(item, "funcargs", {}).get("kubectl")
    if report.failed and isinstance(kubectl, Kubectl):
        began = item.stash[BEGAN]
        report.sections.append(("processors while the test ran", processors(began.ticks, _ticks())))
        report.sections.append(("operator while the test ran", operator_log(kubectl, since=began.at)))
        report.sections += [("the load", told) for told in item.stash.get(LOADS, [])]
    return report


def failed(item: pytest.Item) -> bool:
    """Whether the test failed up to its end, or was interrupted."""
    report = item.stash.get(REPORT, None)
    return report is None or report.failed


def add_load(item: pytest.Item, loaded: Load, upgrades: Upgrades | None) -> None:
    """End the load of a test that fails, and add its verdict and its slowest requests to what is printed."""
    try:
        found = "\n".join(loaded.verdict().findings) or "no promise was broken"
        told = f"{found}\n{slowest(loaded.end(), upgrades.phases if upgrades else [])}"
    except Exception as error:  # noqa: BLE001  the load may be what broke, and it is the test that failed
        told = f"The load's ledger cannot be had: {error}"
    if report := item.stash.get(REPORT, None):
        report.sections.append(("the load", told))
    else:
        item.stash.setdefault(LOADS, []).append(told)


def processors(before: dict[str, int], after: dict[str, int]) -> str:
    """Shares of the processors' time between two readings of /proc/stat."""
    passed = {name: after[name] - before[name] for name in _TICKS}
    whole = sum(passed.values()) or 1
    idle = passed["idle"] + passed["iowait"]
    used = whole - idle - passed["steal"]
    return (
        f"{used / whole:.0%} used, {passed['steal'] / whole:.0%} stolen by the machine's host, {idle / whole:.0%} idle"
    )


def operator_log(kubectl: Kubectl, *, since: float) -> str:
    """What the operator wrote since then (Unix seconds)."""
    try:
        return logs(kubectl, lines=LINES, since=since)
    except DemoError as error:
        return str(error)


def slowest(ledger: Ledger, phases: Sequence[tuple[float, str]]) -> str:
    """The requests that took longest, a line each; `phases` are Unix seconds and the cutover's phase from then on."""
    answered = sorted(ledger.requests(), key=lambda request: request.due - request.ended)
    return "\n".join(_line(request, ledger.run.started_at, phases) for request in answered[:SLOWEST])


def _line(request: Request, started_at: float, phases: Sequence[tuple[float, str]]) -> str:
    due = started_at + request.due
    phase = next((f"in {name}" for at, name in reversed(phases) if at <= due), "before any cutover")
    clock = dt.datetime.fromtimestamp(due, dt.UTC).strftime("%H:%M:%S.%f")[:-3]
    sent = request.ended if request.sent is None else request.sent
    end = f"{request.failure} {request.detail}".strip() if request.failure else str(request.status)
    waits = f"{1000 * (sent - request.due):6.0f} ms unsent, {1000 * (request.ended - sent):6.0f} ms unanswered"
    return f"{clock}  {waits}  {request.kind} {request.path} ({request.lane}) {phase}: {end}"


def _ticks() -> dict[str, int]:
    words = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    return dict(zip(_TICKS, map(int, words), strict=False))
