"""What a failing end-to-end test prints: where the processors' time went, and the slowest requests."""

from pathlib import Path

from evidence import operator_log, processors, slowest
from rtx_demo.kubectl import Kubectl
from rtx_traffic.ledger import End, Failure, Kind, Lane, Ledger, Request, Run

RUN = Run("r", "http://e", 1_000_000.0, 100, 16, 20, 0, 8, 0)


def test_stolen_time_is_told_apart_from_used_time() -> None:
    # given two readings of the processors' ticks, of which the host took a tenth and a fifth was idle
    names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
    before = dict.fromkeys(names, 100)
    after = dict(zip(names, (150, 100, 110, 115, 105, 100, 110, 110), strict=True))

    # when they are compared, then each has its share
    assert processors(before, after) == "70% used, 10% stolen by the machine's host, 20% idle"


def test_the_slowest_requests_are_told_with_the_phase_that_they_were_due_in() -> None:
    # given a run in which one request waited for its answer in Switching, and one was never sent before it
    quick = Request(Kind.READ, Lane.NEW, 1.0, 1.01, 1.0, 200, path="/quick")
    slow = Request(Kind.ORDER, Lane.KEEP_ALIVE, 3.0, 5.5, 3.5, 201, path="/slow")
    unsent = Request(Kind.READ, Lane.KEEP_ALIVE, 0.5, 1.5, failure=Failure.UNSENT, detail="busy", path="/unsent")
    ledger = Ledger(RUN, (RUN, unsent, quick, slow, End(9.0, due=2)))

    # when the slowest are asked for, then they come first, with where they waited and the phase of the cutover
    first, second, third = slowest(ledger, [(1_000_001.0, "Testing"), (1_000_002.5, "Switching")]).splitlines()
    assert first.endswith("500 ms unsent,   2000 ms unanswered  order /slow (keep-alive) in Switching: 201")
    assert second.endswith("read /unsent (keep-alive) before any cutover: unsent busy")
    assert "in Testing" in third


def test_each_replica_s_log_is_told_also_of_the_process_that_ended(tmp_path: Path) -> None:
    # given two replicas, of which the first is just starting and the second was ended and started anew
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

    # when their logs are asked for, then there is all that there is
    told = operator_log(Kubectl((str(program),)), since=0.0)
    for said in ("container is waiting to start", "leading", "ending, as the crash hook asks"):
        assert said in told
