"""Output of a cutover: one line per phase without a terminal, a growing list in one."""

import io

from rich.console import Console
from rtx_demo.cutovers import Cutover
from rtx_demo.errors import DemoError
from rtx_demo.view import View
from rtx_traffic.progress import Progress

PHASES = ("Migrating", "Provisioning", "Provisioning", "Succeeded")
MESSAGES = ("the Job runs", "1 of 3 ready", "2 of 3 ready", "")


def cutovers() -> list[Cutover]:
    return [Cutover("i", phase, "a", "b", message=text) for phase, text in zip(PHASES, MESSAGES, strict=True)]


def counts() -> Progress:
    return Progress(requests=1234, failed=5)


def test_without_a_terminal_each_phase_is_a_line() -> None:
    # given a log file, when a cutover passes its phases
    output = io.StringIO()
    with View(Console(file=output, width=120)).cutover(counts) as phases:
        for cutover in cutovers():
            phases.update(cutover)

    # then there is a line for each phase, with the load's counts beside it
    lines = [line.split(maxsplit=2)[2] for line in output.getvalue().splitlines()]
    assert [line.split()[0] for line in lines] == ["Migrating", "Provisioning", "Succeeded"]
    assert all("1,234 requests, 5 failed" in line for line in lines)


def test_in_a_terminal_the_list_grows_and_shows_a_failed_load() -> None:
    # given a terminal, and a load with a failed pod
    output = io.StringIO()

    def failed() -> Progress:
        raise DemoError("Traffic pod rtx-traffic-2 failed")

    with View(Console(file=output, width=120, force_terminal=True)).cutover(failed) as phases:
        for cutover in cutovers():
            phases.update(cutover)

    # then the last picture has every phase with its last message, and the error
    last = output.getvalue().rpartition("Migrating")[2]
    assert "2 of 3 ready" in last
    assert "Succeeded" in last
    assert "rtx-traffic-2 failed" in last


def test_latencies_are_told_only_where_requests_were_answered() -> None:
    assert View.progress(Progress(second=5, p50_ms=2.0, p99_ms=40.0)).endswith(", p50 2.0 ms, p99 40.0 ms")
    assert "p50" not in View.progress(Progress(second=6))
