"""What is shown of a cutover: a line a phase where there is no terminal, a growing list where there is one."""

import io

from rich.console import Console
from rtx_demo.cutovers import Cutover
from rtx_demo.errors import DemoError
from rtx_demo.view import View
from rtx_traffic.progress import Progress

PHASES = ("Migrating", "Provisioning", "Provisioning", "Succeeded")
MESSAGES = ("the Job runs", "1 of 3 ready", "2 of 3 ready", "")


def cutovers() -> list[Cutover]:
    return [Cutover("i", phase, "a", "b", message=said) for phase, said in zip(PHASES, MESSAGES, strict=True)]


def counts() -> Progress:
    return Progress(requests=1234, failed=5)


def test_without_a_terminal_each_phase_is_a_line() -> None:
    # given a log file, when a cutover passes its phases
    said = io.StringIO()
    with View(Console(file=said, width=120)).cutover(counts) as story:
        for cutover in cutovers():
            story.tell(cutover)

    # then there is a line for each phase, with the load's counts beside it
    lines = [line.split(maxsplit=2)[2] for line in said.getvalue().splitlines()]
    assert [line.split()[0] for line in lines] == ["Migrating", "Provisioning", "Succeeded"]
    assert all("1,234 requests, 5 failed" in line for line in lines)


def test_in_a_terminal_the_list_grows_and_a_load_that_gave_up_is_told() -> None:
    # given a terminal, and a load of which a pod gave up
    said = io.StringIO()

    def gave_up() -> Progress:
        raise DemoError("Traffic pod rtx-traffic-2 gave up")

    with View(Console(file=said, width=120, force_terminal=True)).cutover(gave_up) as story:
        for cutover in cutovers():
            story.tell(cutover)

    # then the last picture has every phase with its last word, and the reason
    last = said.getvalue().rpartition("Migrating")[2]
    assert "2 of 3 ready" in last
    assert "Succeeded" in last
    assert "rtx-traffic-2 gave up" in last
