"""What is at rest is read once for several looks, and never older than what we wrote or were told."""

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio
from api_server import ApiServer, serving
from rtx_operator.cluster.apply import Applied, Applier
from rtx_operator.cluster.read_cache import MAX_AGE_SECONDS, CachedObjects, ReadCache
from rtx_operator.cluster.resources import CACHED_KINDS, CONFIG_MAP, SECRET, SERVICE
from rtx_operator.observation import Object

ENGINE = ("trading", "rtx")


class World:
    """A server, what reads from it and writes to it, and a clock that stands still."""

    def __init__(self, server: ApiServer, read_cache: ReadCache, applier: Applier) -> None:
        self.server, self.read_cache, self.applier = server, read_cache, applier
        self.now = 0.0

    async def read(self, credentials: str = "") -> CachedObjects:
        return await self.read_cache.read(*ENGINE, credentials)


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    server = ApiServer()
    async with serving(server) as client:
        read_cache = ReadCache(client, lambda: world.now)
        world = World(server, read_cache, Applier(client, read_cache))
        yield world


def named(found: CachedObjects) -> set[str]:
    return {child["metadata"]["name"] for child in found.children}


def child(kind: str, version: str = "v1") -> Object:
    meta = {"name": "rtx", "namespace": "trading"}
    return {"apiVersion": version, "kind": kind, "metadata": meta, "spec": {"selector": {"colour": "green"}}}


async def test_looks_in_quick_succession_read_it_once_and_a_later_one_anew(world: World) -> None:
    # Given a look, and what nobody told us of
    await world.read()
    world.server.put(CONFIG_MAP, "untold")

    # When it is looked at just before it is old, and after
    world.now = MAX_AGE_SECONDS - 0.1
    kept = await world.read()
    lists = world.server.count("GET")
    world.now = MAX_AGE_SECONDS
    anew = await world.read()

    # Then the one asks for nothing, and the other sees what there is
    assert (named(kept), named(anew)) == (set(), {"untold"})
    assert lists == len(CACHED_KINDS) + 1  # the metrics API


async def test_what_we_are_told_of_is_seen_at_once(world: World) -> None:
    await world.read()
    world.server.put(CONFIG_MAP, "told")

    world.read_cache.changed(ENGINE)

    assert named(await world.read()) == {"told"}


async def test_what_we_are_told_of_while_it_is_read_is_seen_by_the_next_look(world: World) -> None:
    # Given a look whose answers are on their way
    answered = asyncio.Event()
    asked = asyncio.Event()

    async def hold() -> None:
        asked.set()
        await answered.wait()

    world.server.hold = hold
    looking = asyncio.create_task(world.read())
    await asked.wait()

    # When something changes and we are told before they come
    world.server.put(CONFIG_MAP, "told")
    world.read_cache.changed(ENGINE)
    answered.set()
    await looking

    # Then they are not kept
    assert named(await world.read()) == {"told"}


async def test_what_we_wrote_is_seen_at_once(world: World) -> None:
    await world.read()

    await world.applier.apply(ENGINE, CONFIG_MAP, child("ConfigMap"), None, "uid")

    assert named(await world.read()) == {"rtx"}


async def test_a_write_of_what_moves_leaves_what_is_at_rest_alone(world: World) -> None:
    await world.read()
    asked = world.server.count("GET")

    await world.applier.apply(ENGINE, SERVICE, child("Service"), None, "uid")
    await world.read()

    assert world.server.count("GET") == asked + 1  # whether the name is free


async def test_credentials_of_another_name_are_read(world: World) -> None:
    world.server.put(SECRET, "first", data={"DB_PASSWORD": "eA=="})
    assert (await world.read("second")).credentials is None

    found = await world.read("first")

    assert found.credentials is not None
    assert found.credentials["data"] == {"DB_PASSWORD": "eA=="}


async def test_what_was_applied_under_guard_is_not_applied_again_without(world: World) -> None:
    # Given an object that was applied under the version at which it was seen
    guarded = child("Service")
    guarded["metadata"] = {**guarded["metadata"], "resourceVersion": "7"}
    _, live = await world.applier.apply(ENGINE, SERVICE, guarded, None, "uid")

    # When the same is wanted, as in every look
    again, _ = await world.applier.apply(ENGINE, SERVICE, child("Service"), live, "uid")

    # Then nothing is written
    assert again is Applied.UNCHANGED
    assert world.server.count("PATCH") == 1
