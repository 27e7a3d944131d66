"""A reconcile writes status on every way out, and what was decided stays decided."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from api_server import ApiServer, serving
from rtx_operator.api.enums import ConditionType, Reason
from rtx_operator.cluster.apply import Applier
from rtx_operator.cluster.client import ApiError, ConflictError, Object
from rtx_operator.cluster.crash import CrashHook
from rtx_operator.cluster.observe import Observer
from rtx_operator.cluster.perform import Performer
from rtx_operator.cluster.postgres import Reader
from rtx_operator.cluster.read_cache import ReadCache
from rtx_operator.cluster.resources import ENGINE
from rtx_operator.controllers.base import Key, OutdatedDefinitionError
from rtx_operator.controllers.engine import EngineController
from rtx_operator.settings import from_environment

KEY = Key(ENGINE.kind, "trading", "rtx")
PATH = ENGINE.path("trading", "rtx")
SETTINGS = from_environment({"POSTGRES_IMAGE": "postgres", "REDIS_IMAGE": "redis"})
SPEC = {"version": "1.0.0", "image": {"repository": "example.com/rtx-engine"}}


@asynccontextmanager
async def controller(server: ApiServer) -> AsyncIterator[EngineController]:
    async with serving(server) as client:
        cache = ReadCache(client)
        performer = Performer(client, Applier(client, cache), CrashHook(None))
        yield EngineController(client, Observer(client, cache, Reader()), performer, SETTINGS)


@pytest.fixture
def server() -> ApiServer:
    """An API server with one TradingEngine that was just created."""
    made = ApiServer()
    made.put(ENGINE, "rtx", apiVersion=ENGINE.api_version, kind=ENGINE.kind, spec=SPEC)
    made.objects[PATH]["metadata"]["generation"] = 1
    return made


def condition(server: ApiServer, kind: ConditionType) -> Object:
    return next(one for one in server.objects[PATH]["status"]["conditions"] if one["type"] == kind)


async def test_a_reconcile_without_errors_reports_what_it_waits_for(server: ApiServer) -> None:
    async with controller(server) as reconcile:
        due = await reconcile(KEY)

    assert due is not None
    assert condition(server, ConditionType.READY)["reason"] == Reason.DATABASE_STARTING


async def test_a_refusal_is_reported_and_raises_nothing(server: ApiServer) -> None:
    # Given an API server that refuses every child
    server.refuses = True

    # When the engine is reconciled
    async with controller(server) as reconcile:
        await reconcile(KEY)

    # Then status says so, as something that a person has to mend
    assert condition(server, ConditionType.STALLED)["reason"] == Reason.REQUEST_REFUSED


async def test_an_error_of_the_api_server_is_reported_and_raised(server: ApiServer) -> None:
    # Given an API server that answers every write of a child with 500
    server.fails = 500

    # When the engine is reconciled, then the work queue learns of it
    async with controller(server) as reconcile:
        with pytest.raises(ApiError):
            await reconcile(KEY)

    # And status says so
    reconciling = condition(server, ConditionType.RECONCILING)
    assert (reconciling["status"], reconciling["reason"]) == ("True", Reason.RECONCILE_FAILED)
    assert "trying again" in reconciling["message"]


async def test_a_conflict_is_no_failure_to_report(server: ApiServer) -> None:
    server.fails = 409

    async with controller(server) as reconcile:
        with pytest.raises(ConflictError):
            await reconcile(KEY)

    assert "status" not in server.objects[PATH]


async def test_an_invalid_spec_is_reported_by_its_field(server: ApiServer) -> None:
    server.objects[PATH]["spec"] = {**SPEC, "scaling": {"minReplicas": "many"}}

    async with controller(server) as reconcile:
        assert await reconcile(KEY) == SETTINGS.resync_seconds

    stalled = condition(server, ConditionType.STALLED)
    assert stalled["reason"] == Reason.INVALID_SPEC
    assert "spec.scaling.minReplicas" in stalled["message"]


async def test_a_definition_that_drops_fields_of_status_is_an_error(server: ApiServer) -> None:
    server.drops = "replicas"

    async with controller(server) as reconcile:
        with pytest.raises(OutdatedDefinitionError, match="apply crds/"):
            await reconcile(KEY)


@pytest.mark.parametrize("gone", ["deleted", "of another class", "being deleted"])
async def test_an_engine_that_is_not_ours_to_reconcile_is_left_alone(server: ApiServer, gone: str) -> None:
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
