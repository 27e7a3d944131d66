"""Two replicas, one leader: when it is killed, frozen or stopped, the standby leads; never both write."""

import signal
import urllib.request
from collections.abc import Callable

import pytest
from cluster_support import WAIT_SECONDS, Cluster, Engine, Operator, eventually, make_engine
from rtx_operator.api.enums import CutoverPhase

Pair = tuple[Engine, Operator, Operator]
WRITE_MESSAGES = ('"applied"', '"event"')  # logged after a write of a child, and of a status that emits an Event


@pytest.fixture
def pair(cluster: Cluster, namespace: str, start_operator: Callable[..., Operator], sql: Callable[[str], str]) -> Pair:
    """A ready engine, the operator's leader, and its standby."""
    leader = start_operator(namespace, namespace)
    eventually(leader.leads, "the first replica leads")
    standby = start_operator(namespace, namespace)
    engine = make_engine(cluster, namespace, namespace)
    engine.apply()
    engine.wait_ready()
    assert not standby.leads()
    return engine, leader, standby


def assert_reconciled(engine: Engine, name: str = "rtx-redis") -> None:
    """An operator reconciles the engine: it makes a deleted NetworkPolicy again."""
    engine.kubectl("delete", "networkpolicy", name)
    eventually(lambda: engine.child("networkpolicy", name), f"the deleted NetworkPolicy {name} is made again")


def test_standby_takes_over_from_a_killed_leader(pair: Pair) -> None:
    # Given a leader and a standby.
    engine, leader, standby = pair

    # When the leader is killed.
    leader.kill()

    # Then the standby leads and reconciles.
    eventually(standby.leads, "the standby leads")
    assert_reconciled(engine)


def test_new_leader_measures_the_phase_of_a_cutover_that_is_over(pair: Pair) -> None:
    # Given an engine whose last cutover is over, and which nothing changes any more.
    engine, leader, standby = pair
    engine.with_spec(version="1.1.0").apply()
    over = CutoverPhase.ROLLED_BACK  # kwok's pods answer no smoke test
    eventually(lambda: (engine.status().get("cutover") or {}).get("phase") == over, f"the cutover is {over}")

    # When the leader is killed.
    leader.kill()
    eventually(standby.leads, "the standby leads")

    # Then the standby's metrics have the phase.
    sample = f'rtx_operator_cutover_phase{{name="rtx",namespace="{engine.namespace}",phase="{over}"}} 1.0'
    eventually(lambda: sample in metrics(standby).splitlines(), f"the metrics have {sample}")


def metrics(operator: Operator) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{operator.port}/metrics", timeout=30) as response:
        return str(response.read().decode())


def test_stopped_leader_hands_over_and_exits_with_0(pair: Pair) -> None:
    # Given a leader and a standby.
    engine, leader, standby = pair

    # When the leader gets SIGTERM.
    leader.send(signal.SIGTERM)

    # Then it exits with 0, and the standby leads and reconciles.
    assert leader.process.wait(WAIT_SECONDS) == 0
    eventually(standby.leads, "the standby leads")
    lease = engine.child("lease", f"rtx-operator-{engine.namespace}") or {}
    assert lease["spec"]["holderIdentity"] != ""
    assert_reconciled(engine)


def test_frozen_leader_that_wakes_up_writes_nothing_and_exits(pair: Pair, cluster: Cluster) -> None:
    # Given a frozen leader, and a standby that has taken over and reconciles.
    engine, leader, standby = pair
    leader.send(signal.SIGSTOP)
    eventually(standby.leads, "the standby leads")
    assert_reconciled(engine)
    assert_reconciled(engine, "rtx-postgres")
    lines_before = len(leader.lines())

    # When the former leader wakes up.
    leader.send(signal.SIGCONT)

    # Then it exits with 1 and has written no object, and the new leader reconciles.
    assert leader.process.wait(WAIT_SECONDS) == 1
    lines = leader.lines()[lines_before:]
    assert sum("leadership lost" in line for line in lines) == 1
    assert not [line for line in lines if any(message in line for message in WRITE_MESSAGES)]
    assert_reconciled(engine)
