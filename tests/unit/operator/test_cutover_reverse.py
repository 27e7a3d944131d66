"""What a rollback takes back of the database: nothing that orders may be in, and nothing beside what still runs."""

import pytest
from cutover_laws import Intent
from cutover_walks import walk
from cutover_world import World
from maintenance_walks import reconciled
from rtx_operator.api.enums import Component, CutoverPhase
from rtx_operator.api.names import Names
from rtx_operator.desired.state import JOB_LABEL
from rtx_operator.operations.effects import Effect, EffectName, MoveFence


@pytest.fixture
def performed(world: World) -> list[EffectName]:
    """The effects that are performed from now on."""
    names: list[EffectName] = []
    judge = world.judge_effect

    def record(effect: Effect, intent: Intent) -> None:
        names.append(effect.name)
        judge(effect, intent)

    world.judge_effect = record  # type: ignore[method-assign]
    return names


def jobs_under_way(world: World) -> list[str]:
    jobs = [(name, job) for (kind, name), job in world.children.items() if kind == "Job"]
    return [name for name, job in jobs if not job["status"].get("conditions")]


@pytest.mark.parametrize("mishap", ["conflict", "killed"])
def test_expand_is_not_reversed_when_the_status_of_the_move_back_is_lost(
    world: World, performed: list[EffectName], mishap: str
) -> None:
    # Given a switch that has just moved the fence: the new version executes orders
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.SWITCHING)
    while world.fence and world.fence.executors == ("blue",):
        world.reconcile()

    # When the user takes the version back, while the database's answer is late
    world.set_spec(version="1.0.0")
    world.faults.add("late answers")
    reconciled(world, 1)
    assert world.phase is CutoverPhase.ROLLING_BACK
    world.faults.discard("late answers")

    # And the status of the reconcile that moves the fence back is not written
    while not any(isinstance(effect, MoveFence) for effect in world.intend().decision.effects):
        world.reconcile()
    if mishap == "killed":
        world.reconcile(killed_at=1)
    else:
        world.perform_decision(world.intend(), lambda: None)
        world.engine_version = world.next_version()
    assert world.fence
    assert world.fence.executors == ("blue",)

    # Then the migrations stay: orders of the new version may be in what they made
    assert walk(world)[0][-1] is CutoverPhase.ROLLED_BACK
    assert EffectName.REVERSE not in performed
    assert world.stored["history"][0]["fencedAt"]


def test_migration_that_still_runs_is_ended_before_it_is_reversed(world: World) -> None:
    # Given an expand migration that waits, as an index does that is built beside an old snapshot
    world.faults.add("jobs hang")
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.MIGRATING)
    reconciled(world, 3)
    [migration] = jobs_under_way(world)
    labels = {**Names("rtx").selector(Component.MIGRATION), JOB_LABEL: migration}
    pod = {"metadata": {"name": "migrating", "labels": labels}, "spec": {}, "status": {"phase": "Running"}}

    # When the user changes their mind, and its pod takes a while to end
    world.set_spec(version="1.0.0")
    for _ in range(10):
        world.pods["migrating"] = pod
        reconciled(world, 1)

    # Then the Job is deleted, and the one that reverses it is not made
    assert jobs_under_way(world) == []
    assert "pod migrating of an earlier migration Job" in world.intend().decision.waits.message  # type: ignore[union-attr]

    # And it is made once the pod has ended
    del world.pods["migrating"]
    reconciled(world, 3)
    assert jobs_under_way(world) not in ([], [migration])
    world.faults.discard("jobs hang")
    assert world.run_until(CutoverPhase.ROLLED_BACK)
