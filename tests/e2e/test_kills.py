"""The operator is killed or frozen around the two steps of the switch: the fence's move and the Service's.

The whole kill table, with every effect of every cutover, is tests/faults/test_kill_table.py.
"""

import time
from contextlib import ExitStack

import pytest
from database_sessions import locked_fence
from kills import INVARIANTS, KillScenario, around, run_with_kills
from loads import Load, assert_kept
from nodes import frozen
from operators import leader_pod, lease_holder, replica_logs, wait_for_other_leader
from rtx_demo import installation
from rtx_demo.waiting import eventually
from rtx_operator.api.enums import CutoverPhase
from upgrades import Upgrades, new_revision

pytestmark = pytest.mark.usefixtures("module_load")


def test_operator_killed_around_the_switch_ends_the_cutover_as_without_kills(upgrades: Upgrades, loaded: Load) -> None:
    # Given an engine under load.
    failed = loaded.failed_requests()

    # When a cutover runs, and the operator is killed before and after the fence moves and the Service moves.
    moments = around(CutoverPhase.SWITCHING, "MoveFence", "Select")
    end_state = {"phase": CutoverPhase.SUCCEEDED, "reason": "", "idle pods": 2}
    kills = run_with_kills(KillScenario(new_revision(), moments, end_state), upgrades, loaded)

    # Then the end state is the expected one, every kill happened, and no request failed.
    assert [kill.moment for kill in kills] == moments
    assert loaded.failed_requests_by_now() == failed


def test_a_leader_that_was_frozen_in_the_switch_does_no_harm(upgrades: Upgrades, loaded: Load) -> None:
    # Given a cutover that waits in Switching, because a session that is no colour holds a lock on the fence.
    kubectl, failed = upgrades.kubectl, loaded.failed_requests()
    installation.wait_until_running(kubectl)
    before = lease_holder(kubectl)
    leader = next(pod for pod in installation.pods(kubectl) if pod["metadata"]["name"] == leader_pod(kubectl))
    with ExitStack() as stopped:
        with locked_fence(upgrades.engine):
            upgrades.begin(**new_revision())
            upgrades.wait_for_phase(CutoverPhase.SWITCHING)

            # When the leader is frozen, another replica takes over and ends the cutover, and the leader wakes up.
            stopped.enter_context(frozen(leader, "rtx-operator"))
            froze_at = time.time()
        wait_for_other_leader(kubectl, before)
        cutover = upgrades.wait_until_over()
    eventually(
        lambda: "leadership lost" in replica_logs(kubectl, since=froze_at),
        "a log line of the former leader that it lost the Lease",
    )

    # Then the former leader wrote nothing more: the end state is the new leader's, and no request failed.
    assert cutover["phase"] == CutoverPhase.SUCCEEDED, cutover
    end = upgrades.end_state()
    assert {**end, **INVARIANTS} == end
    assert loaded.failed_requests_by_now() == failed

    # Then over both tests no promise was broken.
    assert_kept(loaded.verdict())
