"""A cache with Sentinels under load: its master is lost in every way, and no request fails (ADR 0145)."""

import signal
import time
from collections.abc import Iterator

import pytest
from loads import assert_kept, no_request_fails
from nodes import send_signal
from rtx_demo.kubectl import KubectlError, Object
from rtx_demo.sample import Sample
from rtx_demo.waiting import eventually
from rtx_lab.provider import Provider
from rtx_operator.api.enums import ConditionType, MaintenancePhase, Reason
from system_fixtures import StartLoad
from upgrades import Upgrades, upgradable

MEMBERS = 3
MARK = "of-a-test"  # a key that every member must keep
MAINTENANCE_DEADLINE_SECONDS = 240.0
FAILOVER_DEADLINE_SECONDS = 120.0
REDIS = ":6379"  # the end of its title; a Sentinel's port is another
CUT_SECONDS = 60.0  # longer than a failover takes whose name servers are cut off, too


def redis(upgrades: Upgrades, ordinal: int, *words: str, container: str = "redis") -> str:
    """What a member answers; empty when it does not."""
    port = {"redis": "6379", "sentinel": "26379"}[container]
    shell = f'REDISCLI_AUTH="$REDIS_PASSWORD" timeout 5 redis-cli -p {port} {" ".join(words)}'
    engine = upgrades.engine
    try:
        return engine.kubectl.run(
            "exec", f"{engine.name}-redis-{ordinal}", "-n", engine.namespace, "-c", container, "--", "sh", "-c", shell
        ).strip()
    except KubectlError:
        return ""


def pod(upgrades: Upgrades, ordinal: int) -> Object:
    engine = upgrades.engine
    return engine.kubectl.get("pod", f"{engine.name}-redis-{ordinal}", engine.namespace) or {}


def sole_master(upgrades: Upgrades) -> int:
    """The member that is the master, once there is exactly one."""
    found: list[int] = []

    def is_one() -> bool:
        found[:] = [ordinal for ordinal in range(MEMBERS) if redis(upgrades, ordinal, "role").startswith("master")]
        return len(found) == 1

    eventually(is_one, "one master", deadline=FAILOVER_DEADLINE_SECONDS)
    return found[0]


def whole(upgrades: Upgrades) -> int:
    """The master, once all members are ready, follow it and have the mark."""
    upgrades.engine.wait_for(ConditionType.CACHE_AVAILABLE, Reason.CACHE_READY, deadline=FAILOVER_DEADLINE_SECONDS)
    sole_master(upgrades)
    for ordinal in range(MEMBERS):
        eventually(
            lambda ordinal=ordinal: redis(upgrades, ordinal, "get", MARK) == "here",
            f"member {ordinal} has the mark",
            deadline=FAILOVER_DEADLINE_SECONDS,
        )
    return sole_master(upgrades)


@pytest.fixture(scope="module")
def upgrades(sample: Sample) -> Iterator[Upgrades]:
    """A small engine whose cache has Sentinels."""
    with upgradable(sample, scaling={"minReplicas": 2, "maxReplicas": 2}, cache={"mode": "Sentinel"}) as engine:
        yield Upgrades(engine)


@pytest.fixture
def sentinels(upgrades: Upgrades) -> int:
    """The number of the master, of a cache whose members have the mark."""
    assert redis(upgrades, sole_master(upgrades), "set", MARK, "here") == "OK"
    return whole(upgrades)


def change_mode(upgrades: Upgrades, mode: str) -> None:
    last = (upgrades.status().get("maintenance") or {}).get("id", "")
    upgrades.patch(cache={"mode": mode})

    def is_over(status: Object) -> bool:
        maintenance = status.get("maintenance") or {}
        return maintenance.get("id", "") not in {"", last} and MaintenancePhase(maintenance["phase"]).is_terminal

    over = upgrades.wait(is_over, f"a maintenance to {mode}", deadline=MAINTENANCE_DEADLINE_SECONDS)["maintenance"]
    assert over["phase"] == MaintenancePhase.SUCCEEDED, over


