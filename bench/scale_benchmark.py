"""Measures what a fleet of engines costs one operator, at rest and in upgrades; run by `bench/scale`."""

import json
import math
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, NoReturn

import typer
from rtx_lab.errors import LabError
from rtx_lab.progress import Reporter
from support import audit
from support.figures import Row, print_rows
from support.fleet import HOME, INSTANCE, Engine, Fleet, FleetError, Operator, running

USER = f"system:serviceaccount:{HOME}:rtx-operator"
QUIET_SECONDS = 90.0  # without a write of the operator: autoscalers, slices and retried reconciles have come to rest
SETTLE_SECONDS = 900.0  # and longer it is not waited for: what never rests is measured as it is
SAMPLE_SECONDS = 5.0  # between two looks at all statuses
MAX_CHANGES = 10  # of statuses that are told
APPLIED_AT_ONCE = 4
READY_SECONDS_PER_ENGINE = 10.0  # engines may take so long on a busy machine, and READY_SECONDS besides
READY_SECONDS = 180.0
AUTOSCALER_PERIOD_SECONDS = 15.0  # in which the status of each autoscaler is written once, as in a cluster with load
MAX_AUTOSCALER_WRITES_PER_S = 20.0  # a test machine's API server has no time for more
TAKEOVER_SECONDS = 300.0  # and TAKEOVER_SECONDS_PER_ENGINE besides: a new leader looks at each of them
TAKEOVER_SECONDS_PER_ENGINE = 1.0
UPGRADE_SECONDS = 1800.0
LEASE_SECONDS = 15.0


@dataclass
class Report:
    """The figures, and what requests they consist of."""

    rows: list[Row] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)

    def add(self, row_id: str, what: str, value: float, unit: str) -> None:
        self.rows.append(Row(row_id, what, round(value, 2), unit))


def measure(
    count: Annotated[int, typer.Option("--engines", min=2, max=4000, help="Number of engines.")] = 1000,
    upgrades: Annotated[int, typer.Option("--upgrades", min=0, help="How many are upgraded at once; 0: none.")] = 100,
    idle_seconds: Annotated[float, typer.Option("--idle", min=10, help="Seconds at rest that are measured.")] = 300.0,
    max_cutovers: Annotated[int, typer.Option("--max-cutovers", min=1, help="The operator's MAX_CUTOVERS.")] = 20,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the cluster running.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the table.")] = False,
) -> None:
    """Measure requests, processor and memory of an operator at rest, its takeover, and many upgrades at once.

    With 1,000 engines it takes about 40 minutes and 12 GiB on two cores. Exits with 1 when it could not run.
    """
    reporter, report = Reporter(), Report()
    try:
        with running([Engine(number) for number in range(count)], reporter, keep=keep) as fleet:
            environment = {"MAX_CUTOVERS": str(max_cutovers)}
            leader = fleet.start_operator(environment)
            fleet.wait("the operator leads", 60, lambda: leader.leads)
            _install(fleet, report)
            _rest(fleet, leader, idle_seconds, report)
            fleet.start_operator(environment)
            _take_over(fleet, leader, report)
            if upgrades:
                _upgrade(fleet, min(upgrades, count - 1), report)
    except (FleetError, LabError) as error:
        _print(report, as_json=as_json)
        _fail(str(error))
    _print(report, as_json=as_json)


def _install(fleet: Fleet, report: Report) -> None:
    begun = time.monotonic()
    limit = READY_SECONDS + READY_SECONDS_PER_ENGINE * len(fleet.engines)
    with fleet.reporter.step(f"installing {len(fleet.engines)} engines"), ThreadPoolExecutor(APPLIED_AT_ONCE) as pool:
        created = [pool.submit(fleet.api.create, one.path.rpartition("/")[0], one.manifest()) for one in fleet.engines]
        for one in created:
            one.result()
        fleet.wait("all engines are ready", limit, lambda: _ready(fleet) == len(fleet.engines))
        if not any(operator.process.poll() is None for operator in fleet.operators):
            raise FleetError("the operator has ended: on a machine with other work it may lose its Lease")
    report.add("install_s", f"from the first of {len(fleet.engines)} engines to the last Ready", _since(begun), "s")


def _ready(fleet: Fleet) -> int:
    return sum(
        condition["type"] == "Ready" and condition["status"] == "True"
        for status in fleet.statuses().values()
        for condition in status.get("conditions") or []
    )


