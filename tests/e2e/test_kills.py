"""The operator is killed, or stands still, around what cannot be taken back: the fence's move and the Service's.

The whole table, with every effect of every cutover, is tests/faults/test_kill_table.py.
"""

import time
from contextlib import ExitStack

import pytest
from database_sessions import held_fence
from kills import ALWAYS, Way, around, go_through
from loads import Load, assert_kept
from nodes import frozen
from operators import holder, leader_pod, led_by_another, logs
from rtx_demo import installation
from rtx_demo.waiting import eventually
from upgrades import Upgrades, other_pods

pytestmark = pytest.mark.usefixtures("load_of_the_module")


def test_the_operator_is_killed_before_and_after_the_fence_and_the_service_move(
    upgrades: Upgrades, loaded: Load
) -> None:
    # given an engine under load, when a cutover begins, and the operator ends before and after each of the two
    failed = loaded.failed()
    moments = around("Switching/MoveFence", "Switching/Select")
    end = {"phase": "Succeeded", "reason": "", "idle pods": 2}
    kills = go_through(Way(other_pods(), moments, end), upgrades, loaded)

    # then it ended as it would have ended, and no request has failed
    assert [kill.moment for kill in kills] == moments
    assert loaded.failed_by_now() == failed


def test_a_leader_that_was_frozen_in_the_switch_does_no_harm(upgrades: Upgrades, loaded: Load) -> None:
    # given a switch that cannot come about, because a session that is no colour holds the fence
    kubectl, failed = upgrades.kubectl, loaded.failed()
    installation.wait_until_running(kubectl)
    before = holder(kubectl)
    leader = next(pod for pod in installation.pods(kubectl) if pod["metadata"]["name"] == leader_pod(kubectl))
    with ExitStack() as stopped:
        with held_fence(upgrades.engine):
            upgrades.begin(**other_pods())
            upgrades.wait_for("Switching")

            # when its leader is frozen, another takes over and ends the cutover, and the frozen one wakes up
            stopped.enter_context(frozen(leader, "rtx-operator"))
            froze_at = time.time()
        led_by_another(kubectl, before)
        cutover = upgrades.wait_until_over()
    eventually(lambda: "leadership lost" in logs(kubectl, since=froze_at), "the word of the one that woke up")

    # then it wrote nothing more: the end is the other's, and it holds
    assert cutover["phase"] == "Succeeded", cutover
    end = upgrades.end_state()
    assert {**end, **ALWAYS} == end
    assert loaded.failed_by_now() == failed

    # and over both tests nothing was lost
    assert_kept(loaded.verdict())
