"""Walks of the small world with three database servers, for tests."""

import functools
from typing import Any

from cutover_walks import reconciled
from cutover_world import World, copied, installed
from rtx_operator.api.enums import Durability
from rtx_operator.observation import Object

NAMES = tuple(f"rtx-postgres-{ordinal}" for ordinal in range(3))
FIRST, SECOND, THIRD = NAMES


@functools.cache
def _grown(durability: Durability) -> World:
    world = installed()
    world.set_spec(database={"instances": 3, "durability": durability.value})
    assert until_in_sync(world), world.stored["conditions"]
    return world


def three_servers(durability: Durability = Durability.QUORUM, **database: Any) -> World:
    """An installed engine with three database servers in sync; `database` are more fields of its spec."""
    world = copied(_grown(durability))
    world.set_spec(database={"instances": 3, "durability": durability.value, **database})
    return world


def until_in_sync(world: World, servers: str = "3/3", reconciles: int = 60) -> bool:
    """Until status has so many servers in sync, and nothing is left to do about them."""
    for _ in range(reconciles):
        reconciled(world, 1)
        cluster = world.stored.get("databaseCluster") or {}
        if cluster.get("inSync") == servers and not world.intend().decision.database_waits:
            reconciled(world, 1)  # status tells of it
            return True
    return False


def lead(world: World, name: str) -> None:
    """Another server leads, as after a failover."""
    world._lead(name)
    reconciled(world, 3)
    assert world.leader == name


def condition(world: World, kind: str) -> Object | None:
    return next((one for one in world.stored["conditions"] if one["type"] == kind), None)
