"""Two replicas, one leader: it is killed, it is frozen, it is told to stop; the other goes on, and never both."""

import signal
from collections.abc import Callable

import pytest
from cluster_support import Cluster, Engine, Operator, eventually, make_engine

Pair = tuple[Engine, Operator, Operator]


@pytest.fixture
def pair(cluster: Cluster, namespace: str, start_operator: Callable[..., Operator], sql: Callable[[str], str]) -> Pair:
    """An engine that is ready, its leader, and the standby."""
    leader = start_operator(namespace, namespace)
    eventually(leader.leads, "the first replica leads")
    standby = start_operator(namespace, namespace)
    engine = make_engine(cluster, namespace, namespace)
    engine.apply()
    engine.wait_ready()
    assert not standby.leads()
    return engine, leader, standby


def is_served(engine: Engine) -> None:
    """What is deleted comes back: somebody acts."""
    engine.kubectl("delete", "networkpolicy", "rtx-redis")
    eventually(lambda: engine.child("networkpolicy", "rtx-redis"), "a deleted child is made again")


def test_the_standby_takes_over_from_a_leader_that_was_killed(pair: Pair):
    engine, leader, standby = pair
    leader.kill()

    eventually(standby.leads, "the standby leads")
    is_served(engine)


def test_a_leader_that_is_told_to_stop_hands_over_and_ends_well(pair: Pair):
    engine, leader, standby = pair
    leader.send(signal.SIGTERM)

    assert leader.process.wait(20) == 0
    eventually(standby.leads, "the standby leads")
    lease = engine.child("lease", "rtx-operator") or {}
    assert lease["spec"]["holderIdentity"] != ""
    is_served(engine)


def test_a_frozen_leader_that_wakes_up_writes_nothing_and_ends(pair: Pair, cluster: Cluster):
    engine, leader, standby = pair
    leader.send(signal.SIGSTOP)
    eventually(standby.leads, "the standby leads")
    is_served(engine)
    engine.kubectl("delete", "networkpolicy", "rtx-postgres")
    eventually(lambda: engine.child("networkpolicy", "rtx-postgres"), "the standby repairs")
    told = len(leader.lines())

    leader.send(signal.SIGCONT)

    assert leader.process.wait(20) == 1
    after = leader.lines()[told:]
    assert sum("leadership lost" in line for line in after) == 1
    assert not [line for line in after if '"applied"' in line or '"ready condition changed"' in line]
    is_served(engine)
