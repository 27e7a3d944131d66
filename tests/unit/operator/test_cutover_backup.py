"""The backup with which an upgrade begins."""

import pytest
from cutover_contexts import INSTALLED
from cutover_walks import ROLLBACK_PHASES, UPGRADE_PHASES, last_result, reconciled, upgraded, walk
from cutover_world import World, copied
from rtx_operator.api.enums import CutoverPhase, Reason
from rtx_operator.operations.effects import EffectName


@pytest.fixture
def world() -> World:
    return copied(INSTALLED)


def backups(world: World) -> list[str]:
    return [name for kind, name in world.children if kind == "TradingEngineBackup"]


def test_upgrade_begins_with_a_backup_of_its_own(world: World) -> None:
    # given
    before = backups(world)
    world.set_spec(version="1.1.0")
    # when
    phases, performed = walk(world)
    # then
    assert phases == UPGRADE_PHASES
    assert performed.index(EffectName.BACK_UP) < performed.index(EffectName.MIGRATE)
    (made,) = set(backups(world)) - set(before)
    assert world.children["TradingEngineBackup", made]["spec"] == {"engine": "rtx", "type": "Incremental"}


@pytest.mark.parametrize(
    ("fault", "reason"), [("backup", Reason.BACKUP_FAILED), ("backup hangs", Reason.DEADLINE_EXCEEDED)]
)
def test_upgrade_without_its_backup_is_rejected_before_anything_is_made(
    world: World, fault: str, reason: Reason
) -> None:
    # given
    world.faults.add(fault)
    world.set_spec(version="1.1.0", rollout={**world.spec["rollout"], "backup": {"timeout": "1m"}})
    # when
    phases, performed = walk(world, reconciles=200)
    # then
    assert phases == [CutoverPhase.PENDING, CutoverPhase.BACKING_UP, CutoverPhase.ROLLED_BACK]
    assert set(performed) <= {EffectName.BACK_UP}
    assert last_result(world) == (CutoverPhase.ROLLED_BACK, reason)
    assert world.stored["rejected"]["version"] == "1.1.0"
    # and: it is not tried again by itself, but for whoever asks
    world.faults.clear()
    reconciled(world)
    assert world.phase is CutoverPhase.ROLLED_BACK
    world.retry()
    assert world.run_until(CutoverPhase.SUCCEEDED, reconciles=80)


def test_retry_that_was_asked_for_before_does_not_repeat_a_failed_backup(world: World) -> None:
    # given
    world.retry()
    world.faults.add("backup")
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.ROLLED_BACK)
    # when
    reconciled(world)
    # then
    assert len(world.stored["history"]) == 1


@pytest.mark.parametrize(
    "spec",
    [
        {"environment": "Development"},
        {"rollout": {**INSTALLED.spec["rollout"], "backup": {"mode": "Skipped"}}},
        {"backup": {"type": "None"}},
    ],
)
def test_upgrade_skips_the_backup_where_spec_asks_for_none(world: World, spec: dict[str, object]) -> None:
    # given
    changed = {
        field: {**world.spec.get(field, {}), **value} if isinstance(value, dict) else value
        for field, value in spec.items()
    }
    world.set_spec(version="1.1.0", **changed)
    # when
    phases, performed = walk(world, reconciles=120)  # some of these restart the database first
    # then
    assert phases == [phase for phase in UPGRADE_PHASES if phase is not CutoverPhase.BACKING_UP]
    assert EffectName.BACK_UP not in performed


def test_going_back_to_the_kept_release_waits_for_no_backup(world: World) -> None:
    # given
    upgraded(world)
    world.faults.add("backup hangs")
    # when
    world.set_spec(version="1.0.0")
    phases, _ = walk(world)
    # then
    assert CutoverPhase.BACKING_UP not in phases
    assert phases[-1] is CutoverPhase.SUCCEEDED


def test_change_of_mind_during_the_backup_touches_nothing(world: World) -> None:
    # given
    world.faults.add("backup hangs")
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.BACKING_UP)
    # when
    world.set_spec(version="1.0.0")
    # then
    phases, performed = walk(world)
    assert phases == ROLLBACK_PHASES[1:]
    assert performed == []
    assert "rejected" not in world.stored


def test_release_that_is_kept_stays_kept_while_the_backup_runs(world: World) -> None:
    # given
    upgraded(world)
    kept = world.stored["previous"]
    world.faults.add("backup hangs")
    # when
    world.set_spec(version="1.2.0")
    assert world.run_until(CutoverPhase.BACKING_UP)
    reconciled(world)
    # then
    assert world.stored["previous"] == kept
    assert world.colour_pods(kept["colour"], ready=True)


def test_backup_is_not_skipped_while_the_database_is_not_seen(world: World) -> None:
    # given
    world.faults.add("backup hangs")
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.BACKING_UP)
    # when: somebody deletes its StatefulSet, or a controller makes it anew
    world.faults.add("no database")
    del world.children["StatefulSet", "rtx-postgres"]
    world.reconcile()
    # then
    assert world.phase is CutoverPhase.BACKING_UP
