"""The kill table: the operator ends before and after each thing that each cutover does."""

import pytest
from fault_table import Row, add_row
from kills import Way, around, go_through
from loads import Load, assert_kept_over_all
from rtx_demo import database
from rtx_demo.kubectl import Object
from upgrades import NEW, OLD, ROLLOUT, Upgrades

SMOKE_FAILS: Object = {"smoke": [{"name": "nowhere", "path": "/nowhere"}]}
TOO_SLOW: Object = {"monitor": {"maxP99Milliseconds": 1}}
KEEPS_NOTHING: Object = {"keepPreviousFor": "0s"}
MOVES = "SELECT count(*) FROM rtx_operator.execution_fence_history;"

pytestmark = pytest.mark.usefixtures("engine_of_the_module")

WAYS = {
    "back before the switch": Way(
        {"version": NEW, "rollout": SMOKE_FAILS},
        around("Migrating/Migrate", "Provisioning/Provision", "Provisioning/Resize")
        + around("RollingBack/Empty", "RollingBack/Reverse"),
        {"phase": "RolledBack", "reason": "SmokeFailed", "version": OLD, "rejected": NEW, "idle pods": 0},
        begins_at=OLD,
    ),
    "back after the switch": Way(
        {"version": NEW, "rollout": TOO_SLOW},
        [
            *around("RollingBack/MoveFence", "RollingBack/Select"),
            "before RollingBack/Drain",
            *around("RollingBack/Empty"),
        ],
        {"phase": "RolledBack", "reason": "TooSlow", "version": OLD, "rejected": NEW, "idle pods": 0},
        begins_at=OLD,
    ),
    # By the time that another replica leads, pods that no WebSocket had reached yet are quiet and need no drain.
    "back, and drained": Way(
        {"version": NEW, "rollout": TOO_SLOW},
        ["after RollingBack/Drain"],
        {"phase": "RolledBack", "reason": "TooSlow", "version": OLD, "rejected": NEW, "idle pods": 0},
        begins_at=OLD,
    ),
    "upgrade": Way(
        {"version": NEW, "rollout": ROLLOUT},
        around("Migrating/Migrate", "Provisioning/Provision", "Provisioning/Resize")
        + around("Switching/MoveFence", "Switching/Select", "Monitoring/Drain", "Promoting/Promote"),
        {"phase": "Succeeded", "reason": "", "version": NEW, "previous": OLD, "idle pods": 2},
        begins_at=OLD,
    ),
    "back to the kept version": Way(
        {"version": OLD, "rollout": ROLLOUT},
        around("Switching/MoveFence", "Switching/Select", "Monitoring/Drain", "Promoting/Promote"),
        {"phase": "Succeeded", "reason": "", "version": OLD, "previous": NEW, "idle pods": 2},
        begins_at=NEW,
    ),
    "upgrade and retirement": Way(
        {"version": NEW, "rollout": KEEPS_NOTHING},
        around("Empty", "Contract"),
        {"phase": "Succeeded", "reason": "", "version": NEW, "previous": "", "idle pods": 0},
        begins_at=OLD,
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_operator_is_killed_before_and_after_each_effect(
    upgrades: Upgrades, loaded: Load, way: str, pytestconfig: pytest.Config
) -> None:
    # given an engine under load, when a cutover begins, and the operator ends before and after each thing it does
    failed = loaded.failed()
    kills = go_through(WAYS[way], upgrades, loaded)

    # then it ended as it would have ended, at each moment it was killed, and no request has failed
    for kill in kills:
        add_row(pytestconfig, Row(f"  {way}: killed {kill.moment}", "led again", kill.seconds, kill.failed_requests))
    assert [kill.moment for kill in kills] == WAYS[way].moments
    assert loaded.failed_by_now() == failed


def test_over_the_whole_table_nothing_was_lost(upgrades: Upgrades, loaded: Load) -> None:
    # given the one load that went through all of it, when its ledger is compared with the database
    print(f"the fence was moved {database.psql(upgrades.engine, MOVES).strip()} times")

    # then no request failed, no order was lost or doubled, and no colour executed that was not named
    assert_kept_over_all(loaded)
