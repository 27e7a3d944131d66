"""One database server, three, and one again, while orders are written."""

import pytest
from cutover_walks import reconciled
from cutover_world import World
from database_walks import FIRST, SECOND, THIRD, condition, lead, three_servers, until_in_sync
from maintenance_walks import taken_away
from rtx_operator.api.enums import ConditionType, Durability, Reason
from simulated_patroni import Volume

STATEFUL_SET = ("StatefulSet", "rtx-postgres")


def size(world: World) -> int:
    return int(world.children[STATEFUL_SET]["spec"]["replicas"])


@pytest.mark.parametrize("durability", list(Durability))
def test_two_standbys_join_without_a_restart(world: World, durability: Durability) -> None:
    away, first = taken_away(world), world.pods[FIRST]["metadata"]["uid"]

    world.set_spec(database={"instances": 3, "durability": durability.value})

    assert until_in_sync(world)
    assert (away, world.pods[FIRST]["metadata"]["uid"], world.lost) == ([], first, 0)
    cluster = world.stored["databaseCluster"]
    assert (cluster["primary"], cluster["durability"]) == (FIRST, durability)
    redundant = condition(world, ConditionType.DATABASE_REDUNDANT)
    assert redundant
    assert (redundant["status"], redundant["reason"]) == ("True", Reason.IN_SYNC)


def test_no_server_is_added_while_the_only_one_is_down(world: World) -> None:
    world.faults.add("no database")
    reconciled(world, 3)

    world.set_spec(database={"instances": 3})
    reconciled(world, 20)
    assert size(world) == 1

    world.faults.clear()
    assert until_in_sync(world)


def test_volume_of_earlier_times_never_leads(world: World) -> None:
    # Given an engine that had three servers once, whose volumes were kept
    world.volumes |= {SECOND: Volume(1, 10), THIRD: Volume(1, 20)}
    world.faults |= {f"behind:{SECOND}", f"behind:{THIRD}"}

    # When it gets three again, and its only server is lost before the others have copied anything
    world.set_spec(database={"instances": 3})
    for _ in range(30):
        reconciled(world, 1)
        if SECOND in world.servers():
            break
    world.faults.add(f"dead:{FIRST}")
    reconciled(world, 20)

    # Then nobody leads until it is back
    assert world.leader == ""
    ready = condition(world, ConditionType.READY)
    assert ready
    assert (ready["status"], ready["reason"]) == ("False", Reason.NO_PRIMARY)
    world.faults.clear()
    assert until_in_sync(world)
    assert world.lost == 0


@pytest.mark.parametrize("durability", list(Durability))
def test_first_server_takes_over_before_the_others_end(durability: Durability) -> None:
    # Given three servers of which another one leads
    world = three_servers(durability)
    lead(world, SECOND)

    # When one is asked for
    world.set_spec(database={"instances": 1, "durability": durability.value})

    # Then the first one has all data, leads, and is alone
    assert until_in_sync(world, "1/1")
    assert (world.leader, size(world), world.lost) == (FIRST, 1, 0)
    reconciled(world, 5)
    assert world.configuration()["ttl"] == 60
    assert "synchronous_mode" not in world.configuration()
    assert condition(world, ConditionType.DATABASE_REDUNDANT) is None


def test_first_server_that_cannot_take_over_keeps_all_of_them() -> None:
    # Given a first server that does not follow
    world = three_servers()
    lead(world, THIRD)
    world.faults.add(f"behind:{FIRST}")
    reconciled(world, 3)

    # When one is asked for
    world.set_spec(database={"instances": 1})
    reconciled(world, 20)

    # Then none is taken away, and the engine says for what it waits
    assert (size(world), world.leader) == (3, THIRD)
    reconciling = condition(world, ConditionType.RECONCILING)
    assert reconciling
    assert reconciling["reason"] == Reason.DATABASE_SCALING
    assert f"once {FIRST} is in sync with {THIRD}" in reconciling["message"]


def test_lost_standby_is_named_and_orders_go_on() -> None:
    world = three_servers()
    world.faults.add(f"behind:{THIRD}")
    reconciled(world, 5)

    redundant, ready = (condition(world, kind) for kind in (ConditionType.DATABASE_REDUNDANT, ConditionType.READY))
    assert redundant
    assert ready
    assert (redundant["status"], redundant["reason"]) == ("False", Reason.STANDBY_MISSING)
    assert THIRD in redundant["message"]
    assert ready["status"] == "True"


def test_orders_that_wait_for_a_standby_make_the_engine_unready_by_name() -> None:
    world = three_servers()
    world.faults |= {f"behind:{SECOND}", f"behind:{THIRD}"}
    reconciled(world, 5)

    ready = condition(world, ConditionType.READY)
    assert ready
    assert (ready["status"], ready["reason"]) == ("False", Reason.STANDBY_MISSING)
    assert "orders get 503" in ready["message"]
    assert SECOND in ready["message"]


def test_asynchronous_is_a_way_out_when_all_standbys_are_lost() -> None:
    world = three_servers()
    world.faults |= {f"behind:{SECOND}", f"behind:{THIRD}"}
    reconciled(world, 5)

    world.set_spec(database={"instances": 3, "durability": "Asynchronous"})
    reconciled(world, 5)

    ready = condition(world, ConditionType.READY)
    assert ready
    assert ready["status"] == "True"
