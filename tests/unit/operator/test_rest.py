"""An engine at rest is observed by what the watches delivered; whatever is to be done is decided on live objects."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from api_server import ApiServer, serving
from prometheus_client import REGISTRY
from rtx_operator import measure
from rtx_operator.api.enums import Reason, RetirementPhase
from rtx_operator.api.names import Label
from rtx_operator.cluster.apply import Applier
from rtx_operator.cluster.crash import CrashHook
from rtx_operator.cluster.fleet import Fleet
from rtx_operator.cluster.observe import Inquiries, Observer
from rtx_operator.cluster.perform import Performer
from rtx_operator.cluster.postgres import Reader
from rtx_operator.cluster.read_cache import ReadCache
from rtx_operator.cluster.resources import (
    CHILDREN,
    CONTROLLER_REVISION,
    DEPLOYMENT,
    ENGINE,
    GRANDCHILDREN,
    NETWORK_POLICY,
    SERVICE,
)
from rtx_operator.cluster.watched import WatchedObjects
from rtx_operator.controllers import engine as engine_controller
from rtx_operator.controllers.base import Key
from rtx_operator.controllers.engine import EngineController
from rtx_operator.decision.requeue import WAITING_SECONDS
from rtx_operator.observation import FENCE_SCHEMA, Fence, FenceReport, FenceSchema, Observation
from rtx_operator.settings import from_environment

KEY = Key(ENGINE.kind, "trading", "rtx")
PATH = ENGINE.path("trading", "rtx")
SERVICE_PATH = SERVICE.path("trading", "rtx-postgres")
SETTINGS = from_environment({"POSTGRES_IMAGE": "postgres", "REDIS_IMAGE": "redis"})
GREEN = {"colour": "green", "version": "0.9.0", "revision": "green1"}
TIMES = {"startedAt": "2026-11-26T12:00:00Z", "since": "2026-11-26T12:01:00Z"}
EVENTS = ("GET", "/api/v1/namespaces/trading/events")  # of a database that is not ready yet


class World:
    """An API server with one engine, and an operator whose watches deliver when the test says so."""

    def __init__(
        self, server: ApiServer, watched: WatchedObjects, fleet: Fleet, reconcile: EngineController, cache: ReadCache
    ) -> None:
        self.server, self.watched, self.fleet, self.reconcile = server, watched, fleet, reconcile
        self.read_cache = cache

    async def requests(self) -> list[tuple[str, str]]:
        """What one reconcile sends to the API server."""
        self.server.requests.clear()
        await self.reconcile(KEY)
        return list(self.server.requests)

    def deliver(self) -> None:
        """The watches deliver all that is there, and their lists are complete."""
        for resource in (*CHILDREN, *GRANDCHILDREN):
            folder = resource.path("trading")
            there = [found for path, found in self.server.objects.items() if path.rpartition("/")[0] == folder]
            for found in there:
                found["metadata"].setdefault("labels", {})[Label.ENGINE.value] = "rtx"
                self.watched.put(resource, found)
            listed = [("trading", found["metadata"]["name"]) for found in there]
            self.watched.completed(resource, listed, self.server.version)
        if PATH in self.server.objects:
            self.fleet.put(self.server.objects[PATH])


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    """An engine of which all is applied, and which waits for its database's pod."""
    server, watched, fleet = ApiServer(), WatchedObjects(), Fleet()
    spec = {"version": "1.0.0", "image": {"repository": "example.com/rtx-engine"}}
    server.put(ENGINE, "rtx", apiVersion=ENGINE.api_version, kind=ENGINE.kind, spec=spec)
    server.objects[PATH]["metadata"]["generation"] = 1
    async with serving(server) as client:
        cache = ReadCache(client, watched=watched)
        performer = Performer(client, Applier(client, cache), CrashHook(None))
        observer = Observer(client, cache, Reader(), Inquiries(lambda _: None))
        reconcile = EngineController(client, observer, performer, SETTINGS, fleet=fleet)
        world = World(server, watched, fleet, reconcile, cache)
        await world.requests()
        world.deliver()
        await world.requests()  # the metrics API is asked once for all
        yield world


async def test_engine_at_rest_is_reconciled_without_reading_its_objects(world: World) -> None:
    assert await world.requests() == [EVENTS]


