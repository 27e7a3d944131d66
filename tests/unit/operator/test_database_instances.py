"""One database server, three, and one again, while orders are written."""

import pytest
from cutover_walks import reconciled
from cutover_world import World
from database_walks import FIRST, NAMES, SECOND, THIRD, condition, lead, three_servers, until_in_sync
from maintenance_walks import taken_away
from rtx_operator.api.enums import ConditionType, Durability, Reason
from simulated_patroni import Volume

STATEFUL_SET = ("StatefulSet", "rtx-postgres")


def size(world: World) -> int:
    return int(world.children[STATEFUL_SET]["spec"]["replicas"])


def scale(world: World, replicas: int) -> None:
    """Somebody gives the StatefulSet another size."""
    live = world.children[STATEFUL_SET]
    world._store(STATEFUL_SET, {**live, "spec": {**live["spec"], "replicas": replicas}})


def delete_servers(world: World) -> None:
    """The StatefulSet goes, with its pods; volumes and Patroni's state stay, as with deletionPolicy Retain."""
    del world.children[STATEFUL_SET]
    world.pods = {name: pod for name, pod in world.pods.items() if name not in NAMES}


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


# --- what others do to the StatefulSet -------------------------------------------------------------------------------


def test_single_server_that_somebody_scaled_away_comes_back(world: World) -> None:
    scale(world, 0)
    reconciled(world, 3)

    assert until_alone(world)


@pytest.mark.parametrize("replicas", [0, 1, 2])
def test_three_servers_come_back_whoever_led_when_somebody_scaled_them_down(replicas: int) -> None:
    # Given three servers, of which not the first one leads
    world = three_servers()
    lead(world, SECOND)

    scale(world, replicas)
    reconciled(world, 3)

    assert until_in_sync(world)
    assert world.lost == 0


def test_three_retained_servers_become_one_only_once_that_has_all_data() -> None:
    # Given three servers, of which the first does not follow
    world = three_servers()
    lead(world, SECOND)
    world.faults.add(f"behind:{FIRST}")
    reconciled(world, 3)

    # When they are deleted, and applied again as a single one
    delete_servers(world)
    world.faults.clear()
    world.set_spec(database={"instances": 1})

    assert until_alone(world)
    assert world.lost == 0


def test_retained_volume_of_earlier_times_never_leads_where_three_servers_are_applied_again() -> None:
    # Given an engine that had three servers once, and goes on with one
    world = three_servers()
    world.set_spec(database={"instances": 1})
    assert until_alone(world)
    reconciled(world, 3)

    # When it is deleted, and applied again with three, the first of which is late
    delete_servers(world)
    world.faults.add(f"dead:{FIRST}")
    world.set_spec(database={"instances": 3})
    reconciled(world, 5)
    world.faults.clear()

    assert until_in_sync(world)
    assert world.lost == 0


def until_alone(world: World, reconciles: int = 40) -> bool:
    """Until a single server leads, and nothing is left to do about it."""
    for _ in range(reconciles):
        reconciled(world, 1)
        if size(world) == 1 and world.leader == FIRST and not world.intend().decision.database_waits:
            return True
    return False
