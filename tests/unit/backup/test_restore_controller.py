"""A TradingEngineRestore by its controller, at an API server over real HTTP: what its engine does; its confirmation."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest_asyncio
from api_server import ApiServer, serving
from rtx_operator.api.enums import Reason, RestorePhase
from rtx_operator.cluster.client import Object
from rtx_operator.cluster.resources import ENGINE, JOB, RESTORE
from rtx_operator.controllers.base import Key
from rtx_operator.controllers.restore import RestoreController
from rtx_operator.settings import from_environment

SETTINGS = from_environment({"POSTGRES_IMAGE": "postgres", "REDIS_IMAGE": "redis"})
ENGINE_SPEC = {"version": "1.0.0", "image": {"repository": "example.com/rtx-engine"}}
DATABASE = {"revision": "r1", "image": "example.com/postgres:17", "asked": {"spec": "a1"}}
NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
RESTORED = {"label": "20261127-110000F", "lsn": "0/5000110", "lastCommit": "2026-11-27T11:59:59Z"}


class Restores:
    """An engine, one TradingEngineRestore of it, and the controller."""

    def __init__(self, server: ApiServer, controller: RestoreController) -> None:
        self.server = server
        self.controller = controller
        self.woken: list[Key] = []

    @property
    def asked(self) -> Object:
        return self.server.objects[RESTORE.path("trading", "monday")]

    @property
    def engine(self) -> Object:
        return self.server.objects[ENGINE.path("trading", "rtx")]

    @property
    def jobs(self) -> list[Object]:
        return [one for path, one in self.server.objects.items() if path.startswith(JOB.path("trading") + "/")]

    def goes_on(self, phase: RestorePhase, **fields: Any) -> None:
        """The engine's operation is in this phase."""
        record = {
            "id": "a1b2c3d4e5",
            "name": "monday",
            "uid": "u1",
            "phase": phase,
            "startedAt": "2026-11-27T12:00:00Z",
            "since": "2026-11-27T12:01:00Z",
            "source": {"newest": True},
            "folder": "/repository/f1",
            "servers": 3,
            **fields,
        }
        self.engine["status"] = {"database": DATABASE, "restore": record}

    async def reconcile(self) -> Object:
        await self.controller(Key(RESTORE.kind, "trading", "monday"))
        status: Object = self.asked["status"]
        return status


@pytest_asyncio.fixture
async def restores() -> AsyncIterator[Restores]:
    server = ApiServer()
    named = {"apiVersion": ENGINE.api_version, "kind": ENGINE.kind}
    server.put(ENGINE, "rtx", **named, spec=ENGINE_SPEC, status={"database": DATABASE})
    spec = {"engine": "rtx", "source": {"newest": True}, "confirm": False}
    server.put(RESTORE, "monday", labels={}, apiVersion=RESTORE.api_version, kind=RESTORE.kind, spec=spec)
    server.objects[RESTORE.path("trading", "monday")]["metadata"]["uid"] = "u1"
    async with serving(server) as client:
        woken: list[Key] = []
        made = Restores(server, RestoreController(client, SETTINGS, wake=woken.append, now=lambda: NOON))
        made.woken = woken
        yield made


async def test_new_restore_belongs_to_its_engine_and_wakes_it(restores: Restores) -> None:
    # when
    status = await restores.reconcile()
    # then
    assert status["phase"] == RestorePhase.PENDING
    assert "until other operations of TradingEngine rtx are over" in status["message"]
    meta = restores.asked["metadata"]
    assert meta["labels"]["rtx-trading.com/engine"] == "rtx"
    assert [owner["name"] for owner in meta["ownerReferences"]] == ["rtx"]
    assert restores.woken == [Key(ENGINE.kind, "trading", "rtx")]


async def test_restore_of_no_engine_waits_for_it(restores: Restores) -> None:
    # given
    del restores.server.objects[ENGINE.path("trading", "rtx")]
    # when
    status = await restores.reconcile()
    # then
    assert (status["phase"], status["reason"]) == (RestorePhase.PENDING, Reason.ENGINE_MISSING)
    assert "create it, or delete this restore" in status["message"]


async def test_status_is_that_of_the_engines_operation_until_it_is_over(restores: Restores) -> None:
    # given
    restores.goes_on(RestorePhase.RESTORING, message="waiting for restore Job")
    assert (await restores.reconcile())["phase"] == RestorePhase.RESTORING
    # when
    restores.goes_on(RestorePhase.SUCCEEDED, restored=RESTORED)
    status = await restores.reconcile()
    # then
    assert (status["phase"], status["keepsEarlierData"]) == (RestorePhase.SUCCEEDED, True)
    assert status["restored"] == RESTORED
    assert status["endedAt"] == "2026-11-27T12:01:00Z"
    # and a terminal phase never changes
    restores.goes_on(RestorePhase.VALIDATING, uid="u2", name="tuesday")
    assert await restores.reconcile() == status


async def test_restore_that_its_engine_has_forgotten_has_failed(restores: Restores) -> None:
    # given
    restores.goes_on(RestorePhase.RESTORING)
    await restores.reconcile()
    # when
    restores.engine["status"] = {"database": DATABASE}
    status = await restores.reconcile()
    # then
    assert (status["phase"], status["reason"]) == (RestorePhase.FAILED, Reason.RESTORE_FAILED)
    assert "was lost while the restore was Restoring" in status["message"]


async def test_data_of_before_are_deleted_once_the_restore_is_confirmed(restores: Restores) -> None:
    # given
    restores.goes_on(RestorePhase.SUCCEEDED, restored=RESTORED)
    await restores.reconcile()
    assert restores.jobs == []
    # when
    restores.asked["spec"]["confirm"] = True
    status = await restores.reconcile()
    # then: a Job for each volume, beside the server that has it
    assert sorted(job["metadata"]["name"] for job in restores.jobs) == [
        f"rtx-forget-a1b2c3d4e5-{server}" for server in range(3)
    ]
    for server, job in enumerate(restores.jobs):
        pod = job["spec"]["template"]["spec"]
        assert pod["containers"][0]["command"] == ["rtx-backup", "forget"]
        (term,) = pod["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        assert term["labelSelector"] == {
            "matchLabels": {"statefulset.kubernetes.io/pod-name": f"rtx-postgres-{server}"}
        }
    assert status["keepsEarlierData"] is True
    # and
    for job in restores.jobs:
        job["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
    status = await restores.reconcile()
    assert (status["phase"], status["keepsEarlierData"]) == (RestorePhase.SUCCEEDED, False)
