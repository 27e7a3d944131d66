"""The database's servers fail, are cut off and change their roles under load: nothing acknowledged is lost."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from failovers_under_load import INSTANCES, interrupted
from loads import CONNECTION_ERRORS
from rtx_demo import failovers, members
from rtx_demo.engine import Engine, conditions
from rtx_demo.sample import Sample
from rtx_demo.waiting import eventually
from rtx_lab.faults import api_server_unavailable, node_cut_off
from rtx_operator.api.enums import CutoverPhase
from system_fixtures import StartLoad
from upgrades import FAST_ROLLOUT, LONG_MONITORING, Upgrades, assert_consistent, new_revision, upgradable

CUT_SECONDS = 45.0  # longer than the primary's lock lasts
API_OUTAGE_SECONDS = 60.0
STANDBYS_AWAY_SECONDS = 15.0
# Of a load whose pods, or whose engine's pods, are on a node that is cut off.
CUT_OFF_ERRORS = (*CONNECTION_ERRORS, "connect time-out", "answer time-out", "unsent", "status 5xx")
PHASES = (
    CutoverPhase.MIGRATING,
    CutoverPhase.PROVISIONING,
    CutoverPhase.TESTING,
    CutoverPhase.SWITCHING,
    CutoverPhase.MONITORING,
    CutoverPhase.PROMOTING,
)


@pytest.fixture(scope="module")
def replicated(sample: Sample) -> Iterator[Upgrades]:
    """An engine whose database has a primary and two standbys that follow it."""
    with upgradable(sample, database={"instances": INSTANCES}) as engine:
        members.wait_until_formed(engine, INSTANCES)
        yield Upgrades(engine)


@pytest.fixture
def engine_of_three(replicated: Upgrades) -> Engine:
    """The same, as the test before may have left it, once it is whole."""
    members.wait_until_formed(replicated.engine, INSTANCES)
    replicated.wait_until_reconciled()
    return replicated.engine


def test_standby_takes_over_from_a_killed_primary(engine_of_three: Engine, start_load: StartLoad) -> None:
    # Given a load, when all PostgreSQL processes of the primary are killed, then orders go on and nothing is lost.
    with start_load(engine_of_three) as loaded, interrupted(engine_of_three, loaded):
        failovers.kill(engine_of_three)
        failovers.wait_until_writable(engine_of_three)


@pytest.mark.parametrize("times", [1, 3])
def test_standby_takes_over_from_a_deleted_pod(engine_of_three: Engine, start_load: StartLoad, times: int) -> None:
    # Given a load, when the primary's pod is deleted, also three times in a row, then nothing is lost.
    with start_load(engine_of_three) as loaded, interrupted(engine_of_three, loaded):
        for _ in range(times):
            before = failovers.delete_pod(engine_of_three)
            failovers.wait_for_other(engine_of_three, before)


def test_planned_switchover_loses_nothing(engine_of_three: Engine, start_load: StartLoad) -> None:
    # Given a load, when a standby is asked to become the primary, then it does and nothing is lost.
    with start_load(engine_of_three) as loaded, interrupted(engine_of_three, loaded):
        before = failovers.switch_over(engine_of_three)
        failovers.wait_for_other(engine_of_three, before)


def test_primary_that_is_cut_off_acknowledges_nothing_and_comes_back(
    engine_of_three: Engine, start_load: StartLoad
) -> None:
    # Given a load.
    with (
        start_load(engine_of_three) as loaded,
        interrupted(engine_of_three, loaded, reasons=CUT_OFF_ERRORS),
    ):
        # When the primary's node loses its network, a standby takes over, and the network comes back.
        before = members.primary(engine_of_three)
        with node_cut_off(before.node):
            failovers.wait_for_other(engine_of_three, before)
            time.sleep(CUT_SECONDS)
        loaded.reopen_watch()
        # Then it follows the new primary, and what either acknowledged is in the new one's database (`interrupted`).


def test_frozen_primary_is_ended_and_orders_go_on(engine_of_three: Engine, start_load: StartLoad) -> None:
    # Given a load, when everything in the primary's pod stops: neither PostgreSQL nor Patroni can end the other.
    with start_load(engine_of_three) as loaded, interrupted(engine_of_three, loaded):
        before = members.primary(engine_of_three)
        with failovers.frozen(before):
            # Then the kubelet ends both. Whoever has the lock first leads: that server, restarted, or another one.
            failovers.wait_until_writable(engine_of_three)


def test_orders_go_on_while_the_api_server_is_frozen(engine_of_three: Engine, start_load: StartLoad) -> None:
    # Given a load.
    with start_load(engine_of_three) as loaded:
        failed = loaded.failed_requests()

        # When the API server answers nobody for a minute: also not Patroni, which keeps its lock there.
        with api_server_unavailable():
            time.sleep(API_OUTAGE_SECONDS)

        # Then no request failed: the primary asked its standbys, and stayed.
        loaded.reopen_watch()
        assert loaded.failed_requests_by_now() == failed


def test_orders_get_503_while_no_standby_is_there(engine_of_three: Engine, start_load: StartLoad) -> None:
    # Given a load on an engine with `durability: Quorum`, when both standbys stop for a while.
    with (
        start_load(engine_of_three) as loaded,
        interrupted(engine_of_three, loaded),
        _standbys_frozen(engine_of_three),
    ):
        failed = loaded.failed_requests_by_now()
        time.sleep(STANDBYS_AWAY_SECONDS)

        # Then requests fail, and a condition says why. What was acknowledged is in the database (`interrupted`).
        assert loaded.failed_requests_by_now() > failed
        eventually(lambda: _mentions_standbys(engine_of_three), "a condition about missing standbys")


@pytest.mark.parametrize("phase", PHASES)
def test_failover_in_each_phase_of_a_cutover(
    replicated: Upgrades, engine_of_three: Engine, start_load: StartLoad, phase: CutoverPhase
) -> None:
    # Given a cutover in that phase, under load.
    with start_load(engine_of_three) as loaded, interrupted(engine_of_three, loaded):
        replicated.begin(**new_revision(), rollout=LONG_MONITORING)
        replicated.wait_for_phase(phase, CutoverPhase.SUCCEEDED)

        # When the primary's pod is deleted.
        failovers.wait_for_other(engine_of_three, failovers.delete_pod(engine_of_three))

        # Then the cutover ends, and the colour that it ended with is the only one that serves and executes.
        replicated.wait_until_over()
        assert_consistent(replicated)
    replicated.patch(rollout=FAST_ROLLOUT)


def test_servers_are_added_and_removed_under_load(sample: Sample, start_load: StartLoad) -> None:
    # Given a load on an engine with one database server, and nodes on which that of the tests before still runs.
    small = {"resources": {"requests": {"cpu": "50m", "memory": "128Mi"}}}
    with upgradable(sample, database=small) as engine:
        upgrades = Upgrades(engine)
        with start_load(engine) as loaded, interrupted(engine, loaded, instances=1):
            # When it gets three, one of the new ones takes over, and there is to be one again.
            upgrades.patch(database={"instances": INSTANCES})
            members.wait_until_formed(engine, INSTANCES)
            upgrades.wait_until_reconciled()  # Patroni hands over to nobody who is not in its quorum yet
            failovers.wait_for_other(engine, failovers.switch_over(engine))
            upgrades.patch(database={"instances": 1})
            members.wait_until_formed(engine, 1)
            upgrades.wait_until_reconciled()
        # Then nothing was lost or executed twice (`interrupted`).


@contextmanager
def _standbys_frozen(engine: Engine) -> Iterator[None]:
    with ExitStack() as held:
        for standby in members.standbys(engine):
            held.enter_context(failovers.frozen(standby))
        yield


def _mentions_standbys(engine: Engine) -> bool:
    return any("standby" in condition.message for condition in conditions(engine.read()) if condition.status != "True")
