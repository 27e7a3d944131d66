"""How often an engine is reconciled whose rollback waits: at once while traffic waits for it, and rarely otherwise."""

from cutover_world import World
from retirement_walks import stalled
from rtx_operator.api.enums import CutoverPhase, Reason
from rtx_operator.decision.outcome import Outcome
from rtx_operator.decision.requeue import requeue_after
from rtx_operator.operations.arbiter import traffic_waits_by


def reconciles(world: World, seconds: int) -> tuple[int, int]:
    """How many reconciles there are in so many seconds as the operator itself asks for them, and how many go first."""
    left, number, urgent = float(seconds), 0, 0
    while left > 0 and not (world.phase and world.phase.is_terminal):
        due = max(requeue_after(world.intend().decision, Outcome(), now=world.now, resync=600), 0.05)
        urgent += traffic_waits_by(world.stored)
        world.reconcile()
        number += 1
        world.tick(due)
        left -= due
    return number, urgent


def test_rollback_of_a_version_that_never_had_traffic_goes_before_no_other_engine(world: World) -> None:
    # Given a version whose image no node can pull: its migration Job never starts, nor does the reverse one
    world.faults.add("jobs hang")
    world.set_spec(version="1.1.0", rollout={**world.spec["rollout"], "migrationTimeout": "60s"})

    # When it is rolled back
    assert world.run_until(CutoverPhase.ROLLING_BACK, 200)
    assert "fencedAt" not in world.stored["cutover"]
    number, urgent = reconciles(world, 60)

    # Then nobody's traffic waits for that
    assert number <= 75
    assert urgent == 0


def test_rollback_that_only_a_person_can_mend_is_reconciled_ever_more_rarely(stuck: World) -> None:
    # Given a rollback that has waited for the old colour for a minute
    reconciles(stuck, 60)
    assert stalled(stuck)[1] == Reason.CANNOT_ROLL_BACK

    # When it waits for another one
    number, _ = reconciles(stuck, 60)

    assert number <= 15
