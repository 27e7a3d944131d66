"""The kill table: the operator is killed before and after each effect of each kind of cutover."""

import pytest
from fault_table import Row, add_row
from kills import KillScenario, around, moment, run_with_kills
from loads import Load, assert_kept_across_tests
from rtx_demo import database
from rtx_demo.kubectl import Object
from rtx_operator.api.enums import CutoverPhase, Reason
from upgrades import FAST_ROLLOUT, NEW_VERSION, OLD_VERSION, Upgrades

SMOKE_FAILS: Object = {"smoke": [{"name": "nowhere", "path": "/nowhere"}]}
TOO_SLOW: Object = {"monitor": {"maxP99Milliseconds": 1}}
KEEPS_NOTHING: Object = {"keepPreviousFor": "0s"}
FENCE_MOVES_SQL = "SELECT count(*) FROM rtx_operator.execution_fence_history;"

pytestmark = pytest.mark.usefixtures("module_engine")

SCENARIOS = {
    "back before the switch": KillScenario(
        {"version": NEW_VERSION, "rollout": SMOKE_FAILS},
        around(CutoverPhase.MIGRATING, "Migrate")
        + around(CutoverPhase.PROVISIONING, "Provision", "Resize")
        + around(CutoverPhase.ROLLING_BACK, "Empty", "Reverse"),
        {
            "phase": CutoverPhase.ROLLED_BACK,
            "reason": Reason.SMOKE_FAILED,
            "version": OLD_VERSION,
            "rejected": NEW_VERSION,
            "idle pods": 0,
        },
        initial_version=OLD_VERSION,
    ),
    "back after the switch": KillScenario(
        {"version": NEW_VERSION, "rollout": TOO_SLOW},
        [
            *around(CutoverPhase.ROLLING_BACK, "MoveFence", "Select"),
            moment("before", CutoverPhase.ROLLING_BACK, "Drain"),
            *around(CutoverPhase.ROLLING_BACK, "Empty"),
        ],
        {
            "phase": CutoverPhase.ROLLED_BACK,
            "reason": Reason.TOO_SLOW,
            "version": OLD_VERSION,
            "rejected": NEW_VERSION,
            "idle pods": 0,
        },
        initial_version=OLD_VERSION,
    ),
    # Its own scenario: before another replica leads, pods without a WebSocket have become quiet and need no drain.
    "back, and drained": KillScenario(
        {"version": NEW_VERSION, "rollout": TOO_SLOW},
        [moment("after", CutoverPhase.ROLLING_BACK, "Drain")],
        {
            "phase": CutoverPhase.ROLLED_BACK,
            "reason": Reason.TOO_SLOW,
            "version": OLD_VERSION,
            "rejected": NEW_VERSION,
            "idle pods": 0,
        },
        initial_version=OLD_VERSION,
    ),
    "upgrade": KillScenario(
        {"version": NEW_VERSION, "rollout": FAST_ROLLOUT},
        around(CutoverPhase.MIGRATING, "Migrate")
        + around(CutoverPhase.PROVISIONING, "Provision", "Resize")
        + around(CutoverPhase.SWITCHING, "MoveFence", "Select")
        + around(CutoverPhase.MONITORING, "Drain"),
        {
            "phase": CutoverPhase.SUCCEEDED,
            "reason": "",
            "version": NEW_VERSION,
            "previous": OLD_VERSION,
            "idle pods": 2,
        },
        initial_version=OLD_VERSION,
    ),
    "back to the kept version": KillScenario(
        {"version": OLD_VERSION, "rollout": FAST_ROLLOUT},
        around(CutoverPhase.SWITCHING, "MoveFence", "Select") + around(CutoverPhase.MONITORING, "Drain"),
        {
            "phase": CutoverPhase.SUCCEEDED,
            "reason": "",
            "version": OLD_VERSION,
            "previous": NEW_VERSION,
            "idle pods": 2,
        },
        initial_version=NEW_VERSION,
    ),
    "upgrade and retirement": KillScenario(
        {"version": NEW_VERSION, "rollout": KEEPS_NOTHING},
        around(None, "Empty", "Contract"),
        {
            "phase": CutoverPhase.SUCCEEDED,
            "reason": "",
            "version": NEW_VERSION,
            "previous": "",
            "idle pods": 0,
        },
        initial_version=OLD_VERSION,
    ),
}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_operator_killed_around_each_effect_ends_the_cutover_as_without_kills(
    upgrades: Upgrades, loaded: Load, scenario: str, pytestconfig: pytest.Config
) -> None:
    # Given an engine under load.
    failed = loaded.failed_requests()

    # When a cutover runs, and the operator is killed before and after each of its effects.
    kills = run_with_kills(SCENARIOS[scenario], upgrades, loaded)

    # Then the end state is the expected one, every kill happened, and no request failed.
    for kill in kills:
        name = f"  {scenario}: killed {kill.moment}"
        add_row(pytestconfig, Row(name, "led again", kill.seconds, kill.failed_requests))
    assert [kill.moment for kill in kills] == SCENARIOS[scenario].moments
    assert loaded.failed_requests_by_now() == failed


def test_no_promise_is_broken_over_the_whole_table(upgrades: Upgrades, loaded: Load) -> None:
    # Given the load that ran through all scenarios.
    print(f"the fence moved {database.psql(upgrades.engine, FENCE_MOVES_SQL).strip()} times")

    # When its ledger is compared with the database.
    # Then no request failed, no order was lost or doubled, and only the colour that the fence names executed.
    assert_kept_across_tests(loaded)