def _rest(fleet: Fleet, leader: Operator, seconds: float, report: Report) -> None:
    with _autoscalers_at_work(fleet):
        _settle(fleet, report)
        with fleet.reporter.step(f"at rest for {seconds:.0f} s"):
            log, cpu, begun = audit.end(INSTANCE.audit_log), leader.cpu_seconds, time.monotonic()
            said = leader.log.stat().st_size
            report.notes["changed at rest"] = _changes(fleet, seconds)
            report.notes["said at rest"] = leader.said(since=said)
            took, used = _since(begun), leader.cpu_seconds - cpu
        sent = [one for one in audit.requests(INSTANCE.audit_log, USER, log) if not one.is_lease]
    writes = [one for one in sent if one.verb in audit.WRITES]
    fleet_of = f"{len(fleet.engines)} engines at rest:"
    report.add("idle_requests_per_s", f"{fleet_of} requests to the API server, Lease aside", len(sent) / took, "1/s")
    report.add("idle_cpu_percent", f"{fleet_of} processor, of one core", 100 * used / took, "%")
    report.add("idle_writes_per_min", f"{fleet_of} writes, Lease aside", 60 * len(writes) / took, "1/min")
    report.add("operator_mb", f"{fleet_of} memory", leader.memory_mb("VmRSS"), "MB")
    report.add("operator_peak_mb", "the most memory until then", leader.memory_mb("VmHWM"), "MB")
    report.notes["at rest"] = dict(audit.by_kind(sent).most_common())


def _settle(fleet: Fleet, report: Report) -> None:
    """Wait until the operator has written nothing for a while: only then is what it costs that of a fleet at rest."""
    with fleet.reporter.step(f"coming to rest: {QUIET_SECONDS:.0f} s without a write of the operator"):
        begun = quiet_since = time.monotonic()
        while _since(quiet_since) < QUIET_SECONDS and _since(begun) < SETTLE_SECONDS:
            log = audit.end(INSTANCE.audit_log)
            time.sleep(SAMPLE_SECONDS)
            sent = audit.requests(INSTANCE.audit_log, USER, log)
            if any(one.verb in audit.WRITES and not one.is_lease for one in sent):
                quiet_since = time.monotonic()
    report.add("settle_s", "from the last Ready to the last write before the measured rest", quiet_since - begun, "s")


def _changes(fleet: Fleet, seconds: float) -> dict[str, str]:
    """What changes in status meanwhile: nothing should. Engine and field → what it was and what it is, some of all."""
    found, until, before = dict[str, str](), time.monotonic() + seconds, fleet.statuses()
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, SAMPLE_SECONDS))
        after = fleet.statuses()
        changed = ((name, one, after[name]) for name, one in before.items() if one != after.get(name))
        for name, was, status in changed if len(found) < MAX_CHANGES else ():
            found |= {
                f"{name} {part}": f"{json.dumps(was.get(part))} → {json.dumps(status.get(part))}"
                for part in was.keys() | status.keys()
                if was.get(part) != status.get(part)
            }
        before = after
    return found


@contextmanager
def _autoscalers_at_work(fleet: Fleet) -> Iterator[None]:
    """The status of the fleet's autoscalers is written, one after the other, as their controller does with load."""
    stop = threading.Event()
    pause = max(AUTOSCALER_PERIOD_SECONDS / len(fleet.engines), 1 / MAX_AUTOSCALER_WRITES_PER_S)

    def work() -> None:
        number = 0
        while not stop.wait(pause):
            engine = fleet.engines[number % len(fleet.engines)]
            number += 1
            current = {"type": "Resource", "resource": {"name": "cpu", "current": {"averageValue": f"{number}m"}}}
            path = f"/apis/autoscaling/v2/namespaces/{engine.namespace}/horizontalpodautoscalers/{engine.name}-engine"
            fleet.api.merge_patch(f"{path}/status", {"status": {"currentMetrics": [current]}})

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)
        try:
            yield
        finally:
            stop.set()
            working.result()


