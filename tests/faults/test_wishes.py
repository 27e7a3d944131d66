"""The spec asks for something else before a cutover is over, or again for what was rejected."""

import pytest
from loads import Load, assert_kept_over_all, nothing_fails
from rtx_demo import database
from rtx_demo.kubectl import Object
from rtx_demo.sample import Sample
from rtx_demo.waiting import eventually
from upgrades import (
    BROKEN,
    NEW,
    OLD,
    ROLLOUT,
    TWO,
    WATCHED_LONGER,
    Upgrades,
    assert_succeeded,
    other_pods,
    upgradable,
)

SMOKE_FAILS: Object = {"smoke": [{"name": "nowhere", "path": "/nowhere"}]}

pytestmark = pytest.mark.usefixtures("engine_of_the_module")


def test_what_was_rejected_is_tried_again_only_when_somebody_says_so(upgrades: Upgrades, loaded: Load) -> None:
    # given a version that was rejected, when the operator reconciles the engine again and again
    with nothing_fails(loaded):
        rejected = upgrades.upgrade(NEW, rollout=SMOKE_FAILS)
        assert (rejected["phase"], rejected["reason"]) == ("RolledBack", "SmokeFailed"), rejected
        upgrades.restore({"rollout": ROLLOUT})  # changes no pod, so it is no other wish
        upgrades.settle()

        # then it does not run into the same wall
        assert upgrades.cutover()["id"] == rejected["id"]
        assert upgrades.status()["rejected"]["version"] == NEW

        # but when somebody says so, then it is tried again
        upgrades.retry()
        assert upgrades.wait_for("Migrating", "Provisioning")["to"]["version"] == NEW

        # and bumping back to what runs takes that cutover back before anything was switched
        upgrades.patch(version=OLD)
        assert upgrades.wait_until_over()["phase"] == "RolledBack"
        assert upgrades.end_state()["version"] == OLD


def test_a_third_version_in_the_middle_goes_back_first(upgrades: Upgrades, loaded: Load) -> None:
    # given a cutover that is under way, when the version is bumped once more before the switch
    upgrades.ensure(OLD)
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


def test_a_third_wish_after_the_switch_goes_back_first(upgrades: Upgrades, loaded: Load) -> None:
    # given a cutover that has switched and is being watched, when the spec asks for something else again
    with nothing_fails(loaded):
        colour = upgrades.selected()
        upgrades.begin(**other_pods(), rollout=WATCHED_LONGER)
        first = upgrades.wait_for("Monitoring")
        upgrades.patch(**other_pods(), rollout=ROLLOUT)

        # then the colour before it serves again first, and then comes the third
        upgrades.last = first["id"]
        second = upgrades.wait_for("Provisioning", "Testing")
        assert upgrades.selected() == colour == second["from"]["colour"]
        assert_succeeded(upgrades, upgrades.wait_until_over())
    past = next(item for item in upgrades.status()["history"] if item["id"] == first["id"])
    assert (past["result"], past["reason"]) == ("RolledBack", "Superseded")


def test_the_new_colour_is_as_large_as_the_old_one_has_become(upgrades: Upgrades, loaded: Load) -> None:
    with nothing_fails(loaded):
        # given a cutover whose new pods start, when somebody asks for more pods
        upgrades.begin(**other_pods())
        upgrades.wait_for("Provisioning")
        upgrades.patch(scaling={"minReplicas": 3, "maxReplicas": 3})

        # then there are as many of the new colour before it takes over
        cutover = upgrades.wait_for("Switching", "Monitoring", "Succeeded")
        assert len(upgrades.pods(cutover["to"]["colour"])) == 3
        assert_succeeded(upgrades, upgrades.wait_until_over())
        upgrades.patch(scaling=TWO)
        upgrades.settle()


def test_the_previous_colour_is_retired_in_time(upgrades: Upgrades, loaded: Load) -> None:
    # given version 1.1.0, and a next cutover that keeps what it replaces for no time at all
    upgrades.ensure(NEW)
    cutover = upgrades.upgrade(config={"logLevel": "DEBUG"}, rollout={"keepPreviousFor": "0s"})
    assert cutover["phase"] == "Succeeded", cutover

    # when that time is over
    upgrades.wait(lambda status: not status.get("previous"), "no colour that is kept")

    # then the old colour has no pods, and its contract migrations have run
    end = upgrades.end_state()
    assert (end["active pods"], end["idle pods"]) == (2, 0)
    halves = "SELECT string_agg(DISTINCT half, ',' ORDER BY half) FROM schema_migrations;"
    assert database.psql(upgrades.engine, halves).strip() == "contract,expand"
    upgrades.restore({"rollout": ROLLOUT})


def test_over_all_of_it_nothing_was_lost(upgrades: Upgrades, loaded: Load) -> None:
    # given the one load that went through the faults above, when its ledger is compared with the database
    # then no request failed, no order was lost or doubled, no event missed, and only executors executed
    assert_kept_over_all(loaded)


def test_an_engine_that_is_deleted_in_the_middle_is_gone(sample: Sample) -> None:
    # given a cutover whose new pods start
    with upgradable(sample) as engine:
        upgrades = Upgrades(engine)
        upgrades.begin(**other_pods())
        upgrades.wait_for("Provisioning")

        # when the engine is deleted, then it and all its pods are gone, and nothing hangs
        kubectl = engine.kubectl
        kubectl.delete("tradingengine", engine.name, engine.namespace)
        eventually(lambda: not kubectl.list("pods,jobs,services", engine.namespace), "an empty namespace", deadline=120)
