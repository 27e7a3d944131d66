"""The API server, Redis or PostgreSQL is away while a version becomes the next one."""

import time

import pytest
from database_sessions import held_fence
from loads import DATABASE_AWAY, Load, assert_kept_over_all, assert_nothing_lost, nothing_fails
from nodes import api_server_away, frozen, pod_of, replace_pod
from operators import arm, leader_pod
from rtx_demo.waiting import eventually
from system_fixtures import StartLoad
from upgrades import ROLLOUT, WATCHED_LONGER, Upgrades, assert_succeeded, assert_whole, other_pods

OUTAGE = 60.0  # seconds without an API server

pytestmark = pytest.mark.usefixtures("load_of_the_module")


def test_redis_that_hangs_holds_up_nothing(upgrades: Upgrades, loaded: Load) -> None:
    # given a cutover whose new pods start, when Redis hangs from there on (and may be started anew: that is a Redis
    # that is gone)
    with nothing_fails(loaded):
        upgrades.begin(**other_pods())
        upgrades.wait_for("Provisioning")
        with frozen(pod_of(upgrades.engine, "cache"), "redis-server"):
            cutover = upgrades.wait_until_over()
        # then it succeeds all the same; that no event was missed is for the verdict to say
        assert_succeeded(upgrades, cutover)


@pytest.mark.parametrize("phase", ["Provisioning", "Switching", "Monitoring"])
def test_the_api_server_is_away_for_a_minute(upgrades: Upgrades, loaded: Load, phase: str) -> None:
    # given a cutover that has come to a phase; in Switching to where the fence has moved and the live Service has not
    if phase == "Switching":
        arm(upgrades.kubectl, leader_pod(upgrades.kubectl), "after Switching/MoveFence")
    before, failed = upgrades.selected(), loaded.failed()
    upgrades.begin(**other_pods(), rollout=WATCHED_LONGER)
    upgrades.wait_for(phase)
    if phase == "Switching":
        eventually(lambda: upgrades.fence()["executors"] != [before], "a fence that has moved")
        assert upgrades.selected() == before

    # when the API server answers nobody for a minute, and then does again
    with api_server_away():
        time.sleep(OUTAGE)

    # then the cutover goes on where it was and succeeds, and all the while no request has failed
    assert_succeeded(upgrades, upgrades.wait_until_over())
    upgrades.patch(rollout=ROLLOUT)
    loaded.watch_anew()
    assert loaded.failed_by_now() == failed


def test_over_all_of_it_nothing_was_lost(upgrades: Upgrades, loaded: Load) -> None:
    # given the one load that went through the faults above, when its ledger is compared with the database
    # then no request failed, no order was lost or doubled, no event missed, and only executors executed
    assert_kept_over_all(loaded)


def test_postgresql_goes_away_in_the_switch(upgrades: Upgrades, start_load: StartLoad) -> None:
    # given a cutover that waits for the fence in Switching, when PostgreSQL is killed and comes back
    with start_load(upgrades.engine) as loaded:
        with held_fence(upgrades.engine):
            upgrades.begin(**other_pods())
            upgrades.wait_for("Switching")
            replace_pod(upgrades.engine, "postgres")
        upgrades.wait_until_over()
        assert_whole(upgrades)
        verdict = loaded.verdict()

        # then the cutover is over, the one who serves is the one who executes, and nothing acknowledged is lost
        assert_nothing_lost(verdict)
        assert [reason for reason in verdict.failures if not reason.startswith(DATABASE_AWAY)] == []