async def test_phase_of_a_paused_engine_is_measured_by_a_new_leader_that_reads_nothing_live(world: World) -> None:
    # Given a paused engine at rest, whose last cutover is over
    ends = {end: {"colour": "blue", "version": "1.0.0", "revision": "h1"} for end in ("from", "to")}
    manifest = world.server.objects[PATH]
    manifest["spec"] = {**manifest["spec"], "paused": True}
    manifest["status"] = {**manifest["status"], "cutover": {"id": "1.0.0-x", "phase": "Succeeded", **TIMES, **ends}}
    world.fleet.put(manifest)
    await world.requests()
    world.deliver()

    # When the process has just started, without metrics
    measure.forget("trading", "rtx")
    assert await world.requests() == [EVENTS]

    # Then the gauge has the phase
    labels = {"namespace": "trading", "name": "rtx", "phase": "Succeeded"}
    assert REGISTRY.get_sample_value("rtx_operator_cutover_phase", labels) == 1.0


@pytest.mark.parametrize("resource", [SERVICE, DEPLOYMENT], ids=["written", "only missing"])
async def test_watch_that_is_incomplete_leads_to_live_reads(world: World, resource: object) -> None:
    world.watched.broken(SERVICE if resource is SERVICE else DEPLOYMENT)

    assert ("GET", PATH) in await world.requests()


async def test_changed_spec_is_decided_on_live_objects(world: World) -> None:
    manifest = world.server.objects[PATH]
    manifest["spec"] = {**manifest["spec"], "networkPolicy": {"monitoringNamespace": "metrics"}}
    manifest["metadata"] |= {"generation": 2, "resourceVersion": "1000"}
    world.fleet.put(manifest)

    sent = await world.requests()

    assert sent.index(("GET", PATH)) < sent.index(("PATCH", NETWORK_POLICY.path("trading", "rtx-engine")))


async def test_drift_is_repaired_after_the_object_was_read_live(world: World) -> None:
    # Given a Service of which another manager took a field
    taken = world.server.objects[SERVICE_PATH]
    taken["metadata"]["managedFields"][0]["fieldsV1"] = {"f:spec": []}
    taken["metadata"]["resourceVersion"] = "1000"
    world.watched.put(SERVICE, taken)

    sent = await world.requests()

    assert ("PATCH", SERVICE_PATH) in sent
    assert sent.index(("GET", PATH)) < sent.index(("PATCH", SERVICE_PATH))


async def test_child_deleted_while_the_watch_was_away_is_created_again(world: World) -> None:
    del world.server.objects[SERVICE_PATH]
    world.deliver()  # the list after the watch was away

    assert ("PATCH", SERVICE_PATH) in await world.requests()


async def test_engine_whose_deletion_was_missed_gets_no_children_again(world: World) -> None:
    # Given an engine that was deleted with its children, of which no event told
    world.server.objects.clear()
    for resource in (*CHILDREN, *GRANDCHILDREN):
        world.watched.completed(resource, [], 1_000_000)

    # Then a live read finds that it is gone, and it is forgotten
    assert await world.requests() == [EVENTS, ("GET", PATH)]
    assert world.fleet.get(("trading", "rtx")) is None


async def test_next_reconcile_sees_an_own_write_before_the_watch_does(world: World) -> None:
    # Given a child that the operator has just created again
    del world.server.objects[SERVICE_PATH]
    world.deliver()
    await world.requests()
    label = {Label.ENGINE.value: "rtx"}
    written = world.server.objects[SERVICE_PATH]
    written["metadata"]["labels"] = {**written["metadata"].get("labels", {}), **label}

    # When nothing has come from the watch yet, then nothing is written twice
    assert await world.requests() == [EVENTS]


async def test_child_that_hangs_in_its_deletion_is_told_at_rest_and_not_asked_for_in_a_loop(world: World) -> None:
    # Given a Service that the finalizer of a load balancer's controller keeps
    live = world.server.objects[SERVICE_PATH]
    live["metadata"] |= {"deletionTimestamp": "2026-01-01T12:00:00Z", "resourceVersion": "100000"}
    world.watched.put(SERVICE, live)

    # When the engine is reconciled
    due = await world.reconcile(KEY)

    # Then status tells of it
    conditions = world.server.objects[PATH]["status"]["conditions"]
    assert Reason.TERMINATING in {one["reason"] for one in conditions}
    assert due is not None
    assert due.seconds >= WAITING_SECONDS


