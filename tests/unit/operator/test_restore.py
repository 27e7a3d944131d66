"""A restore, in the small world: its phases, what it waits for and what waits for it, and its ways out."""

import pytest
from cutover_walks import executors, reconciled, upgraded
from cutover_world import World, copied
from maintenance_walks import MORE, condition
from rtx_operator.api.enums import ConditionType, CutoverPhase, MaintenancePhase, Reason, RestorePhase
from rtx_operator.api.names import InternalKey, Label
from rtx_operator.observation import secret_text
from simulated_restores import RESTORE

WALK = [
    RestorePhase.PENDING,
    RestorePhase.VALIDATING,
    RestorePhase.FENCING,
    RestorePhase.STOPPING,
    RestorePhase.RESTORING,
    RestorePhase.SWAPPING,
    RestorePhase.STARTING,
    RestorePhase.RESUMING,
    RestorePhase.SUCCEEDED,
]
THREE = {"instances": 3}


def phases(world: World, reconciles: int = 60) -> list[RestorePhase]:
    """The phases that restores enter, until one is over."""
    entered: list[RestorePhase] = []
    for _ in range(reconciles):
        world.tick()
        decision = world.reconcile()
        world.judge()
        if decision and isinstance(decision.entered, RestorePhase):
            entered.append(decision.entered)
            if decision.entered.is_terminal:
                world.tick()
                break
    return entered


def until(world: World, phase: RestorePhase, reconciles: int = 60) -> bool:
    for _ in range(reconciles):
        world.tick()
        world.reconcile()
        world.judge()
        if world.stored.get("restore", {}).get("phase") == phase:
            return True
    return False


def status(world: World, name: str = "monday") -> dict[str, object]:
    return dict(world.children[RESTORE, name]["status"])


def incarnation(world: World) -> str | None:
    return secret_text(world.children["Secret", "rtx-internal"], InternalKey.BACKUP_INCARNATION)


def test_restore_walks_through_its_phases_and_the_epoch_is_higher_afterwards(world: World) -> None:
    # given
    upgraded(world)
    epoch, folder = world.active["epoch"], incarnation(world)
    world.ask_restore()
    # when
    entered = phases(world)
    # then
    assert entered == WALK
    assert world.restore_jobs == ["check", "restore", "swap"]
    assert executors(world) == ("green",)
    assert world.fence
    assert world.fence.epoch > epoch
    assert status(world)["phase"] == RestorePhase.SUCCEEDED
    assert status(world)["keepsEarlierData"] is True
    assert status(world)["restored"]["lsn"] == "0/5000110"  # type: ignore[index]
    assert incarnation(world) not in {folder, None}
    world.settle()


def test_restored_data_are_migrated_before_anybody_executes_on_them(world: World) -> None:
    # given: the data are of an epoch before the upgrade
    upgraded(world)
    world.ask_restore()
    assert until(world, RestorePhase.STARTING)
    # when
    assert until(world, RestorePhase.SUCCEEDED)
    # then
    renewed = [name for kind, name in world.children if kind == "Job" and "migrate" in name]
    assert renewed
    assert "earlierData" not in world.stored


def test_database_of_three_servers_is_restored_on_the_first_and_copied_by_the_others(world: World) -> None:
    # given
    world.set_spec(database=THREE)
    world.settle()
    reconciled(world, 30)
    world.ask_restore()
    # when
    entered = phases(world, 120)
    # then
    assert entered == WALK
    assert sorted(world.restore_jobs) == ["check", "restore", "set-aside", "set-aside", "swap"]
    reconciled(world, 20)
    assert len(world.servers()) == 3
    assert world.lost == 0


def test_target_that_cannot_be_restored_leaves_everything_untouched(world: World) -> None:
    # given
    fence = world.fence
    world.faults.add("target")
    world.ask_restore()
    # when
    entered = phases(world)
    # then
    assert entered == [RestorePhase.PENDING, RestorePhase.VALIDATING, RestorePhase.FAILED]
    assert status(world)["reason"] == Reason.RESTORE_REFUSED
    assert status(world)["message"] == "target cannot be done; nothing was touched"
    assert world.fence == fence
    assert world.servers()


def test_restore_that_fails_brings_database_and_fence_back(world: World) -> None:
    # given
    world.faults.add("restore")
    world.ask_restore()
    # when
    entered = phases(world, 120)
    # then
    assert entered[-3:] == [RestorePhase.RESTORING, RestorePhase.ROLLING_BACK, RestorePhase.FAILED]
    assert status(world)["message"] == "restore cannot be done"
    assert executors(world) == ("blue",)
    assert "undo" not in world.restore_jobs
    world.settle()


