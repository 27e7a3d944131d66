"""The maintenance of three database servers: the standbys first, one at a time, and the primary last."""

import pytest
from cutover_walks import reconciled
from cutover_world import World
from database_walks import FIRST, NAMES, SECOND, THIRD, lead, three_servers
from maintenance_walks import MORE, TYPO, until
from rtx_operator.api.enums import Durability, MaintenancePhase
from rtx_operator.observation import Object

CRASHING = {"image": "example.com/postgres:crash"}


def replaced(world: World, *, of_several: bool = False) -> list[tuple[str, set[str]]]:
    """Records, from now on, each server that is taken away, and which of the others are in sync then.

    `of_several` leaves out those that are taken away while there is to be one only.
    """
    found: list[tuple[str, set[str]]] = []
    judge = world.judge_server_pod

    def record(pod: Object) -> None:
        name = pod["metadata"]["name"]
        alive = world.servers()
        if not of_several or world.children["StatefulSet", "rtx-postgres"]["spec"]["replicas"] > 1:
            in_sync = {one for one in alive if one == world.leader or one in world._streaming(alive)}
            found.append((name, in_sync - {name}))
        judge(pod)

    world.judge_server_pod = record  # type: ignore[method-assign]
    return found


@pytest.mark.parametrize("primary", NAMES)
def test_standbys_are_replaced_one_at_a_time_and_the_primary_last(primary: str) -> None:
    # Given three servers, of which any leads
    world = three_servers()
    if primary != world.leader:
        lead(world, primary)
    away, led = replaced(world), len(world.led)

    # When they are to have more memory
    world.set_spec(database={"instances": 3, **MORE})
    assert until(world, MaintenancePhase.SUCCEEDED, 200)

    # Then each is replaced once, while both others are in sync, and one switchover is enough
    assert sorted(name for name, _ in away) == list(NAMES)
    assert away[-1][0] == primary
    assert all(others == set(NAMES) - {name} for name, others in away)
    assert len(world.led) == led + 1
    assert world.lost == 0
    requests = [world.pods[name]["spec"]["containers"][0]["resources"]["requests"]["memory"] for name in NAMES]
    assert requests == ["3Gi"] * 3


def test_standby_that_is_not_in_sync_again_holds_up_the_next() -> None:
    world = three_servers()
    away = replaced(world)
    world.set_spec(database={"instances": 3, **MORE})
    while not away:
        reconciled(world, 1)

    # When the first that is replaced comes back and does not stream
    world.faults |= {f"behind:{THIRD}"}
    reconciled(world, 30)

    # Then no other one is touched, and the message names it
    assert [name for name, _ in away] == [THIRD]
    assert f"waiting for {THIRD} to be in sync with {FIRST}" in world.stored["maintenance"]["message"]
    world.faults.clear()
    assert until(world, MaintenancePhase.SUCCEEDED, 200)


def test_standby_that_serves_nobody_is_replaced_first() -> None:
    # Given a standby that crashes for want of memory
    world = three_servers()
    world.faults.add(f"dead:{SECOND}")
    reconciled(world, 3)
    away = replaced(world)

    # When it is to have more
    world.set_spec(database={"instances": 3, **MORE})
    assert until(world, MaintenancePhase.RESTARTING)
    reconciled(world, 3)
    world.faults.clear()

    assert until(world, MaintenancePhase.SUCCEEDED, 200)
    assert [name for name, _ in away] == [SECOND, THIRD, FIRST]


def test_image_that_crashes_costs_one_standby_and_is_taken_back() -> None:
    world = three_servers()
    away, led = replaced(world), len(world.led)

    world.set_spec(database={"instances": 3, **CRASHING})

    assert until(world, MaintenancePhase.FAILED, 200)
    assert {name for name, _ in away} == {THIRD}
    assert len(world.led) == led
    reconciled(world, 5)
    assert world.stored["databaseCluster"]["inSync"] == "3/3"


def test_image_that_no_node_has_touches_no_server() -> None:
    world = three_servers()
    away = replaced(world)

    world.set_spec(database={"instances": 3, **TYPO})

    assert until(world, MaintenancePhase.FAILED, 200)
    assert away == []


def test_failover_amid_the_maintenance_leads_to_no_loss() -> None:
    world = three_servers()
    world.set_spec(database={"instances": 3, **MORE})
    assert until(world, MaintenancePhase.RESTARTING)
    reconciled(world, 2)

    # When the primary crashes while a standby is away
    world.faults.add(f"dead:{FIRST}")
    reconciled(world, 5)
    world.faults.clear()

    assert until(world, MaintenancePhase.SUCCEEDED, 300)
    assert world.lost == 0


def test_change_of_the_number_waits_until_no_pod_is_replaced() -> None:
    world = three_servers()
    world.set_spec(database={"instances": 3, **MORE})
    assert until(world, MaintenancePhase.RESTARTING)

    world.set_spec(database={"instances": 1, **MORE})
    for _ in range(60):
        reconciled(world, 1)
        if world.stored["maintenance"]["phase"] == MaintenancePhase.SUCCEEDED:
            break
        assert world.children["StatefulSet", "rtx-postgres"]["spec"]["replicas"] == 3
    assert world.stored["maintenance"]["phase"] == MaintenancePhase.SUCCEEDED


def test_asynchronous_servers_are_replaced_without_a_loss() -> None:
    world = three_servers(Durability.ASYNCHRONOUS)
    world.set_spec(database={"instances": 3, "durability": "Asynchronous", **MORE})

    assert until(world, MaintenancePhase.SUCCEEDED, 200)
    assert world.lost == 0
