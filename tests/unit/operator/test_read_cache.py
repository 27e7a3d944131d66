"""The read cache: one reading serves several reconciles, and a write or an event drops it."""

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio
from api_server import ApiServer, serving
from rtx_operator.api.names import Label
from rtx_operator.cluster.apply import Applied, Applier
from rtx_operator.cluster.read_cache import MAX_AGE_SECONDS, CachedObjects, ReadCache
from rtx_operator.cluster.resources import CACHED_KINDS, CONFIG_MAP, SECRET, SERVICE
from rtx_operator.observation import Object

ENGINE = ("trading", "rtx")


class World:
    """An API server, its ReadCache and Applier, and a clock that the test sets."""

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
    meta = {"name": "rtx", "namespace": "trading", "labels": {Label.ENGINE.value: "rtx"}}
    return {"apiVersion": version, "kind": kind, "metadata": meta, "spec": {"selector": {"colour": "green"}}}


async def test_reading_is_reused_until_it_is_five_seconds_old(world: World) -> None:
    # Given a reading, and a new object without an event
    await world.read()
    world.server.put(CONFIG_MAP, "unannounced")

    # When it is read just before the age limit, and at the limit
    world.now = MAX_AGE_SECONDS - 0.1
    kept = await world.read()
    lists = world.server.count("GET")
    world.now = MAX_AGE_SECONDS
    fresh = await world.read()

    # Then the first read sends no request, and the second finds the new object
    assert (named(kept), named(fresh)) == (set(), {"unannounced"})
    assert lists == len(CACHED_KINDS) + 1  # one more for the metrics API


async def test_event_drops_the_cache(world: World) -> None:
    await world.read()
    world.server.put(CONFIG_MAP, "announced")

    world.read_cache.changed(ENGINE)

    assert named(await world.read()) == {"announced"}


async def test_event_during_a_read_drops_its_result(world: World) -> None:
    # Given a read that waits for its responses
    answered = asyncio.Event()
    requested = asyncio.Event()

    async def hold() -> None:
        requested.set()
        await answered.wait()

    world.server.hold = hold
    reading = asyncio.create_task(world.read())
    await requested.wait()

    # When an event arrives before the responses
    world.server.put(CONFIG_MAP, "announced")
    world.read_cache.changed(ENGINE)
    answered.set()
    await reading

    # Then the responses are not cached
    assert named(await world.read()) == {"announced"}


async def test_write_of_a_cached_kind_drops_the_cache(world: World) -> None:
    await world.read()

    await world.applier.apply(ENGINE, CONFIG_MAP, child("ConfigMap"), None, "uid")

    assert named(await world.read()) == {"rtx"}


async def test_write_of_a_live_kind_keeps_the_cache(world: World) -> None:
    await world.read()
    requested = world.server.count("GET")

    await world.applier.apply(ENGINE, SERVICE, child("Service"), None, "uid")
    await world.read()

    assert world.server.count("GET") == requested + 1  # one GET checks that the name is free


async def test_credentials_of_another_name_are_read_immediately(world: World) -> None:
    world.server.put(SECRET, "first", data={"DB_PASSWORD": "eA=="})
    assert (await world.read("second")).credentials is None

    found = await world.read("first")

    assert found.credentials is not None
    assert found.credentials["data"] == {"DB_PASSWORD": "eA=="}


async def test_resource_version_guard_causes_no_second_apply(world: World) -> None:
    # Given an object that was applied with the resourceVersion of its observation
    guarded = child("Service")
    guarded["metadata"] = {**guarded["metadata"], "resourceVersion": "7"}
    _, live = await world.applier.apply(ENGINE, SERVICE, guarded, None, "uid")

    # When the same object is applied without it, as in every reconcile
    again, _ = await world.applier.apply(ENGINE, SERVICE, child("Service"), live, "uid")

    # Then nothing is written
    assert again is Applied.UNCHANGED
    assert world.server.count("PATCH") == 1