def test_data_that_cannot_be_swapped_are_brought_back(world: World) -> None:
    # given
    world.faults.add("swap")
    world.ask_restore()
    # when
    entered = phases(world, 120)
    # then
    assert entered[-4:] == [
        RestorePhase.SWAPPING,
        RestorePhase.UNDOING,
        RestorePhase.ROLLING_BACK,
        RestorePhase.FAILED,
    ]
    assert executors(world) == ("blue",)
    world.settle()


def test_database_that_does_not_start_with_restored_data_gets_those_of_before_back(world: World) -> None:
    # given
    upgraded(world)
    world.ask_restore()
    assert until(world, RestorePhase.STARTING)
    epoch = world.active["epoch"]
    world.faults.add("no database")
    # when
    for _ in range(200):
        reconciled(world, 1, 15)
        if world.stored["restore"]["phase"] != RestorePhase.STARTING:
            break
    assert world.stored["restore"]["phase"] == RestorePhase.UNDOING
    world.faults.clear()
    # then
    assert until(world, RestorePhase.FAILED)
    assert world.fence
    assert world.fence.epoch > epoch
    assert world.restore_jobs[-1] == "undo"
    world.settle()


@pytest.mark.parametrize("phase", [RestorePhase.VALIDATING, RestorePhase.STOPPING, RestorePhase.RESTORING])
def test_restore_that_is_deleted_before_the_swap_leaves_the_data_as_they_were(
    world: World, phase: RestorePhase
) -> None:
    # given
    before = world.fence
    world.ask_restore()
    assert until(world, phase)
    # when
    world.withdraw_restore()
    # then
    assert until(world, RestorePhase.FAILED, 120)
    assert world.stored["restore"]["reason"] == Reason.RESTORE_WITHDRAWN
    assert executors(world) == ("blue",)
    assert before
    assert world.fence
    assert world.fence.epoch >= before.epoch
    world.settle()


def test_restore_that_is_deleted_after_the_swap_goes_on_to_either_end(world: World) -> None:
    # given
    world.ask_restore()
    assert until(world, RestorePhase.STARTING)
    world.withdraw_restore()
    other = copied(world)
    # then
    assert until(world, RestorePhase.SUCCEEDED)
    world.settle()
    # and
    other.faults.add("no database")
    for _ in range(200):
        reconciled(other, 1, 15)
        if other.stored["restore"]["phase"] != RestorePhase.STARTING:
            break
    other.faults.clear()
    assert until(other, RestorePhase.FAILED)
    assert other.restore_jobs[-1] == "undo"


def test_jobs_of_the_last_restore_stay_for_their_logs_and_those_of_earlier_ones_go(world: World) -> None:
    # given
    for name in ("monday", "tuesday"):
        world.ask_restore(name)
        assert until(world, RestorePhase.SUCCEEDED, 120)
        reconciled(world, 3)
    # then
    labels = {
        job["metadata"]["labels"].get(Label.RESTORE.value) for key, job in world.children.items() if key[0] == "Job"
    }
    assert "tuesday" in labels
    assert "monday" not in labels


def test_version_that_cannot_migrate_restored_data_holds_up_no_other_one(world: World) -> None:
    # given: 1.1.0, whose migrations fail on the data of before
    upgraded(world)
    world.ask_restore()
    assert until(world, RestorePhase.STARTING)
    world.faults.add("migration:1.1.0")
    # when
    for _ in range(120):
        reconciled(world, 1, 15)
    # then
    assert world.stored["restore"]["phase"] == RestorePhase.SUCCEEDED
    world.set_spec(version="1.2.0")
    assert world.run_until(CutoverPhase.SUCCEEDED, 120)


@pytest.mark.parametrize("killed_at", range(6))
def test_operator_that_is_killed_at_any_step_goes_on(world: World, killed_at: int) -> None:
    # given
    upgraded(world)
    epoch = world.active["epoch"]
    world.ask_restore()
    # when: each reconcile is tried once by an operator that ends amid it
    for _ in range(120):
        world.tick()
        world.reconcile(killed_at=killed_at)
        world.reconcile()
        world.judge()
    # then
    assert world.stored["restore"]["phase"] == RestorePhase.SUCCEEDED
    assert world.restore_jobs == ["check", "restore", "swap"]
    assert world.fence
    assert world.fence.epoch > epoch
    world.settle()


