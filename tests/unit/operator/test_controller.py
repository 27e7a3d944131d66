"""A reconcile writes status on every way out, with its decision."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from api_server import ApiServer, serving
from prometheus_client import REGISTRY
from rtx_operator import measure
from rtx_operator.api.enums import ConditionType, CutoverPhase, Reason
from rtx_operator.cluster.apply import Applier
from rtx_operator.cluster.client import ApiError, ConflictError, Object
from rtx_operator.cluster.crash import CrashHook
from rtx_operator.cluster.observe import Inquiries, Observer
from rtx_operator.cluster.perform import Performer
from rtx_operator.cluster.postgres import Reader
from rtx_operator.cluster.read_cache import ReadCache
from rtx_operator.cluster.resources import ENGINE
from rtx_operator.controllers import engine as engine_controller
from rtx_operator.controllers.base import Key, OutdatedDefinitionError
from rtx_operator.controllers.engine import EngineController
from rtx_operator.decision.decide import decide
from rtx_operator.settings import from_environment
from rtx_operator.workers import Priority
from rtx_operator.workqueue import Due

KEY = Key(ENGINE.kind, "trading", "rtx")
PATH = ENGINE.path("trading", "rtx")
SETTINGS = from_environment({"POSTGRES_IMAGE": "postgres", "REDIS_IMAGE": "redis"})
SPEC = {"version": "1.0.0", "image": {"repository": "example.com/rtx-engine"}}


@asynccontextmanager
async def controller(server: ApiServer) -> AsyncIterator[EngineController]:
    async with serving(server) as client:
        cache = ReadCache(client)
        performer = Performer(client, Applier(client, cache), CrashHook(None))
        inquiries = Inquiries[tuple[str, str]](lambda _: None)
        yield EngineController(client, Observer(client, cache, Reader(), inquiries), performer, SETTINGS)


@pytest.fixture
def server() -> ApiServer:
    """An API server with one new TradingEngine."""
    made = ApiServer()
    made.put(ENGINE, "rtx", apiVersion=ENGINE.api_version, kind=ENGINE.kind, spec=SPEC)
    made.objects[PATH]["metadata"]["generation"] = 1
    return made


def condition(server: ApiServer, kind: ConditionType) -> Object:
    return next(one for one in server.objects[PATH]["status"]["conditions"] if one["type"] == kind)


async def test_reconcile_without_errors_reports_the_unmet_check(server: ApiServer) -> None:
    async with controller(server) as reconcile:
        due = await reconcile(KEY)

    assert due is not None
    assert condition(server, ConditionType.READY)["reason"] == Reason.DATABASE_STARTING


@pytest.mark.parametrize(
    ("stored", "generation", "priority"),
    [
        ({}, 1, Priority.ROUTINE),
        ({}, 2, Priority.NORMAL),  # spec has been edited since
        ({"conditions": [{"type": "Ready", "status": "False"}]}, 1, Priority.NORMAL),
        ({"conditions": []}, 1, Priority.NORMAL),
        ({"cutover": {"phase": "Promoting"}}, 1, Priority.NORMAL),
        ({"cutover": {"phase": "Switching"}}, 1, Priority.URGENT),
        ({"cutover": {"phase": "Succeeded"}}, 1, Priority.ROUTINE),
        ({"retirement": {"phase": "Emptying"}}, 1, Priority.NORMAL),
    ],
)
async def test_only_an_engine_that_is_as_its_spec_asks_is_routine(
    server: ApiServer, stored: Object, generation: int, priority: Priority
) -> None:
    # Given an engine that is ready as its spec is, but for this
    ready = {"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True"}]}
    manifest = {"metadata": {"generation": generation}, "status": {**ready, **stored}}

    # Then by what is stored it has its turn
    async with controller(server) as reconcile:
        assert reconcile.priority(manifest) is priority


async def test_refusal_is_reported_and_raises_no_error(server: ApiServer) -> None:
    # Given an API server that refuses every child
    server.refuses = True

    # When the engine is reconciled
    async with controller(server) as reconcile:
        await reconcile(KEY)

    # Then Stalled has the refusal as its reason
    assert condition(server, ConditionType.STALLED)["reason"] == Reason.REQUEST_REFUSED


async def test_error_of_the_api_server_is_reported_and_raised(server: ApiServer) -> None:
    # Given an API server that responds with 500 to every write of a child
    server.fails = 500

    # When the engine is reconciled, then the error reaches the work queue
    async with controller(server) as reconcile:
        with pytest.raises(ApiError):
            await reconcile(KEY)

    # And Reconciling reports it
    reconciling = condition(server, ConditionType.RECONCILING)
    assert (reconciling["status"], reconciling["reason"]) == ("True", Reason.RECONCILE_FAILED)
    assert "trying again" in reconciling["message"]


async def test_conflict_leaves_status_unchanged(server: ApiServer) -> None:
    server.fails = 409

    async with controller(server) as reconcile:
        with pytest.raises(ConflictError):
            await reconcile(KEY)

    assert "status" not in server.objects[PATH]


async def test_invalid_spec_is_reported_by_its_field(server: ApiServer) -> None:
    server.objects[PATH]["spec"] = {**SPEC, "scaling": {"minReplicas": "many"}}

    async with controller(server) as reconcile:
        assert await reconcile(KEY) == Due(SETTINGS.resync_seconds)

    stalled = condition(server, ConditionType.STALLED)
    assert stalled["reason"] == Reason.INVALID_SPEC
    assert "spec.scaling.minReplicas" in stalled["message"]


@pytest.mark.parametrize("was", ["True", None])
async def test_invalid_spec_says_nothing_of_an_engine_that_serves(server: ApiServer, was: str | None) -> None:
    # Given an engine that is ready, or new
    ready = {
        "type": "Ready",
        "status": was,
        "reason": "Serving",
        "message": "",
        "lastTransitionTime": "2026-01-01T12:00:00Z",
    }
    server.objects[PATH]["status"] = {"conditions": [ready] if was else []}

    # When its spec cannot be read any more
    server.objects[PATH]["spec"] = {**SPEC, "scaling": {"minReplicas": "many"}}
    async with controller(server) as reconcile:
        await reconcile(KEY)

    # Then the ready one stays ready
    assert condition(server, ConditionType.READY)["status"] == (was or "False")


async def test_engine_that_cannot_be_read_stops_its_clocks_once(server: ApiServer) -> None:
    server.objects[PATH]["spec"] = {**SPEC, "scaling": {"minReplicas": "many"}}

    async with controller(server) as reconcile:
        await reconcile(KEY)
        since = server.objects[PATH]["status"]["pausedSince"]
        await reconcile(KEY)

    assert server.objects[PATH]["status"]["pausedSince"] == since


async def test_slot_of_which_no_status_was_written_is_free_although_the_spec_is_invalid_now(server: ApiServer) -> None:
    other = Key(ENGINE.kind, "trading", "other")
    async with controller(server) as reconcile:
        # Given an engine that took the last slots, and whose status could not be written
        for slots in (reconcile._cutovers, reconcile._slots):
            slots.load({})
            slots.limit = 1
            slots.note(KEY, has_slot=True)
            assert not slots.may_take(other)

        # When its spec cannot be read any more
        server.objects[PATH]["spec"] = {**SPEC, "scaling": {"minReplicas": "many"}}
        await reconcile(KEY)

        # Then another engine may have them
        assert reconcile._cutovers.may_take(other)
        assert reconcile._slots.may_take(other)


async def test_definition_that_drops_status_fields_is_an_error(server: ApiServer) -> None:
    server.drops = "replicas"

    async with controller(server) as reconcile:
        with pytest.raises(OutdatedDefinitionError, match="apply crds/"):
            await reconcile(KEY)


async def test_news_that_an_older_definition_does_not_store_makes_no_loop(
    server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a CRD that drops a field within a field, of which every decision says more than is stored
    server.drops = "replicas.ready"
    monkeypatch.setattr(engine_controller, "decide", lambda *given: replace(decide(*given), is_news=True))
    monkeypatch.setattr(engine_controller, "requeue_after", lambda made, *_, **__: 0.0 if made.is_news else 10.0)

    # When what was stored of it leads to another reconcile at once
    async with controller(server) as reconcile:
        first = await reconcile(KEY)
        assert first is not None
        assert first.seconds == 0

        # Then that one, of which nothing is stored, leads to none
        second = await reconcile(KEY)
        assert second is not None
        assert second.seconds == 10


async def test_refusal_of_any_length_and_with_any_characters_is_reported(server: ApiServer) -> None:
    # Given a webhook that denies every child in 60,000 characters, some of which cannot be stored
    server.refuses = True
    server.denial = "denied by policy \x00\ud800 " + "because of a rule; " * 3000 + "ask the platform team"

    # When the engine is reconciled
    async with controller(server) as reconcile:
        await reconcile(KEY)

    # Then status keeps the beginning and the end of the message, within the limit of the API
    message = condition(server, ConditionType.STALLED)["message"]
    assert len(message) == 32768
    assert "denied by policy \ufffd\ufffd because" in message
    assert message.endswith("ask the platform team")


async def test_cutover_phase_is_measured_from_the_first_reconcile_of_a_leader(server: ApiServer) -> None:
    # Given an engine whose last cutover is over, and an operator that has just started
    since = "2026-01-01T12:00:00Z"
    ends = {end: {"colour": "blue", "version": "1.0.0", "revision": "h1"} for end in ("from", "to")}
    cutover = {"id": "1.0.0-x", "phase": "Succeeded", "since": since, "startedAt": since, **ends}
    server.objects[PATH]["status"] = {"cutover": cutover, "active": {"colour": "unreadable"}}

    # When the engine is reconciled, although nothing can be decided
    async with controller(server) as reconcile:
        await reconcile(KEY)

    # And again by a new leader, which writes nothing
    measure.forget("trading", "rtx")
    written = server.objects[PATH]["status"]
    async with controller(server) as reconcile:
        await reconcile(KEY)
    assert server.objects[PATH]["status"] == written

    # Then the gauge has its phase
    labels = {"namespace": "trading", "name": "rtx"}
    values = {
        phase: REGISTRY.get_sample_value("rtx_operator_cutover_phase", {**labels, "phase": phase})
        for phase in CutoverPhase
    }
    assert values == {phase: float(phase is CutoverPhase.SUCCEEDED) for phase in CutoverPhase}


@pytest.mark.parametrize("gone", ["deleted", "of another class", "being deleted"])
async def test_deleted_or_foreign_engine_is_not_written(server: ApiServer, gone: str) -> None:
    manifest: Any = server.objects[PATH]
    if gone == "deleted":
        del server.objects[PATH]
    elif gone == "of another class":
        manifest["metadata"]["labels"] = {"rtx-trading.com/operator": "other"}
    else:
        manifest["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    async with controller(server) as reconcile:
        assert await reconcile(KEY) is None

    assert server.count("PATCH") == server.count("PUT") == 0


@pytest.mark.parametrize("kind", ["cutover", "maintenance"])
async def test_engine_that_hangs_in_its_deletion_keeps_no_slot(server: ApiServer, kind: str) -> None:
    ends = {end: {"colour": "blue", "version": "1.0.0", "revision": "h1"} for end in ("from", "to")}
    async with controller(server) as reconcile:
        # Given an engine amid operations, which has the only slots
        manifest = server.objects[PATH]
        manifest["status"] = {
            "cutover": {"id": "a", "phase": "Provisioning", **ends},
            "maintenance": {"id": "a", "phase": "Restarting", "component": "database"},
        }
        slots = {"cutover": reconcile._cutovers, "maintenance": reconcile._slots}[kind]
        slots.load({KEY: True})
        slots.limit = 1

        # When it is deleted in the foreground, and a pod on a dead node keeps it from going
        manifest["metadata"]["deletionTimestamp"] = "2026-11-26T12:02:00Z"
        manifest["metadata"]["finalizers"] = ["foregroundDeletion"]
        await reconcile(KEY)

        # Then nothing of it goes on, and others need not wait for it
        assert slots.may_take(Key(ENGINE.kind, "trading", "other"))
