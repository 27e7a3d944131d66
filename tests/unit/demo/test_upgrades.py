"""The stage of the load that a request belongs to."""

from rtx_demo.cutovers import Cutover
from rtx_demo.upgrades import BROKEN, STEPS, Outcome, stages
from rtx_traffic.ledger import Kind, Lane, Request


def test_every_request_belongs_to_one_stage() -> None:
    # given three changes of version, 10, 50 and 90 s into a run
    outcomes = [
        Outcome(step, 1000.0 + after, 30, Cutover("i", step.ends, "a", step.version))
        for step, after in zip(STEPS, (10, 50, 90), strict=True)
    ]

    # when the run is divided, then the handshakes before its start and the last requests have their place too
    divided = stages(outcomes, started_at=1000.0)

    def held(due: float) -> list[str]:
        return [stage.name for stage in divided if stage.holds(Request(Kind.READ, Lane.NEW, due, due))]

    assert [held(due) for due in (-1, 9.9, 10, 49, 50, 90, 5000)] == [
        ["before"],
        ["before"],
        ["upgrade"],
        ["upgrade"],
        ["rollback"],
        ["back"],
        ["back"],
    ]
    assert {stage.name: stage.broken_version for stage in divided if stage.broken_version} == {"rollback": BROKEN}