def _take_over(fleet: Fleet, leader: Operator, report: Report) -> None:
    """The leader ends itself before it moves the fence in Switching; the other one takes over."""
    engine = fleet.engines[len(fleet.engines) // 2]
    time.sleep(10)  # the second replica waits for the Lease by now
    log = audit.end(INSTANCE.audit_log)
    limit = TAKEOVER_SECONDS + TAKEOVER_SECONDS_PER_ENGINE * len(fleet.engines)
    leader.crash_file.write_text("before Switching/MoveFence")
    with fleet.reporter.step("killing the leader in a switch"):
        _bump(fleet, engine)
        fleet.wait("the leader has ended in Switching", limit, lambda: leader.process.poll() is not None)
        ended = time.time()
        try:
            fleet.wait("the upgrade has ended", limit, lambda: _phase(fleet, engine) in {"Succeeded", "RolledBack"})
        finally:  # an upgrade that does not end is no reason to lose the figure
            sent = list(audit.requests(INSTANCE.audit_log, USER, log))
            renewed = max(one.at for one in sent if one.is_lease and one.verb == "update" and one.at < ended)
            free = max(ended, renewed + LEASE_SECONDS)
            looked = min((one.at for one in sent if one.at > ended and one.concerns(engine.name)), default=math.nan)
            what = "from the free Lease to the first look at the engine in Switching"
            report.add("takeover_s", what, looked - free, "s")
    report.add("takeover_end_s", "from the free Lease to the end of that upgrade", time.time() - free, "s")
    report.notes["takeover"] = {"phase": _phase(fleet, engine), "Lease free after the kill, s": round(free - ended, 1)}


def _upgrade(fleet: Fleet, count: int, report: Report) -> None:
    others = [one for one in fleet.engines if one.number != len(fleet.engines) // 2][:count]
    log, leader = audit.end(INSTANCE.audit_log), fleet.leader()
    cpu, begun, most = leader.cpu_seconds, time.monotonic(), 0

    def done() -> bool:
        nonlocal most
        phases = _phases(fleet, others)
        most = max(most, sum(phase not in {"", "Pending", "Succeeded", "RolledBack"} for phase in phases))
        return all(phase in {"Succeeded", "RolledBack"} for phase in phases)

    with fleet.reporter.step(f"upgrading {count} engines"):
        with ThreadPoolExecutor(APPLIED_AT_ONCE) as pool:
            list(pool.map(lambda one: _bump(fleet, one), others))
        fleet.wait("all upgrades have ended", UPGRADE_SECONDS, done)
    took = _since(begun)
    sent = [one for one in audit.requests(INSTANCE.audit_log, USER, log) if not one.is_lease]
    report.add(f"upgrade_{count}_s", f"from the bump of {count} engines to the last Succeeded", took, "s")
    report.add(
        "upgrade_failed", "of these upgrades rolled back", _phases(fleet, others).count("RolledBack"), "upgrades"
    )
    report.add("upgrade_at_once", "most cutovers under way at a time, Pending aside", most, "cutovers")
    report.add("upgrade_cpu_percent", "processor meanwhile, of one core", 100 * (leader.cpu_seconds - cpu) / took, "%")
    report.add("upgrade_requests_per_s", "requests to the API server meanwhile", len(sent) / took, "1/s")
    report.add("upgrade_peak_mb", "the most memory until then", leader.memory_mb("VmHWM"), "MB")
    report.notes["upgrades"] = dict(audit.by_kind(sent).most_common())


def _bump(fleet: Fleet, engine: Engine) -> None:
    fleet.api.merge_patch(engine.path, {"spec": {"version": "1.1.0"}})


def _phase(fleet: Fleet, engine: Engine) -> str:
    return str((fleet.api.get(engine.path).get("status", {}).get("cutover") or {}).get("phase", ""))


def _phases(fleet: Fleet, engines: list[Engine]) -> list[str]:
    statuses = fleet.statuses()
    return [str((statuses[one.name].get("cutover") or {}).get("phase", "")) for one in engines]


def _since(begun: float) -> float:
    return time.monotonic() - begun


def _print(report: Report, *, as_json: bool) -> None:
    print_rows(report.rows, as_json=as_json, notes=report.notes)
    for name, note in report.notes.items() if not as_json else ():
        typer.echo(f"{name}: {note}")


def _fail(sentence: str) -> NoReturn:
    typer.echo(f"bench/scale: {sentence}", err=True)
    sys.exit(1)


if __name__ == "__main__":
    typer.run(measure)
