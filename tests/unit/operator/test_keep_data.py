"""deletionPolicy Retain takes effect whatever else is wrong: there is no finalizer, nothing else keeps data.

A pause: test_pause.py.
"""

from typing import Any

import pytest
from api_server import ApiServer, serving
from cutover_world import Unreachable, World
from maintenance_walks import condition, reconciled
from rtx_operator.api.enums import ConditionType, CutoverPhase, Reason
from rtx_operator.cluster.apply import Applier
from rtx_operator.cluster.crash import CrashHook
from rtx_operator.cluster.observe import Inquiries, Observer
from rtx_operator.cluster.perform import Performer
from rtx_operator.cluster.postgres import Reader
from rtx_operator.cluster.read_cache import ReadCache
from rtx_operator.cluster.resources import ENGINE, SECRET, STATEFUL_SET
from rtx_operator.controllers.base import Key
from rtx_operator.controllers.engine import EngineController
from rtx_operator.observation import Object
from rtx_operator.operations.effects import MoveFence
from rtx_operator.settings import from_environment

STATEFUL_SETS = ("rtx-postgres", "rtx-redis")
PATH = ENGINE.path("trading", "rtx")
SPEC: Object = {"version": "1.0.0", "image": {"repository": "example.com/rtx-engine"}}
SERVES = {"colour": "blue", "version": "1.0.0", "image": "i", "configHash": "c", "revision": "r", "epoch": 1}


