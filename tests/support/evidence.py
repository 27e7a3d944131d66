"""Adds to the report of a failing end-to-end test: CPU shares, the operator's log, the errors of engines, the load's
verdict and the slowest requests with their phases. A pytest plugin.
"""

import datetime as dt
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from loads import Load
from operators import replica_logs
from rtx_demo.errors import DemoError
from rtx_demo.kubectl import Kubectl
from rtx_traffic.ledger import Ledger, Request
from upgrades import Upgrades

MAX_LOG_LINES = 60  # of each replica
MAX_SLOWEST_REQUESTS = 10
_ENGINE_PODS = "app.kubernetes.io/component=engine"
_TICKS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")  # proc_stat(5)


@dataclass(frozen=True)
class Moment:
    """When a test began, and the CPU ticks up to then."""

    at: float  # Unix seconds
    ticks: dict[str, int]


BEGAN = pytest.StashKey[Moment]()
REPORT = pytest.StashKey[pytest.TestReport]()  # of the call; of the setup when that did not pass
LOADS = pytest.StashKey[list[str]]()  # reports on loads that ended before their test had failed


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
        report.sections.append(("CPU during the test", cpu_shares(began.ticks, _ticks())))
        report.sections.append(("operator's log during the test", operator_log(kubectl, since=began.at)))
        report.sections.append(("errors in the logs of engine pods", engine_errors(kubectl, since=began.at)))
        report.sections += [("load", text) for text in item.stash.get(LOADS, [])]
    return report


def failed_or_interrupted(item: pytest.Item) -> bool:
    """Whether the test's setup or call failed, or the test was interrupted."""
    report = item.stash.get(REPORT, None)
    return report is None or report.failed


def add_load_report(item: pytest.Item, loaded: Load, upgrades: Upgrades | None) -> None:
    """End the load of a failing test, and add its verdict and its slowest requests to the test's report."""
    try:
        findings = "\n".join(loaded.verdict().findings) or "no promise was broken"
        text = f"{findings}\n{slowest_requests(loaded.end(), upgrades.phases if upgrades else [])}"
    except Exception as error:  # noqa: BLE001  a broken load must not hide the test's own failure
        text = f"The load's ledger cannot be read: {error}"
    if report := item.stash.get(REPORT, None):
        report.sections.append(("load", text))
    else:
        item.stash.setdefault(LOADS, []).append(text)


def cpu_shares(before: dict[str, int], after: dict[str, int]) -> str:
    """Shares of the CPU time between two readings of /proc/stat."""
    passed = {name: after[name] - before[name] for name in _TICKS}
    whole = sum(passed.values()) or 1
    idle = passed["idle"] + passed["iowait"]
    used = whole - idle - passed["steal"]
    stolen = passed["steal"]
    return f"{used / whole:.0%} used, {stolen / whole:.0%} stolen by the machine's host, {idle / whole:.0%} idle"


def operator_log(kubectl: Kubectl, *, since: float) -> str:
    """The replicas' last MAX_LOG_LINES lines since `since` (Unix seconds); the error's text when kubectl fails."""
    try:
        return replica_logs(kubectl, lines=MAX_LOG_LINES, since=since)
    except DemoError as error:
        return str(error)


def engine_errors(kubectl: Kubectl, *, since: float) -> str:
    """What pods of engines logged as errors since `since` (Unix seconds); the error's text when kubectl fails."""
    found, ago = [], f"--since={time.time() - since:.0f}s"
    where = "{range .items[*]}{.metadata.namespace} {.metadata.name}{'\\n'}{end}"
    try:
        pods = kubectl.run("get", "pods", "-A", f"-l={_ENGINE_PODS}", f"-o=jsonpath={where}")
        for namespace, name in (line.split() for line in pods.splitlines()):
            lines = kubectl.run("logs", name, f"--namespace={namespace}", ago).splitlines()
            errors = [line for line in lines if '"level": "error"' in line or '"level":"error"' in line]
            found += [f"{name}: {line}" for line in errors[-MAX_LOG_LINES:]]
    except DemoError as error:
        found.append(str(error))
    return "\n".join(found)


def slowest_requests(ledger: Ledger, phases: Sequence[tuple[float, str]]) -> str:
    """The slowest requests, a line each; `phases` are pairs of the time when a phase began (Unix s) and the phase."""
    slowest_first = sorted(ledger.requests(), key=lambda request: request.due - request.ended)
    return "\n".join(_line(request, ledger.run.started_at, phases) for request in slowest_first[:MAX_SLOWEST_REQUESTS])


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
