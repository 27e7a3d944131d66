"""The decision on a fence that is wrong, lost, or of another engine."""

from dataclasses import replace

import pytest
from decision_objects import (
    BASE_OBJECTS,
    BLUE,
    CACHE,
    DATABASE,
    DESIRED,
    OWNER,
    SERVING,
    decided,
    engine,
    observed,
    of_kind,
    reason,
    with_,
)
from rtx_operator.api.enums import Reason
from rtx_operator.observation import Fence, FenceReport
from rtx_operator.operations.effects import MoveFence


def test_database_of_another_engine_is_not_used():
    theirs = FenceReport(Fence(7, ("blue",), "install", "trading/other/uid-2"))
    decision = decided(engine(), DESIRED, observed(DATABASE, CACHE, database=theirs))

    assert reason(decision) == Reason.DATABASE_IN_USE
    assert of_kind(MoveFence, decision) is None
    assert decision.apply == BASE_OBJECTS


def test_fence_of_an_earlier_epoch_moves_once_its_data_are_migrated():
    # Given a database whose restore has lost a move of the fence
    earlier = replace(SERVING, database=FenceReport(Fence(2, ("blue",), "x", OWNER)))
    running = engine(active=True, epoch=4)

    # When its data are not migrated again yet, then only that is done
    decision = decided(running, DESIRED, earlier)
    assert reason(decision) == Reason.DATA_MISSING
    assert decision.effects == ()
    assert BLUE.renew in decision.apply

    # And once they are, the fence moves above the epoch that was known
    done = {**BLUE.renew, "status": {"conditions": [{"type": "Complete", "status": "True"}]}}
    move = of_kind(MoveFence, decided(running, DESIRED, with_(earlier, done)))
    assert move is not None
    assert (move.executors, move.known_epoch, move.expected_epoch) == (("blue",), 4, 2)


@pytest.mark.parametrize(
    "fence",
    [
        None,  # a new database
        Fence(4, ("green",), "x", OWNER),  # another colour
        Fence(4, ("blue",), "x", "trading/rtx/uid-0"),  # an earlier incarnation of the same engine
    ],
)
def test_wrong_fence_is_moved_above_all_known_epochs(fence: Fence | None):
    decision = decided(engine(active=True, epoch=4), DESIRED, replace(SERVING, database=FenceReport(fence)))

    assert reason(decision) == Reason.FENCE_MOVING
    move = of_kind(MoveFence, decision)
    assert move is not None
    assert move.executors == ("blue",)
    assert move.known_epoch == 4
    assert move.expected_epoch == (fence.epoch if fence else None)


def test_fence_epoch_above_status_is_adopted():
    observation = replace(SERVING, database=FenceReport(Fence(9, ("blue",), "x", OWNER)))
    decision = decided(engine(active=True, epoch=4), DESIRED, observation)

    assert of_kind(MoveFence, decision) is None
    assert decision.state.active is not None
    assert decision.state.active.epoch == 9
