"""Faults during a cutover: the part of tests/faults that `make test` runs."""

import signal
import time

import pytest
from database_sessions import frozen_executor
from kills import moment
from loads import CONNECTION_ERRORS, Load, assert_kept_across_tests, assert_nothing_lost, no_request_fails
from nodes import busiest_pod, has_restarted, send_signal
from operators import arm_crash, leader_pod
from rtx_demo.waiting import eventually
from rtx_lab.faults import api_server_unavailable
from rtx_operator.api.enums import CutoverPhase, Reason
from system_fixtures import StartLoad
from upgrades import Upgrades, assert_rejected, assert_succeeded, new_revision

OUTAGE_SECONDS = 20.0  # without an API server
RECOVERY_SECONDS = 5

pytestmark = pytest.mark.usefixtures("module_load")


def test_a_frozen_holder_of_the_fence_is_ended(upgrades: Upgrades, loaded: Load) -> None:
    # Given a frozen session of the colour that executes, which holds a lock on the fence.
    with no_request_fails(loaded), frozen_executor(upgrades.engine, upgrades.selected_colour()) as is_open:
        assert is_open()

        # When a cutover runs.
        cutover = upgrades.upgrade(**new_revision())

        # Then the move of the fence ends that session, and the cutover succeeds.
        assert_succeeded(upgrades, cutover)
        assert not is_open()


def test_the_api_server_is_away_in_the_switch(upgrades: Upgrades, loaded: Load) -> None:
    # Given a cutover in Switching: the fence has moved and the live Service has not.
    arm_crash(upgrades.kubectl, leader_pod(upgrades.kubectl), moment("after", CutoverPhase.SWITCHING, "MoveFence"))
    before, failed = upgrades.selected_colour(), loaded.failed_requests()
    upgrades.begin(**new_revision())
    upgrades.wait_for_phase(CutoverPhase.SWITCHING)
    eventually(lambda: upgrades.fence()["executors"] != [before], "a fence that has moved")
    assert upgrades.selected_colour() == before

    # When the API server does not answer for OUTAGE_SECONDS.
    with api_server_unavailable():
        time.sleep(OUTAGE_SECONDS)

    # Then the next leader continues from the phase in status and succeeds, and no request failed.
    assert_succeeded(upgrades, upgrades.wait_until_over())
    loaded.reopen_watch()
    assert loaded.failed_requests_by_now() == failed


@pytest.mark.slow
def test_an_image_that_is_missing_is_given_up(upgrades: Upgrades, loaded: Load) -> None:
    # Given an image that no node can pull.
    missing = {"repository": "localhost/no-such-engine"}

    # When the spec names it.
    # Then the cutover rolls back before the switch, and its message names the image.
    with no_request_fails(loaded):
        cutover = assert_rejected(upgrades, Reason.IMAGE_UNAVAILABLE, image=missing)
    assert "localhost/no-such-engine" in cutover["message"]


def test_no_promise_is_broken_over_all_faults(upgrades: Upgrades, loaded: Load) -> None:
    # Given the load that ran through the faults above.
    # When its ledger is compared with the database.
    # Then no request failed, no order was lost or doubled, no event was missed, and only executors executed.
    assert_kept_across_tests(loaded)


def test_a_killed_engine_pod_fails_only_what_goes_to_it(upgrades: Upgrades, start_load: StartLoad) -> None:
    # Given a load.
    with start_load(upgrades.engine) as loaded:
        # When an engine pod that serves is killed by SIGKILL, and its container restarts.
        pod = busiest_pod(upgrades.pods(upgrades.selected_colour()))
        send_signal(pod, "rtx-engine", signal.SIGKILL)
        eventually(lambda: has_restarted(upgrades.engine, pod), "a restarted container that is ready")
        time.sleep(RECOVERY_SECONDS)  # until every node's Service rules have the pod again
        failed = loaded.failed_requests_by_now()
        time.sleep(RECOVERY_SECONDS)

        # Then no request fails any more.
        assert loaded.failed_requests_by_now() == failed
        verdict = loaded.verdict()

        # Then only requests on connections to that pod failed, and nothing acknowledged is lost.
        assert_nothing_lost(verdict)
        assert [reason for reason in verdict.failures if not reason.startswith(CONNECTION_ERRORS)] == []
        assert 0 < verdict.failed_requests < verdict.requests / 2
