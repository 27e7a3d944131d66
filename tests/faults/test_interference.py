"""Faults from outside: the operator is rolled, an engine pod is deleted, the fence or the live Service is moved."""

import time

import pytest
from colours import move_fence_back_and_forth, select_colour
from loads import Load, assert_kept, assert_kept_across_tests, no_request_fails
from nodes import busiest_pod
from rtx_demo import installation
from rtx_operator.api.enums import CutoverPhase
from system_fixtures import StartLoad
from upgrades import Upgrades, assert_succeeded, new_revision, other_colour

MISDIRECTED_SECONDS = 5  # while the live Service selects the colour that does not execute

pytestmark = pytest.mark.usefixtures("module_load")


def test_the_operator_is_rolled_in_the_middle(upgrades: Upgrades, loaded: Load) -> None:
    # Given a cutover in Provisioning.
    with no_request_fails(loaded):
        upgrades.begin(**new_revision())
        upgrades.wait_for_phase(CutoverPhase.PROVISIONING)

        # When the operator's pods are replaced by a rollout of its Deployment.
        where = (f"deployment/{installation.DEPLOYMENT}", "--namespace", installation.NAMESPACE)
        upgrades.kubectl.run("rollout", "restart", *where)

        # Then the cutover succeeds.
        assert_succeeded(upgrades, upgrades.wait_until_over())
        installation.wait_until_running(upgrades.kubectl)


def test_an_engine_pod_is_deleted(upgrades: Upgrades, loaded: Load) -> None:
    # Given an engine without a cutover.
    with no_request_fails(loaded):
        # When an engine pod that serves is deleted.
        name = busiest_pod(upgrades.pods(upgrades.selected_colour()))["metadata"]["name"]
        upgrades.kubectl.delete("pod", name, upgrades.engine.namespace, deadline=120)

        # Then another pod replaces it, and no request fails.
        upgrades.wait_until_reconciled()


def test_no_promise_is_broken_over_all_faults(upgrades: Upgrades, loaded: Load) -> None:
    # Given the load that ran through the faults above.
    # When its ledger is compared with the database.
    # Then no request failed, no order was lost or doubled, no event was missed, and only executors executed.
    assert_kept_across_tests(loaded)


def test_non_executor_that_gets_the_traffic_forwards_it(paused_upgrades: Upgrades, start_load: StartLoad) -> None:
    # Given a load on a paused engine with pods of both colours.
    with start_load(paused_upgrades.engine) as loaded:
        # When the fence moves without a notification, and then the live Service selects the wrong colour.
        executes = move_fence_back_and_forth(paused_upgrades)
        select_colour(paused_upgrades.engine, other_colour(executes))
        time.sleep(MISDIRECTED_SECONDS)
        select_colour(paused_upgrades.engine, executes)

        # Then no request fails, and no order is executed by a colour that the fence does not name.
        assert_kept(loaded.verdict())
