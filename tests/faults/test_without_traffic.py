"""A version that nobody uses: it is promoted by its smoke tests, and says so, or waits for traffic."""

import time

import pytest
from rtx_operator.api.enums import CutoverPhase, Judgement, Reason
from upgrades import BROKEN_VERSION, FAST_ROLLOUT, OLD_VERSION, Upgrades, assert_consistent

WAITED_SECONDS = 15.0  # five times the time of monitoring

pytestmark = pytest.mark.usefixtures("module_engine")


def test_broken_version_without_traffic_is_not_said_to_have_kept_its_limits(upgrades: Upgrades) -> None:
    # Given an engine without clients, when a version is asked for that fails one order in five
    upgrades.ensure_version(OLD_VERSION)
    cutover = upgrades.upgrade(BROKEN_VERSION)

    # Then it is promoted by its smoke tests, and status says that nothing else judged it
    assert cutover["phase"] == CutoverPhase.SUCCEEDED, cutover
    past = upgrades.status()["history"][0]
    assert (past["judged"], past["requests"]) == (Judgement.PROBES, 0)
    assert_consistent(upgrades)
    upgrades.ensure_version(OLD_VERSION)


def test_version_that_requires_traffic_waits_until_it_is_withdrawn(upgrades: Upgrades) -> None:
    # Given an engine without clients, and a version that is to be judged by traffic
    upgrades.ensure_version(OLD_VERSION)
    monitor = {**FAST_ROLLOUT["monitor"], "requireTraffic": True}
    upgrades.begin(BROKEN_VERSION, rollout={"monitor": monitor})
    upgrades.wait_for_phase(CutoverPhase.MONITORING)

    # When its time of monitoring is long over, then it waits and says for what
    time.sleep(WAITED_SECONDS)
    cutover = upgrades.cutover()
    assert cutover["phase"] == CutoverPhase.MONITORING
    assert "0 of the 20 requests" in cutover["message"]

    # And when the old version is asked for, then the cutover goes back
    upgrades.patch(version=OLD_VERSION, rollout={"monitor": {"requireTraffic": False}})
    over = upgrades.wait_until_over()
    assert (over["phase"], over["reason"]) == (CutoverPhase.ROLLED_BACK, Reason.SUPERSEDED)
    assert_consistent(upgrades)
