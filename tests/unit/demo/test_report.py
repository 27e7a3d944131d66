"""The table and build/demo.json: stable ids, and each broken promise is marked."""

import msgspec
import pytest
from rtx_demo.cutovers import ROLLED_BACK, SUCCEEDED, Cutover
from rtx_demo.report import Result, document, table
from rtx_demo.upgrades import STEPS, Outcome
from rtx_traffic.stages import Count
from rtx_traffic.verdict import Latency, Verdict

KEPT = Verdict(
    requests=108000,
    failed_requests=0,
    broken_version_failed_requests=412,
    failures={},
    unrecorded_requests=0,
    idle_parts=0,
    load_crashes=0,
    orders_sent=82000,
    orders_acknowledged=81900,
    orders_in_database=81950,
    orders_lost=0,
    orders_doubled=0,
    orders_altered=0,
    repeats_answered_otherwise=0,
    accounts_wrong=0,
    accounts_unbalanced=0,
    fenced_executions=0,
    websocket_events=163800,
    websocket_reconnects=300,
    websocket_gaps=0,
    websocket_late=0,
    latency={"order": Latency(2.0, 5.0, 9.0, 20.0)},
    stages={
        "before": Count(3000, 0, 0),
        "upgrade": Count(25000, 0, 0),
        "rollback": Count(25000, 0, 412),
        "back": Count(9000, 0, 0),
    },
    findings=(),
)
CUTOVERS = (
    Cutover(
        "1.1.0-a", SUCCEEDED, "1.0.0", "1.1.0",
        fenced_at=1000.25, switched_at=1000.75, seconds={"Migrating": 4.04, "Switching": 0.6},
    ),
    Cutover(
        "1.2.0-b", ROLLED_BACK, "1.1.0", "1.2.0-broken", "TooManyErrors", "7 % of the requests failed",
        fenced_at=1100, switched_at=1100.5, restored_at=1106,
    ),
    Cutover("1.0.0-c", SUCCEEDED, "1.1.0", "1.0.0", fenced_at=1201, switched_at=1202),
)  # fmt: skip
OUTCOMES = tuple(
    Outcome(step, changed_at, 30.04, cutover)
    for step, changed_at, cutover in zip(STEPS, (970, 1070, 1200), CUTOVERS, strict=True)
)
RESULT = Result(KEPT, OUTCOMES, first_broken_failure=1100.9)


def test_ids_and_values_of_the_document() -> None:
    # given a demo, when its document is made
    rows = document(table(RESULT, ready_s=21.26), {"cpus": 2})["rows"]
    values = {row["id"]: row["value"] for row in rows}

    # then the figures stand under their ids, in the shape that benchmarks print
    assert values["ready_s"] == 21.3
    for figure in (
        "requests",
        "failed_requests",
        "broken_version_failed_requests",
        "orders_acknowledged",
        "orders_lost",
        "orders_doubled",
        "orders_altered",
        "repeats_answered_otherwise",
        "accounts_wrong",
        "accounts_unbalanced",
        "unrecorded_requests",
        "idle_parts",
        "load_crashes",
        "fenced_executions",
        "websocket_gaps",
    ):
        assert values[figure] == getattr(KEPT, figure)
    assert [values[f"{name}_failed_requests"] for name in ("upgrade", "rollback", "back")] == [0, 0, 0]
    assert (values["upgrade_s"], values["switch_s"]) == (30.0, 0.5)
    assert (values["phases_s.Migrating"], values["phases_s.Switching"]) == (4.0, 0.6)
    assert values["rollback_s"] == 5.1  # from the first failure to the old version's return
    assert values["back_s"] == 2.0  # from the change of spec to the switch
    assert all(set(row) == {"id", "what", "value", "unit", "runs"} for row in rows)


def test_rollback_without_failures_is_timed_from_the_fences_move() -> None:
    # given a broken version that was rolled back before it failed a request, when the table is made
    result = Result(KEPT, OUTCOMES, first_broken_failure=None)
    values = {row.id: row.value for row in table(result, ready_s=1)}

    # then the rollback's time begins with the fence's move
    assert values["rollback_s"] == 6.0


@pytest.mark.parametrize(
    "figure",
    [
        "failed_requests",
        "unrecorded_requests",
        "idle_parts",
        "load_crashes",
        "orders_lost",
        "orders_doubled",
        "orders_altered",
        "repeats_answered_otherwise",
        "accounts_wrong",
        "accounts_unbalanced",
        "fenced_executions",
        "websocket_gaps",
    ],
)
def test_broken_promise_is_marked(figure: str) -> None:
    # given a run that broke one promise, when its table is made, then that row alone is bad, and nothing was kept
    broken = Result(msgspec.structs.replace(KEPT, **{figure: 1}), OUTCOMES)
    assert [row.id for row in table(broken, ready_s=1) if row.good is False] == [figure]
    assert not broken.kept


def test_failed_request_counts_in_its_stage() -> None:
    # given a request that failed under the broken version, but not by it
    stages = KEPT.stages | {"rollback": Count(25000, 1, 411)}
    broken = Result(msgspec.structs.replace(KEPT, stages=stages, failed_requests=1), OUTCOMES)

    # when the table is made, then the stage and the whole are bad
    assert [row.id for row in table(broken, ready_s=1) if row.good is False] == [
        "rollback_failed_requests",
        "failed_requests",
    ]


def test_cutover_with_an_unexpected_end_is_a_broken_promise() -> None:
    # given an upgrade that was rolled back although its version works, after which no step ran
    cutover = Cutover("1.1.0-a", ROLLED_BACK, "1.0.0", "1.1.0", "SmokeFailed", "symbols answered 500")
    result = Result(KEPT, [Outcome(STEPS[0], 970, 30, cutover)])

    # when it is reported, then a finding names it, and steps that did not run have no figures
    assert not result.kept
    assert result.findings == [
        "The cutover to 1.1.0 ended in RolledBack instead of Succeeded (SmokeFailed: symbols answered 500)."
    ]
    assert [row.id for row in table(result, ready_s=1) if row.good is False] == ["upgrade_s"]
    assert not {"rollback_s", "back_s", "switch_s"} & {row.id for row in table(result, ready_s=1)}