def test_cache_loses_its_sentinels_and_gets_them_back_under_load(upgrades: Upgrades, start_load: StartLoad) -> None:
    with start_load(upgrades.engine) as loaded:
        change_mode(upgrades, "Single")
        upgrades.engine.wait_for(ConditionType.CACHE_AVAILABLE, Reason.CACHE_READY)
        change_mode(upgrades, "Sentinel")
        sole_master(upgrades)
        assert_kept(loaded.verdict())


def test_killed_master_costs_no_request(upgrades: Upgrades, sentinels: int, start_load: StartLoad) -> None:
    with start_load(upgrades.engine) as loaded:
        # When the pod of the master is killed without a moment to hand over.
        name = pod(upgrades, sentinels)["metadata"]["name"]
        where = ("-n", upgrades.engine.namespace)
        upgrades.kubectl.run("delete", "pod", name, *where, "--grace-period=0", "--force")
        whole(upgrades)
        assert_kept(loaded.verdict())


def test_master_that_is_born_again_empty_wipes_nobody(
    upgrades: Upgrades, sentinels: int, start_load: StartLoad
) -> None:
    with start_load(upgrades.engine) as loaded:
        # When pod and volume of the master are lost.
        name = pod(upgrades, sentinels)["metadata"]["name"]
        where = ("-n", upgrades.engine.namespace)
        upgrades.kubectl.run("delete", "pvc", f"data-{name}", *where, "--wait=false")
        upgrades.kubectl.run("delete", "pod", name, *where, "--grace-period=0", "--force")

        # Then all members have the mark again, also the one that was born empty.
        whole(upgrades)
        assert_kept(loaded.verdict())


def test_damaged_file_of_a_member_is_set_aside(upgrades: Upgrades, sentinels: int, start_load: StartLoad) -> None:
    with start_load(upgrades.engine) as loaded:
        # Given a master whose append-only file is damaged, when its Redis is killed.
        there, found = pod(upgrades, sentinels), ("-n", upgrades.engine.namespace, "-c", "redis", "--", "sh", "-c")
        exec_ = ("exec", there["metadata"]["name"], *found)
        upgrades.kubectl.run(*exec_, "for f in /data/appendonlydir/*.aof; do echo nonsense > $f; done")
        send_signal(there, REDIS, signal.SIGKILL)

        # Then it comes back, with the data of the others, and the file is kept aside.
        whole(upgrades)
        eventually(
            lambda: "corrupt-" in upgrades.kubectl.run(*exec_, "ls /data"), "the file is set aside", deadline=120
        )
        assert_kept(loaded.verdict())


def test_node_of_the_master_is_cut_off(upgrades: Upgrades, sentinels: int, local_cluster: Provider) -> None:
    # Given the node of the master.
    node = pod(upgrades, sentinels)["spec"]["nodeName"]
    local_cluster.plug(node, connected=False)
    try:
        # Then another member takes over.
        eventually(
            lambda: any(
                redis(upgrades, one, "role").startswith("master") for one in range(MEMBERS) if one != sentinels
            ),
            "another master",
            deadline=CUT_SECONDS * 2,
        )
    finally:
        local_cluster.plug(node, connected=True)

    # And when the node is back, its member follows.
    assert whole(upgrades) != sentinels


def test_rolling_restart_keeps_the_data(upgrades: Upgrades, sentinels: int, start_load: StartLoad) -> None:
    with start_load(upgrades.engine) as loaded, no_request_fails(loaded):
        last = (upgrades.status().get("maintenance") or {}).get("id", "")
        upgrades.patch(cache={"podAnnotations": {"example.com/restart": str(time.time())}})
        upgrades.wait(
            lambda status: (
                (status.get("maintenance") or {}).get("id", "") not in {"", last}
                and status["maintenance"]["phase"] == MaintenancePhase.SUCCEEDED
            ),
            "a rolling restart",
            deadline=MAINTENANCE_DEADLINE_SECONDS,
        )
        whole(upgrades)
