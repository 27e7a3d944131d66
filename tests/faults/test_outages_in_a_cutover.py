"""The API server, Redis or PostgreSQL is unavailable during a cutover."""

import time

import pytest
from database_sessions import locked_fence
from kills import moment
from loads import DATABASE_OUTAGE_ERRORS, Load, assert_kept_across_tests, assert_nothing_lost, no_request_fails
from nodes import frozen, pod_of, replace_pod
from operators import arm_crash, leader_pod
from rtx_demo.waiting import eventually
from rtx_lab.faults import api_server_unavailable
from rtx_operator.api.enums import CutoverPhase
from system_fixtures import StartLoad
from upgrades import FAST_ROLLOUT, LONG_MONITORING, Upgrades, assert_consistent, assert_succeeded, new_revision

OUTAGE_SECONDS = 60.0  # without an API server

pytestmark = pytest.mark.usefixtures("module_load")


def test_redis_that_hangs_holds_up_nothing(upgrades: Upgrades, loaded: Load) -> None:
    # Given a cutover in Provisioning.
    with no_request_fails(loaded):
        upgrades.begin(**new_revision())
        upgrades.wait_for_phase(CutoverPhase.PROVISIONING)

        # When Redis hangs until the cutover is over. (The kubelet may restart it, which is an outage of Redis, too.)
        with frozen(pod_of(upgrades.engine, "cache"), "redis-server"):
            cutover = upgrades.wait_until_over()

        # Then the cutover succeeds. The verdict over all faults shows that no event was missed.
        assert_succeeded(upgrades, cutover)


@pytest.mark.parametrize("phase", [CutoverPhase.PROVISIONING, CutoverPhase.SWITCHING, CutoverPhase.MONITORING])
def test_the_api_server_is_away_for_a_minute(upgrades: Upgrades, loaded: Load, phase: CutoverPhase) -> None:
    # Given a cutover in that phase; in Switching the fence has moved and the live Service has not.
    if phase is CutoverPhase.SWITCHING:
        arm_crash(upgrades.kubectl, leader_pod(upgrades.kubectl), moment("after", CutoverPhase.SWITCHING, "MoveFence"))
    before, failed = upgrades.selected_colour(), loaded.failed_requests()
    upgrades.begin(**new_revision(), rollout=LONG_MONITORING)
    upgrades.wait_for_phase(phase)
    if phase is CutoverPhase.SWITCHING:
        eventually(lambda: upgrades.fence()["executors"] != [before], "a fence that has moved")
        assert upgrades.selected_colour() == before

    # When the API server does not answer for OUTAGE_SECONDS.
    with api_server_unavailable():
        time.sleep(OUTAGE_SECONDS)

    # Then the leader continues from the phase in status and succeeds, and no request failed.
    assert_succeeded(upgrades, upgrades.wait_until_over())
    upgrades.patch(rollout=FAST_ROLLOUT)
    loaded.reopen_watch()
    assert loaded.failed_requests_by_now() == failed


def test_no_promise_is_broken_over_all_faults(upgrades: Upgrades, loaded: Load) -> None:
    # Given the load that ran through the faults above.
    # When its ledger is compared with the database.
    # Then no request failed, no order was lost or doubled, no event was missed, and only executors executed.
    assert_kept_across_tests(loaded)


def test_postgresql_goes_away_in_the_switch(upgrades: Upgrades, start_load: StartLoad) -> None:
    # Given a cutover that waits for the fence in Switching.
    with start_load(upgrades.engine) as loaded:
        with locked_fence(upgrades.engine):
            upgrades.begin(**new_revision())
            upgrades.wait_for_phase(CutoverPhase.SWITCHING)

            # When PostgreSQL is killed and is ready again.
            replace_pod(upgrades.engine, "postgres")
        upgrades.wait_until_over()
        assert_consistent(upgrades)
        verdict = loaded.verdict()

        # Then the cutover is over, the colour that serves executes, and nothing acknowledged is lost.
        assert_nothing_lost(verdict)
        assert [reason for reason in verdict.failures if not reason.startswith(DATABASE_OUTAGE_ERRORS)] == []