def test_status_of_a_restore_that_is_late_begins_no_second_one(world: World) -> None:
    # given
    world.ask_restore()
    world.faults.add("restores late")
    # when
    assert until(world, RestorePhase.SUCCEEDED)
    world.ask_restore("tuesday")
    reconciled(world, 20)
    # then
    assert world.stored["restore"]["name"] == "monday"
    world.faults.clear()
    assert until(world, RestorePhase.VALIDATING)
    assert world.stored["restore"]["name"] == "tuesday"
    assert until(world, RestorePhase.SUCCEEDED)
    assert world.restore_jobs.count("swap") == 2


def test_upgrade_and_maintenance_wait_for_a_restore(world: World) -> None:
    # given
    world.ask_restore()
    assert until(world, RestorePhase.FENCING)
    # when
    world.set_spec(version="1.1.0", database=MORE)
    assert until(world, RestorePhase.RESUMING)
    # then
    assert "cutover" not in world.stored
    assert "maintenance" not in world.stored
    assert condition(world, ConditionType.READY)["reason"] == Reason.RESTORING
    # and they follow
    assert world.run_until(CutoverPhase.SUCCEEDED, 120)


def test_restore_waits_for_an_upgrade_and_a_maintenance_that_move(world: World) -> None:
    # given
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.MIGRATING)
    world.ask_restore()
    # when
    reconciled(world, 3)
    # then
    assert "restore" not in world.stored
    assert status(world)["phase"] == RestorePhase.PENDING
    assert "other operations" in str(status(world)["message"])
    assert world.run_until(CutoverPhase.SUCCEEDED, 80)
    # and
    world.set_spec(database=MORE)
    assert until(world, RestorePhase.SUCCEEDED, 120)
    reconciled(world, 60)
    assert world.stored["maintenance"]["phase"] == MaintenancePhase.SUCCEEDED


def test_restore_mends_what_a_rollback_is_stuck_on(stuck: World) -> None:
    # given
    stuck.ask_restore()
    # when
    assert until(stuck, RestorePhase.SUCCEEDED, 120)
    # then
    assert stuck.phase is CutoverPhase.ROLLING_BACK
    stuck.settle()


def test_paused_engine_is_not_restored(world: World) -> None:
    # given
    world.set_spec(paused=True)
    reconciled(world, 3)
    world.ask_restore()
    # when
    reconciled(world, 10)
    # then
    assert "restore" not in world.stored
    assert status(world)["reason"] == Reason.PAUSED
    world.set_spec(paused=False)
    assert until(world, RestorePhase.SUCCEEDED)


def test_lost_database_is_restored_without_its_answer(world: World) -> None:
    # given
    world.ask_restore()
    world.faults.add("no database")
    # when
    reconciled(world, 45)
    # then
    assert world.stored["restore"]["phase"] == RestorePhase.STARTING
    assert world.log_switches == 0
    world.faults.clear()
    assert until(world, RestorePhase.SUCCEEDED)


def test_source_that_names_no_finished_backup_is_refused(world: World) -> None:
    # when
    world.ask_restore(backup="nobody")
    # then
    assert phases(world) == [RestorePhase.PENDING, RestorePhase.FAILED]
    assert "TradingEngineBackup nobody does not exist" in str(status(world)["message"])


def test_backups_begin_anew_after_a_restore(world: World) -> None:
    # given
    reconciled(world, 5)
    assert condition(world, ConditionType.BACKUP_FRESH)["reason"] == Reason.BACKED_UP
    before = {name for kind, name in world.children if kind == "TradingEngineBackup"}
    world.faults.add("backup hangs")
    world.ask_restore()
    # when
    assert until(world, RestorePhase.SUCCEEDED)
    reconciled(world, 5)
    # then: those of before have not the log of the restored data
    (first,) = {name for kind, name in world.children if kind == "TradingEngineBackup"} - before
    assert world.children["TradingEngineBackup", first]["spec"]["type"] == "Full"
    assert condition(world, ConditionType.BACKUP_FRESH)["reason"] == Reason.BACKUP_PENDING
    # and
    world.faults.clear()
    reconciled(world, 5)
    assert condition(world, ConditionType.BACKUP_FRESH)["reason"] == Reason.BACKED_UP
    assert world.stored["backup"]["name"] == first
