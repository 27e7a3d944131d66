"""The spec changes again before a cutover is over, or a rejected revision is retried."""

import pytest
from loads import Load, assert_kept_across_tests, no_request_fails
from rtx_demo import database
from rtx_demo.kubectl import Object
from rtx_demo.sample import Sample
from rtx_demo.waiting import eventually
from rtx_operator.api.enums import CutoverPhase, Reason, RetirementPhase
from upgrades import (
    BROKEN_VERSION,
    FAST_ROLLOUT,
    LONG_MONITORING,
    NEW_VERSION,
    OLD_VERSION,
    TWO_REPLICAS,
    Upgrades,
    assert_succeeded,
    new_revision,
    retirement_is_under_way,
    upgradable,
)

SMOKE_FAILS: Object = {"smoke": [{"name": "nowhere", "path": "/nowhere"}]}

pytestmark = pytest.mark.usefixtures("module_engine")


def test_rejected_version_is_retried_only_on_request(upgrades: Upgrades, loaded: Load) -> None:
    # Given a rejected version.
    with no_request_fails(loaded):
        rejected = upgrades.upgrade(NEW_VERSION, rollout=SMOKE_FAILS)
        assert (rejected["phase"], rejected["reason"]) == (CutoverPhase.ROLLED_BACK, Reason.SMOKE_FAILED), rejected

        # When the operator reconciles the engine again, after a change that makes no other revision.
        upgrades.reset_spec({"rollout": FAST_ROLLOUT})
        upgrades.wait_until_reconciled()

        # Then no other cutover begins.
        assert upgrades.cutover()["id"] == rejected["id"]
        assert upgrades.status()["rejected"]["version"] == NEW_VERSION

        # When a retry is requested.
        upgrades.retry()

        # Then a cutover to the rejected version begins.
        retried = upgrades.wait_for_phase(CutoverPhase.MIGRATING, CutoverPhase.PROVISIONING)
        assert retried["to"]["version"] == NEW_VERSION

        # When the version is changed back to the active one.
        upgrades.patch(version=OLD_VERSION)

        # Then that cutover rolls back before the switch.
        assert upgrades.wait_until_over()["phase"] == CutoverPhase.ROLLED_BACK
        assert upgrades.end_state()["version"] == OLD_VERSION


def test_third_version_before_the_switch_rolls_back_first(upgrades: Upgrades, loaded: Load) -> None:
    # Given a cutover to a second version, before the switch.
    upgrades.ensure_version(OLD_VERSION)
    upgrades.begin(BROKEN_VERSION)
    first = upgrades.wait_for_phase(CutoverPhase.MIGRATING, CutoverPhase.PROVISIONING, CutoverPhase.TESTING)

    # When the version is changed to a third one.
    upgrades.patch(version=NEW_VERSION)

    # Then the first cutover rolls back, and after it one to the third version succeeds.
    second = upgrades.wait(
        lambda status: (
            status["cutover"]["to"]["version"] == NEW_VERSION
            and status["cutover"]["phase"] in {CutoverPhase.SUCCEEDED, CutoverPhase.ROLLED_BACK}
        ),
        "the end of a cutover to the third version",
    )
    entry = next(entry for entry in second["history"] if entry["id"] == first["id"])
    assert (entry["result"], entry["reason"]) == (CutoverPhase.ROLLED_BACK, Reason.SUPERSEDED)
    assert second["cutover"]["phase"] == CutoverPhase.SUCCEEDED, second["cutover"]
    assert upgrades.end_state()["version"] == NEW_VERSION


