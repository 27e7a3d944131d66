"""An upgrade by bumping `spec.version`, a broken one, and the ways back: under load, and no request fails."""

from collections.abc import Iterator

import pytest
from cutover_support import BROKEN, NEW, OLD, ROLLOUT, Load, Upgrades, assert_kept, load, upgradable
from rtx_demo import database
from rtx_demo.sample import Sample


@pytest.fixture(scope="module")
def upgrades(sample: Sample) -> Iterator[Upgrades]:
    """One engine for the module, whose tests go through its life in order."""
    with upgradable(sample) as engine:
        yield Upgrades(engine)


@pytest.fixture
def loaded(upgrades: Upgrades) -> Iterator[Load]:
    with load(upgrades.engine) as loaded:
        yield loaded


def test_an_upgrade_under_load_fails_nothing(upgrades: Upgrades, loaded: Load) -> None:
    # given an engine of version 1.0.0 under load, when its version is bumped
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
    assert upgrades.cutover()["to"]["colour"] == upgrades.selected() == "green"

    # and nothing failed, was lost, doubled, missed, or executed by the colour that no longer may
    assert_kept(loaded.verdict())


def test_bumping_back_while_the_old_version_is_kept_is_a_switch(upgrades: Upgrades, loaded: Load) -> None:
    # given version 1.1.0, with 1.0.0 kept warm, when the version is bumped back under load
    before = {pod["metadata"]["uid"] for pod in upgrades.pods("blue")}
    cutover = upgrades.upgrade(OLD)

    # then the same pods serve again: nothing was migrated and nothing started
    assert cutover["phase"] == "Succeeded", cutover
    assert "Migrating" not in cutover["seconds"]
    assert {pod["metadata"]["uid"] for pod in upgrades.pods("blue")} == before
    assert upgrades.end_state()["version"] == OLD
    assert upgrades.selected() == "blue"
    assert_kept(loaded.verdict())


def test_a_broken_version_goes_back_by_itself(upgrades: Upgrades, loaded: Load) -> None:
    # given version 1.0.0 under load, when it is bumped to a version that fails one order in five
    cutover = upgrades.upgrade(BROKEN)

    # then it is found out and the old version serves again, without anybody's help
    assert cutover["phase"] == "RolledBack", cutover
    assert cutover["reason"] == "TooManyErrors"
    end = upgrades.end_state()
    assert end["version"] == OLD
    assert end["rejected"] == BROKEN
    assert end["selects the active colour"]
    assert end["executors are the active colour"]

    # and no request failed but those that the broken version itself answered with 5xx
    verdict = loaded.verdict(broken=BROKEN)
    assert_kept(verdict)
    assert verdict.broken_version_failed_requests > 0


def test_what_was_rejected_is_tried_again_only_when_somebody_says_so(upgrades: Upgrades) -> None:
    # given a version that was rejected, when the operator looks at the engine again and again
    rejected = upgrades.cutover()["id"]
    upgrades.patch(rollout={"monitor": {"duration": "4s"}})  # changes no pod, so it is no other wish
    upgrades.settle()

    # then it does not run into the same wall
    assert upgrades.cutover()["id"] == rejected
    assert upgrades.status()["rejected"]["version"] == BROKEN

    # but when somebody says so, then it is tried again
    upgrades.retry()
    assert upgrades.wait_for("Migrating", "Provisioning")["to"]["version"] == BROKEN

    # and bumping back to what runs takes that cutover back before anything was switched
    upgrades.patch(version=OLD, rollout=ROLLOUT)
    assert upgrades.wait_until_over()["phase"] == "RolledBack"
    assert upgrades.end_state()["version"] == OLD


def test_a_third_version_in_the_middle_goes_back_first(upgrades: Upgrades, loaded: Load) -> None:
    # given a cutover that is under way, when the version is bumped once more before the switch
    upgrades.begin(BROKEN)
    first = upgrades.wait_for("Migrating", "Provisioning", "Testing")
    upgrades.patch(version=NEW)

    # then it goes back, and only then begins the one to the third
    second = upgrades.wait(
        lambda status: (
            status["cutover"]["to"]["version"] == NEW and status["cutover"]["phase"] in {"Succeeded", "RolledBack"}
        ),
        "the end of a cutover to the third version",
    )
    past = next(item for item in second["history"] if item["id"] == first["id"])
    assert (past["result"], past["reason"]) == ("RolledBack", "Superseded")
    assert second["cutover"]["phase"] == "Succeeded", second["cutover"]
    assert upgrades.end_state()["version"] == NEW
    assert_kept(loaded.verdict())


def test_the_previous_colour_is_retired_in_time(upgrades: Upgrades, loaded: Load) -> None:
    # given version 1.1.0 with 1.0.0 kept, and a next cutover that keeps what it replaces for no time at all
    cutover = upgrades.upgrade(config={"logLevel": "DEBUG"}, rollout={"keepPreviousFor": "0s"})
    assert cutover["phase"] == "Succeeded", cutover

    # when that time is over
    upgrades.wait(lambda status: not status.get("previous"), "no colour that is kept")

    # then the old colour has no pods, and its contract migrations have run
    end = upgrades.end_state()
    assert (end["active pods"], end["idle pods"]) == (2, 0)
    halves = "SELECT string_agg(DISTINCT half, ',' ORDER BY half) FROM schema_migrations;"
    assert database.psql(upgrades.engine, halves).strip() == "contract,expand"
    assert_kept(loaded.verdict())