def when_deleted(world: World) -> set[str]:
    policies = [world.children["StatefulSet", name]["spec"] for name in STATEFUL_SETS]
    return {spec["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] for spec in policies}


@pytest.fixture
def expendable(world: World) -> World:
    """An engine whose data go with it."""
    world.set_spec(deletionPolicy="Delete")
    reconciled(world, 5)
    assert when_deleted(world) == {"Delete"}
    return world


def lose(world: World, lost: str) -> None:
    if lost == "the internal Secret":
        del world.children["Secret", "rtx-internal"]
    elif lost == "the user's Secret":
        world.credentials = None
    else:
        secret = world.children["Secret", "rtx-internal"]
        left = {key: value for key, value in secret["data"].items() if key != "DB_OPERATOR_PASSWORD"}
        world._store(("Secret", "rtx-internal"), {**secret, "data": left})


@pytest.mark.parametrize("lost", ["the internal Secret", "the user's Secret", "one key"])
def test_data_is_kept_while_passwords_are_lost(expendable: World, lost: str) -> None:
    # Given an engine that has lost passwords
    lose(expendable, lost)
    reconciled(expendable, 5)
    assert condition(expendable, ConditionType.STALLED)["status"] == "True"

    # When its user wants to keep the data, before it is deleted and applied again
    expendable.set_spec(deletionPolicy="Retain")
    reconciled(expendable, 5)

    # Then the volumes stay, and what is left of the passwords
    assert when_deleted(expendable) == {"Retain"}
    secrets = [child for (kind, _), child in expendable.children.items() if kind == "Secret"]
    assert not any(secret["metadata"].get("ownerReferences") for secret in secrets)


def test_data_is_kept_although_the_api_server_refuses_the_stateful_sets(expendable: World) -> None:
    # Given StatefulSets that the API server lets nobody apply as they are desired
    expendable.faults.add("refused:StatefulSet")
    reconciled(expendable, 5)

    # When their data are to be kept, then they are, by a patch of nothing else
    expendable.set_spec(deletionPolicy="Retain")
    reconciled(expendable, 5)
    assert when_deleted(expendable) == {"Retain"}


def test_data_is_kept_while_the_fence_cannot_be_moved(expendable: World, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given an engine whose data go with it, amid a rollback; its database answers and takes no writes (it is full), and
    # the user's Secret is gone, so that no StatefulSet is applied
    def read_only(_: MoveFence) -> None:
        raise Unreachable("cannot execute UPDATE in a read-only transaction")

    expendable.faults.add("errors:1.1.0")
    expendable.set_spec(version="1.1.0")
    assert expendable.run_until(CutoverPhase.MONITORING)
    monkeypatch.setattr(expendable, "move_fence", read_only)
    assert expendable.run_until(CutoverPhase.ROLLING_BACK)
    expendable.credentials = None
    reconciled(expendable, 5)

    # When its user wants to keep the data, before it is deleted and applied again
    expendable.set_spec(deletionPolicy="Retain")
    reconciled(expendable, 30)

    # Then the volumes stay
    assert when_deleted(expendable) == {"Retain"}


def test_generated_secret_that_the_spec_names_is_kept() -> None:
    # Given an engine with generated credentials, which spec names as the user's own later on
    world = World()
    world.set_spec(**SPEC, scaling={"minReplicas": 2, "maxReplicas": 4}, deletionPolicy="Delete", paused=False)
    world.settle()
    generated = ("Secret", "rtx-credentials")
    assert world.children[generated]["metadata"]["ownerReferences"]
    world.credentials = world.children[generated]
    world.set_spec(credentialsSecretRef={"name": "rtx-credentials"})
    assert world.run_until(CutoverPhase.SUCCEEDED, 400)

    # When the data are to be kept
    world.set_spec(deletionPolicy="Retain")
    reconciled(world, 5)

    # Then so is the Secret
    assert when_deleted(world) == {"Retain"}
    assert not world.children[generated]["metadata"].get("ownerReferences")


# --- engines that must not be touched otherwise ---


async def reconcile(server: ApiServer) -> Object:
    """Reconciles the engine once; returns its condition Stalled."""
    async with serving(server) as client:
        cache = ReadCache(client)
        performer = Performer(client, Applier(client, cache), CrashHook(None))
        observer = Observer(client, cache, Reader(), Inquiries[tuple[str, str]](lambda _: None))
        settings = from_environment({"POSTGRES_IMAGE": "postgres", "REDIS_IMAGE": "redis"})
        await EngineController(client, observer, performer, settings)(Key(ENGINE.kind, "trading", "rtx"))
    conditions = server.objects[PATH]["status"]["conditions"]
    return next(one for one in conditions if one["type"] == ConditionType.STALLED)


def server_with(spec: Object, status: Object) -> ApiServer:
    """An engine whose Secret and whose database's volume would go with it."""
    server = ApiServer()
    server.put(ENGINE, "rtx", apiVersion=ENGINE.api_version, kind=ENGINE.kind, spec={**SPEC, **spec}, status=status)
    server.objects[PATH]["metadata"]["generation"] = 1
    server.put(SECRET, "rtx-internal", kind="Secret", data={"key": "eA=="})
    owner = {"uid": server.objects[PATH]["metadata"]["uid"]}
    server.objects[SECRET.path("trading", "rtx-internal")]["metadata"]["ownerReferences"] = [owner]
    policy = {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete"}}
    server.put(STATEFUL_SET, "rtx-postgres", kind="StatefulSet", spec=policy)
    return server


def keeps(server: ApiServer) -> bool:
    secret = server.objects[SECRET.path("trading", "rtx-internal")]
    database = server.objects[STATEFUL_SET.path("trading", "rtx-postgres")]
    policy = {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain"}}
    return not secret["metadata"].get("ownerReferences") and bool(database["spec"] == policy)


UNTOUCHABLE: dict[Reason, tuple[Object, Object]] = {
    Reason.INVALID_SPEC: ({"scaling": {"minReplicas": "many"}}, {}),
    Reason.OPERATOR_TOO_OLD: ({"rollout": {"strategy": "Quantum"}}, {}),
    Reason.UNKNOWN_ACTIVE: ({}, {"active": SERVES}),
}


@pytest.mark.parametrize(("reason", "given"), UNTOUCHABLE.items())
async def test_data_is_kept_of_an_engine_that_must_not_be_touched_otherwise(reason: Reason, given: Any) -> None:
    # Given an engine that the operator leaves alone
    spec, status = given
    server = server_with({**spec, "deletionPolicy": "Retain"}, status)

    # When it is reconciled
    stalled = await reconcile(server)

    # Then its data survive it
    assert stalled["reason"] == reason
    assert keeps(server)


@pytest.mark.parametrize(("reason", "given"), UNTOUCHABLE.items())
async def test_data_is_not_kept_under_delete_either(reason: Reason, given: Any) -> None:
    spec, status = given
    server = server_with({**spec, "deletionPolicy": "Delete"}, status)

    stalled = await reconcile(server)

    assert stalled["reason"] == reason
    assert not keeps(server)


async def test_engine_that_is_left_alone_says_that_its_data_cannot_be_kept() -> None:
    spec, status = UNTOUCHABLE[Reason.INVALID_SPEC]
    server = server_with({**spec, "deletionPolicy": "Retain"}, status)
    server.refuses = True

    stalled = await reconcile(server)

    assert "deletionPolicy Retain has no effect yet" in stalled["message"]
