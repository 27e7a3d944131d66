"""The table and build/demo.json: the ids that others read."""

import msgspec
from rtx_demo.report import document, table
from rtx_traffic.verdict import Latency, Verdict

KEPT = Verdict(
    requests=18000,
    failed_requests=0,
    failures={},
    orders_sent=13700,
    orders_acknowledged=13700,
    orders_in_database=13700,
    orders_lost=0,
    orders_doubled=0,
    websocket_events=27400,
    websocket_reconnects=0,
    websocket_gaps=0,
    websocket_late=0,
    latency={"order": Latency(2.0, 5.0, 9.0, 20.0)},
    findings=(),
)


def test_the_ids_are_those_of_the_issue() -> None:
    # given a run, when its document is made
    rows = document(table(KEPT, ready_s=21.26), {"cpus": 2})["rows"]
    values = {row["id"]: row["value"] for row in rows}

    # then the figures stand under their ids, in the shape that benchmarks print
    assert values["ready_s"] == 21.3
    for figure in (
        "requests",
        "failed_requests",
        "orders_acknowledged",
        "orders_lost",
        "orders_doubled",
        "websocket_gaps",
    ):
        assert values[figure] == getattr(KEPT, figure)
    assert all(set(row) == {"id", "what", "value", "unit", "runs"} for row in rows)


def test_a_broken_promise_is_marked() -> None:
    # given a run that lost an order, when its table is made, then that row alone is bad
    lost = msgspec.structs.replace(KEPT, orders_lost=1)
    assert [row.id for row in table(lost, ready_s=1) if row.good is False] == ["orders_lost"]
