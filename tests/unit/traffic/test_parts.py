"""A load in several parts equals one load: shares add up, numbers are unique, ledgers merge."""

from collections import Counter
from pathlib import Path

import msgspec
import pytest
from rtx_traffic.ledger import End, Kind, Lane, Ledger, MismatchedLedgersError, Request, Run, encode
from rtx_traffic.parts import part_numbers, share
from rtx_traffic.progress import Progress, total
from rtx_traffic.schedule import schedule

WHOLE = Run("r", "http://e", 1e9, rate=600, keep_alive=33, new_per_second=100, sockets=101, accounts=50, duration=3)
PARTS = 4


def shares() -> list[Run]:
    return [share(WHOLE, part, PARTS) for part in range(PARTS)]


def ledger(run: Run, *ended: float) -> Ledger:
    requests = [
        Request(Kind.READ, Lane.NEW, at - 0.01, at, sent=at, status=200, path="/p", number=run.part + run.parts * place)
        for place, at in enumerate(sorted(ended))
    ]
    end = End(10.0 + run.part, due=len(requests))
    return Ledger.parse(encode(record) for record in [run, *requests, end])


def test_shares_add_up_to_the_whole() -> None:
    # given a load whose numbers do not divide evenly, when it is shared, then nothing is missing or added
    divided = shares()
    assert sum(run.keep_alive for run in divided) == WHOLE.keep_alive
    assert sum(run.sockets for run in divided) == WHOLE.sockets
    assert sum(run.rate for run in divided) == WHOLE.rate
    assert sum(run.new_per_second for run in divided) == WHOLE.new_per_second
    taken = [number for part in range(PARTS) for number in part_numbers(WHOLE.sockets, part, PARTS)]
    assert sorted(taken) == list(range(WHOLE.sockets))


def test_parts_send_the_whole_schedule_with_unique_numbers() -> None:
    # given the schedules of four parts
    due = [
        request
        for run in shares()
        for request in schedule(
            rate=run.rate,
            new_per_second=run.new_per_second,
            duration=run.duration,
            seed=run.part,
            part=run.part,
            parts=run.parts,
        )
    ]

    # when they are laid together, then each second has its requests on their lanes, evenly spaced and numbered once
    assert Counter((int(request.at), request.lane) for request in due) == {
        (second, lane): count for second in range(3) for lane, count in ((Lane.NEW, 100), (Lane.KEEP_ALIVE, 500))
    }
    assert len({request.number for request in due}) == len(due) == 1800
    assert len({round(request.at * 600) for request in due}) == 1800


def test_merged_ledgers_are_one_ledger(tmp_path: Path) -> None:
    # given the ledgers of all parts, in any order
    ledgers = [ledger(run, 1.0 + run.part, 5.0 - run.part) for run in reversed(shares())]

    # when they are merged, then it is the whole run, in the order in which things were known
    merged = Ledger.merge(ledgers)
    assert merged.run == WHOLE
    assert [request.ended for request in merged.requests()] == [1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0, 5.0]
    assert merged.records[0] == merged.run
    assert merged.records[-1] == End(13.0, due=8, planned=8)

    # and written down and read again, it is the same
    merged.write(tmp_path / "build" / "ledger")
    assert Ledger.parse((tmp_path / "build" / "ledger").read_bytes().splitlines()) == merged


def test_merge_refuses_missing_repeated_and_foreign_parts() -> None:
    # given the parts of a run
    parts = [ledger(run) for run in shares()]
    other = ledger(msgspec.structs.replace(parts[3].run, run="other"))

    # when one is left out, taken twice, or taken from another run, then they are not merged
    for wrong in (parts[:3], [*parts[:3], parts[0]], [*parts[:3], other]):
        with pytest.raises(MismatchedLedgersError, match="not the parts of one run"):
            Ledger.merge(wrong)


def test_total_progress_sums_counts_and_takes_the_highest_latency() -> None:
    # given two pods, one second apart, when their lines are added
    progress = total([Progress(3, 100, 1, 70, 25, 2.0, 9.0), Progress(4, 150, 0, 90, 25, 3.0, 5.0)])

    # then counts are sums, and latencies those of the slower
    assert progress == Progress(4, 250, 1, 160, 50, 3.0, 9.0)