async def test_error_while_deciding_on_the_watches_is_found_again_live_and_told(world: World) -> None:
    # Given a ControllerRevision that somebody made anew without its data
    path = next(path for path in world.server.objects if "controllerrevisions" in path and "cache" in path)
    record = world.server.objects[path]
    record["data"] = {}
    record["metadata"] |= {"resourceVersion": "100000", "labels": {Label.ENGINE.value: "rtx"}}
    world.watched.put(CONTROLLER_REVISION, record)
    world.read_cache.changed(("trading", "rtx"))

    # When the engine is reconciled
    with pytest.raises(KeyError):
        await world.requests()

    # Then status says that it failed
    conditions = world.server.objects[PATH]["status"]["conditions"]
    assert Reason.RECONCILE_FAILED in {one["reason"] for one in conditions}


async def test_engine_at_which_nothing_has_changed_is_not_decided_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an engine that waits for nothing
    monkeypatch.setattr(engine_controller, "requeue_after", lambda *_, resync, **__: resync)
    await world.reconcile(KEY)
    monkeypatch.setattr(engine_controller, "decide", lambda *_: pytest.fail("it is decided"))

    # When it is reconciled again, then nothing is decided
    await world.reconcile(KEY)

    # And after any change of a child it is
    changed = world.server.objects[SERVICE_PATH]
    changed["metadata"] |= {"resourceVersion": "1000", "annotations": {"of": "somebody"}}
    world.watched.put(SERVICE, changed)
    with pytest.raises(pytest.fail.Exception):
        await world.reconcile(KEY)


@pytest.mark.parametrize(
    "waits",
    [
        {"previous": {**GREEN, "retireAfter": "2999-01-01T00:00:00Z"}},
        {"retirement": {**TIMES, "id": "a", "phase": RetirementPhase.FAILED, "release": GREEN}},
    ],
    ids=["previous release", "failed retirement"],
)
async def test_engine_of_which_a_release_is_to_be_retired_is_decided_again(
    world: World, monkeypatch: pytest.MonkeyPatch, waits: dict[str, Any]
) -> None:
    # Given an engine at which nothing changes, and whose next operation begins by time
    manifest = world.server.objects[PATH]
    manifest["status"] = {**manifest["status"], **waits}
    manifest["metadata"]["resourceVersion"] = "1000"
    world.deliver()
    await world.reconcile(KEY)
    world.deliver()
    monkeypatch.setattr(engine_controller, "requeue_after", lambda *_, resync, **__: resync)
    assert await world.requests() == [EVENTS]

    # When it is reconciled again, then it is decided by the time of then
    monkeypatch.setattr(engine_controller, "decide", lambda *_: pytest.fail("it is decided"))
    with pytest.raises(pytest.fail.Exception):
        await world.reconcile(KEY)


async def test_engine_whose_database_answers_otherwise_is_decided_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a database of another engine, with the fence's tables of today: there is nothing to be done in it
    fence = Fence(epoch=7, executors=("blue",), cutover="a", owner="trading/other/uid")
    report = FenceReport(fence, age_seconds=1.0, schema=FenceSchema(FENCE_SCHEMA, FENCE_SCHEMA))
    observe = Observer.observe

    async def answered(*arguments: Any) -> Observation:
        return replace(await observe(*arguments), database=report)

    monkeypatch.setattr(Observer, "observe", answered)
    monkeypatch.setattr(engine_controller, "requeue_after", lambda *_, resync, **__: resync)
    await world.reconcile(KEY)
    monkeypatch.setattr(engine_controller, "decide", lambda *_: pytest.fail("it is decided"))

    # When the same answer is older, then nothing is decided
    report = replace(report, age_seconds=2.0)
    await world.reconcile(KEY)

    # But it is when the tables are those of an earlier release
    report = replace(report, schema=FenceSchema(FENCE_SCHEMA - 1, FENCE_SCHEMA - 1))
    with pytest.raises(pytest.fail.Exception):
        await world.reconcile(KEY)
