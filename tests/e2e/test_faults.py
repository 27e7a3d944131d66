"""What may break while a version becomes the next one: the small cut of tests/faults that `make test` keeps."""

import signal
import time

import pytest
from database_sessions import frozen_executor
from loads import DEAD_SOCKET, Load, assert_kept_over_all, assert_nothing_lost, nothing_fails
from nodes import api_server_away, busiest, has_restarted, send
from operators import arm, leader_pod
from rtx_demo.waiting import eventually
from system_fixtures import StartLoad
from upgrades import Upgrades, assert_rejected, assert_succeeded, other_pods

OUTAGE = 20.0  # seconds without an API server

pytestmark = pytest.mark.usefixtures("load_of_the_module")


def test_a_frozen_holder_of_the_fence_is_ended(upgrades: Upgrades, loaded: Load) -> None:
    # given a session of the colour that executes, which holds the fence and does nothing more
    with nothing_fails(loaded), frozen_executor(upgrades.engine, upgrades.selected()) as lives:
        # when other pods are asked for, then the move of the fence ends that session, and the cutover succeeds
        assert lives()
        assert_succeeded(upgrades, upgrades.upgrade(**other_pods()))
        assert not lives()


def test_the_api_server_is_away_in_the_switch(upgrades: Upgrades, loaded: Load) -> None:
    # given a cutover that has come to where the fence has moved and the live Service has not
    arm(upgrades.kubectl, leader_pod(upgrades.kubectl), "after Switching/MoveFence")
    before, failed = upgrades.selected(), loaded.failed()
    upgrades.begin(**other_pods())
    upgrades.wait_for("Switching")
    eventually(lambda: upgrades.fence()["executors"] != [before], "a fence that has moved")
    assert upgrades.selected() == before

    # when the API server answers nobody for a while, and then does again
    with api_server_away():
        time.sleep(OUTAGE)

    # then the cutover goes on where it was and succeeds, and all the while no request has failed
    assert_succeeded(upgrades, upgrades.wait_until_over())
    loaded.watch_anew()
    assert loaded.failed_by_now() == failed


def test_an_image_that_is_missing_is_given_up(upgrades: Upgrades, loaded: Load) -> None:
    # given an image that no node can pull, when it is asked for, then it goes back before anything has moved
    with nothing_fails(loaded):
        cutover = assert_rejected(upgrades, "ImageUnavailable", image={"repository": "localhost/no-such-engine"})
    assert "localhost/no-such-engine" in cutover["message"]


def test_over_all_of_it_nothing_was_lost(upgrades: Upgrades, loaded: Load) -> None:
    # given the one load that went through the faults above, when its ledger is compared with the database
    # then no request failed, no order was lost or doubled, no event missed, and only executors executed
    assert_kept_over_all(loaded)


def test_a_killed_engine_pod_fails_only_what_goes_to_it(upgrades: Upgrades, start_load: StartLoad) -> None:
    # given a load, when one of the pods that serve is killed without a word, and its container is started anew
    with start_load(upgrades.engine) as loaded:
        pod = busiest(upgrades.pods(upgrades.selected()))
        send(pod, "rtx-engine", signal.SIGKILL)
        eventually(lambda: has_restarted(upgrades.engine, pod), "a container that was started anew and is ready")
        time.sleep(5)  # until the Service leads to it again everywhere
        failed = loaded.failed_by_now()
        time.sleep(5)

        # then nothing fails any more
        assert loaded.failed_by_now() == failed
        verdict = loaded.verdict()

        # and what failed was on its connections or found none, and nothing acknowledged is lost
        assert_nothing_lost(verdict)
        assert [reason for reason in verdict.failures if not reason.startswith(DEAD_SOCKET)] == []
        assert 0 < verdict.failed_requests < verdict.requests / 2
