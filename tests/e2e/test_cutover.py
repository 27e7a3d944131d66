"""An upgrade by bumping `spec.version`, the way back, and a broken version: under load, and no request fails."""

import pytest
from loads import Load, assert_kept, nothing_fails
from upgrades import BROKEN, NEW, OLD, Upgrades

pytestmark = pytest.mark.usefixtures("engine_of_the_module")


def test_an_upgrade_under_load_fails_nothing(upgrades: Upgrades, loaded: Load) -> None:
    # given an engine of version 1.0.0 under load, when its version is bumped
    with nothing_fails(loaded):
        cutover = upgrades.upgrade(NEW)

    # then it succeeds, in all its phases, and the new colour is the one that serves and the only one that executes
    assert cutover["phase"] == "Succeeded", cutover
    assert {"Migrating", "Provisioning", "Testing", "Switching", "Monitoring", "Promoting"} <= set(cutover["seconds"])
    end = upgrades.end_state()
    assert end["version"] == NEW
    assert end["previous"] == OLD
    assert end["selects the active colour"]
    assert end["executors are the active colour"]
    assert end["active pods"] == end["idle pods"] == 2
    assert upgrades.cutover()["to"]["colour"] == upgrades.selected()


def test_bumping_back_while_the_old_version_is_kept_is_a_switch(upgrades: Upgrades, loaded: Load) -> None:
    # given a version with the one before kept warm, when the version is bumped back under load
    upgrades.ensure(NEW)
    kept = upgrades.status()["previous"]["colour"]
    before = {pod["metadata"]["uid"] for pod in upgrades.pods(kept)}
    with nothing_fails(loaded):
        cutover = upgrades.upgrade(OLD)

    # then the same pods serve again: nothing was migrated and nothing started
    assert cutover["phase"] == "Succeeded", cutover
    assert "Migrating" not in cutover["seconds"]
    assert {pod["metadata"]["uid"] for pod in upgrades.pods(kept)} == before
    assert upgrades.end_state()["version"] == OLD
    assert upgrades.selected() == kept


def test_a_broken_version_goes_back_by_itself(upgrades: Upgrades, loaded: Load) -> None:
    # given version 1.0.0 under load, when it is bumped to a version that fails one order in five
    upgrades.ensure(OLD)
    cutover = upgrades.upgrade(BROKEN)

    # then it is found out and the old version serves again, without anybody's help
    assert cutover["phase"] == "RolledBack", cutover
    assert cutover["reason"] == "TooManyErrors"
    end = upgrades.end_state()
    assert end["version"] == OLD
    assert end["rejected"] == BROKEN
    assert end["selects the active colour"]
    assert end["executors are the active colour"]

    # and over all of the load, no promise was broken but for what the broken version itself answered with 500
    verdict = loaded.verdict(broken=BROKEN)
    assert_kept(verdict)
    assert verdict.broken_version_failed_requests > 0
    upgrades.patch(version=OLD)
