"""BackupFresh: whether the newest backup that the database could be restored from is recent."""

from datetime import timedelta
from typing import Any

import pytest
from cutover_contexts import INSTALLED
from cutover_walks import reconciled
from cutover_world import World, copied
from rtx_operator.api.enums import CutoverPhase, Reason
from simulated_api import timestamp

BUCKET = {"s3": {"bucket": "b1", "endpoint": "s3.example.com", "credentialsSecretRef": {"name": "s3"}}}


@pytest.fixture
def world() -> World:
    world = copied(INSTALLED)
    reconciled(world)
    assert fresh(world) == ("True", Reason.BACKED_UP)
    return world


def fresh(world: World) -> tuple[str, str]:
    (found,) = [one for one in world.stored["conditions"] if one["type"] == "BackupFresh"]
    return found["status"], found["reason"]


def put_backup(world: World, name: str, **changes: Any) -> None:
    """A backup of the schedule that has ended; `changes` are of its status."""
    first = next(one for key, one in world.children.items() if key[0] == "TradingEngineBackup")
    status = {**first["status"], "endedAt": timestamp(world.now), **changes}
    made = {**first, "metadata": {**first["metadata"], "name": name, "uid": name}, "status": status}
    world.children["TradingEngineBackup", name] = made


def test_backup_that_ended_while_the_operator_was_away_is_as_old_as_it_is(world: World) -> None:
    # given
    world.now += timedelta(hours=12)
    # when
    put_backup(world, "missed", made={"finishedAt": timestamp(world.now - timedelta(hours=9))})
    reconciled(world)
    # then
    assert fresh(world) == ("False", Reason.BACKUP_TOO_OLD)
    assert world.stored["backup"]["name"] == "missed"


def test_newest_backup_is_the_one_that_ended_last_whenever_the_operator_knew(world: World) -> None:
    # given: of two that it missed, it finds the older one last
    world.now += timedelta(hours=12)
    for name, hours in (("late", 1), ("early", 5)):
        put_backup(world, name, made={"finishedAt": timestamp(world.now - timedelta(hours=hours))})
        world.now += timedelta(seconds=1)
    # when
    reconciled(world)
    # then
    assert world.stored["backup"]["name"] == "late"


def test_backup_elsewhere_is_none_and_the_new_repository_begins_with_one_of_its_own(world: World) -> None:
    # given
    world.faults.add("backup hangs")
    before = {name for kind, name in world.children if kind == "TradingEngineBackup"}
    # when
    world.set_spec(backup=BUCKET)
    world.reconcile()
    # then: the database sends its log elsewhere yet
    assert fresh(world) == ("False", Reason.BACKUP_UNPREPARED)
    # and
    reconciled(world, times=60)
    assert fresh(world) == ("False", Reason.BACKUP_PENDING)
    (first,) = {name for kind, name in world.children if kind == "TradingEngineBackup"} - before
    assert world.children["TradingEngineBackup", first]["spec"]["type"] == "Full"
    # and
    world.faults.clear()
    reconciled(world)
    assert fresh(world) == ("True", Reason.BACKED_UP)


def test_database_that_is_made_anew_begins_with_a_backup_of_its_own(world: World) -> None:
    # given
    world.faults.add("backup hangs")
    internal = world.children["Secret", "rtx-internal"]
    # when: its volume is gone, and its repository has another folder
    data = {**internal["data"], "BACKUP_INCARNATION": "YW5vdGhlcg=="}
    world.children["Secret", "rtx-internal"] = {**internal, "data": data}
    reconciled(world)
    # then
    assert fresh(world) == ("False", Reason.BACKUP_PENDING)


def test_failure_that_a_backup_elsewhere_followed_is_over(world: World) -> None:
    # given: one failed, and the next one succeeded
    put_backup(world, "failed", phase="Failed", message="the repository is full")
    world.now += timedelta(hours=1)
    put_backup(world, "next", made={"finishedAt": timestamp(world.now)})
    reconciled(world)
    assert fresh(world) == ("True", Reason.BACKED_UP)
    # when
    world.faults.add("backup hangs")
    world.set_spec(backup=BUCKET)
    reconciled(world, times=60)
    # then
    assert fresh(world) == ("False", Reason.BACKUP_PENDING)


def test_upgrade_waits_until_the_database_has_moved_to_the_new_repository(world: World) -> None:
    # when: one edit of both
    world.set_spec(version="1.1.0", backup=BUCKET)
    world.reconcile()
    # then
    assert world.phase is CutoverPhase.PENDING
    # and
    assert world.run_until(CutoverPhase.SUCCEEDED, reconciles=200)
    assert world.stored["maintenance"]["component"] == "database"