def test_third_revision_after_the_switch_rolls_back_first(upgrades: Upgrades, loaded: Load) -> None:
    # Given a cutover in Monitoring.
    with no_request_fails(loaded):
        colour = upgrades.selected_colour()
        upgrades.begin(**new_revision(), rollout=LONG_MONITORING)
        first = upgrades.wait_for_phase(CutoverPhase.MONITORING)

        # When the spec changes to a third revision.
        upgrades.patch(**new_revision(), rollout=FAST_ROLLOUT)

        # Then the previous colour serves again, and a cutover from it to the third revision succeeds.
        upgrades.last_cutover_id = first["id"]
        second = upgrades.wait_for_phase(CutoverPhase.PROVISIONING, CutoverPhase.TESTING)
        assert upgrades.selected_colour() == colour == second["from"]["colour"]
        assert_succeeded(upgrades, upgrades.wait_until_over())
    entry = next(entry for entry in upgrades.status()["history"] if entry["id"] == first["id"])
    assert (entry["result"], entry["reason"]) == (CutoverPhase.ROLLED_BACK, Reason.SUPERSEDED)


def test_the_new_colour_is_as_large_as_the_old_one_has_become(upgrades: Upgrades, loaded: Load) -> None:
    with no_request_fails(loaded):
        # Given a cutover in Provisioning.
        upgrades.begin(**new_revision())
        upgrades.wait_for_phase(CutoverPhase.PROVISIONING)

        # When the spec's minReplicas grows.
        upgrades.patch(scaling={"minReplicas": 3, "maxReplicas": 3})

        # Then the new colour has as many pods before the switch.
        cutover = upgrades.wait_for_phase(CutoverPhase.SWITCHING, CutoverPhase.MONITORING, CutoverPhase.SUCCEEDED)
        assert len(upgrades.pods(cutover["to"]["colour"])) == 3
        assert_succeeded(upgrades, upgrades.wait_until_over())
        upgrades.patch(scaling=TWO_REPLICAS)
        upgrades.wait_until_reconciled()


def test_previous_colour_is_retired_after_keep_previous_for(upgrades: Upgrades, loaded: Load) -> None:
    # Given version 1.1.0, and a cutover with keepPreviousFor 0s.
    upgrades.ensure_version(NEW_VERSION)
    cutover = upgrades.upgrade(config={"logLevel": "DEBUG"}, rollout={"keepPreviousFor": "0s"})
    assert cutover["phase"] == CutoverPhase.SUCCEEDED, cutover

    # When the previous colour's retirement is over.
    upgrades.wait(
        lambda status: not status.get("previous") and not retirement_is_under_way(status), "a retirement that is over"
    )

    # Then it succeeded: the previous colour has no pods, and the contract migrations have run.
    assert upgrades.status()["retirement"]["phase"] == RetirementPhase.SUCCEEDED
    end = upgrades.end_state()
    assert (end["active pods"], end["idle pods"]) == (2, 0)
    halves = "SELECT string_agg(DISTINCT half, ',' ORDER BY half) FROM schema_migrations;"
    assert database.psql(upgrades.engine, halves).strip() == "contract,expand"
    upgrades.reset_spec({"rollout": FAST_ROLLOUT})


def test_no_promise_is_broken_over_all_faults(upgrades: Upgrades, loaded: Load) -> None:
    # Given the load that ran through the faults above.
    # When its ledger is compared with the database.
    # Then no request failed, no order was lost or doubled, no event was missed, and only executors executed.
    assert_kept_across_tests(loaded)


def test_an_engine_that_is_deleted_in_the_middle_is_gone(sample: Sample) -> None:
    # Given a cutover in Provisioning.
    with upgradable(sample) as engine:
        upgrades = Upgrades(engine)
        upgrades.begin(**new_revision())
        upgrades.wait_for_phase(CutoverPhase.PROVISIONING)

        # When the engine is deleted.
        kubectl = engine.kubectl
        kubectl.delete("tradingengine", engine.name, engine.namespace)

        # Then its pods, Jobs and Services are removed, and nothing hangs.
        eventually(
            lambda: not kubectl.list("pods,jobs,services", engine.namespace),
            "a namespace without pods, Jobs and Services",
            deadline=120,
        )
