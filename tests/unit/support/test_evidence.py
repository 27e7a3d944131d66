"""The report of a failing end-to-end test: CPU shares, the operator's log and the slowest requests."""

from pathlib import Path

from evidence import cpu_shares, operator_log, slowest_requests
from rtx_demo.kubectl import Kubectl
from rtx_operator.api.enums import CutoverPhase
from rtx_traffic.ledger import End, Failure, Kind, Lane, Ledger, Request, Run

RUN = Run("r", "http://e", 1_000_000.0, 100, 16, 20, 0, 8, 0)


def test_stolen_cpu_time_is_not_counted_as_used() -> None:
    # Given two readings of the CPU's ticks: between them a tenth was stolen by the host and a fifth was idle.
    names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
    before = dict.fromkeys(names, 100)
    after = dict(zip(names, (150, 100, 110, 115, 105, 100, 110, 110), strict=True))

    # When the shares are computed.
    shares = cpu_shares(before, after)

    # Then each kind of time has its own share.
    assert shares == "70% used, 10% stolen by the machine's host, 20% idle"


def test_slowest_requests_are_listed_with_the_phase_in_which_they_were_due() -> None:
    # Given a run with a request that was slow in Switching, one that was never sent, and a quick one.
    quick = Request(Kind.READ, Lane.NEW, 1.0, 1.01, 1.0, 200, path="/quick")
    slow = Request(Kind.ORDER, Lane.KEEP_ALIVE, 3.0, 5.5, 3.5, 201, path="/slow")
    unsent = Request(Kind.READ, Lane.KEEP_ALIVE, 0.5, 1.5, failure=Failure.UNSENT, detail="busy", path="/unsent")
    ledger = Ledger(RUN, (RUN, unsent, quick, slow, End(9.0, due=2)))

    # When the slowest requests are listed with the phases of the cutover.
    phases = [(1_000_001.0, CutoverPhase.TESTING), (1_000_002.5, CutoverPhase.SWITCHING)]
    first, second, third = slowest_requests(ledger, phases).splitlines()

    # Then the slowest comes first, and each has its waits and its phase.
    assert first.endswith("500 ms unsent,   2000 ms unanswered  order /slow (keep-alive) in Switching: 201")
    assert second.endswith("read /unsent (keep-alive) before any cutover: unsent busy")
    assert "in Testing" in third


def test_operator_log_has_each_replica_and_its_previous_process(tmp_path: Path) -> None:
    # Given two replicas: the first is starting, the second was restarted.
    program = tmp_path / "kubectl"
    program.write_text("""#!/bin/sh
    case "$*" in
    get*) echo '{"items": [{"metadata": {"name": "one"}}, {"metadata": {"name": "two"}}]}' ;;
    *" one "*) echo "container is waiting to start" >&2; exit 1 ;;
    *--previous=false*) echo "leading" ;;
    *) echo "ending, as the crash hook asks" ;;
    esac
    """)
    program.chmod(0o755)

    # When the operator's log is read.
    log = operator_log(Kubectl((str(program),)), since=0.0)

    # Then it has the error of the first, and both processes of the second.
    for line in ("container is waiting to start", "leading", "ending, as the crash hook asks"):
        assert line in log
