"""Passwords that a volume holds are never generated anew; of a Secret only the operator's keys are read."""

import base64
from typing import Any

import pytest
from api_server import ApiServer, serving
from cutover_walks import reconciled
from cutover_world import CREDENTIALS, World
from rtx_operator.api.enums import ConditionType, CutoverPhase, Reason
from rtx_operator.cluster.apply import Applied, Applier, ForeignObjectError
from rtx_operator.cluster.observe.objects import read_objects
from rtx_operator.cluster.read_cache import ReadCache
from rtx_operator.cluster.resources import SECRET, VOLUME_CLAIM
from rtx_operator.observation import Object

INTERNAL = ("Secret", "rtx-internal")
BUDGET = ("PodDisruptionBudget", "rtx-engine-blue")
NO_TEXT = base64.b64encode(b"\xff\xfe").decode()


def condition(world: World, kind: ConditionType) -> Object:
    return next(one for one in world.stored["conditions"] if one["type"] == kind)


def templates(world: World) -> list[Object]:
    return [child["spec"]["template"] for child in world.children.values() if "template" in child.get("spec", {})]


def set_key(world: World, key: str, value: str) -> None:
    secret = world.children[INTERNAL]
    changed = {**secret, "data": {**secret["data"], key: value}}
    world._store(INTERNAL, changed)


def test_deleted_secret_is_not_generated_anew_while_its_volume_exists(world: World) -> None:
    # Given an engine that serves
    before = templates(world)

    # When its Secret is deleted, and its disruption budget too
    del world.children[INTERNAL]
    del world.children[BUDGET]
    reconciled(world, 5)

    # Then no passwords are generated, no pod is restarted, and what needs no password is repaired
    assert INTERNAL not in world.children
    assert templates(world) == before
    assert BUDGET in world.children
    stalled = condition(world, ConditionType.STALLED)
    assert (stalled["status"], stalled["reason"]) == ("True", Reason.CREDENTIALS_LOST)
    assert "kubectl label secret rtx-internal -n trading rtx-trading.com/engine=rtx" in stalled["message"]


def test_restored_secret_ends_the_stall(world: World) -> None:
    # Given an engine whose Secret was deleted
    secret = world.children.pop(INTERNAL)
    before = templates(world)
    reconciled(world, 5)

    # When it is restored
    world.children[INTERNAL] = secret
    reconciled(world, 5)

    # Then nothing is stalled, and no pod was restarted
    assert condition(world, ConditionType.STALLED)["status"] == "False"
    assert templates(world) == before


def test_empty_secret_with_the_label_asks_for_new_passwords(world: World) -> None:
    # Given an engine whose Secret was deleted
    secret = world.children.pop(INTERNAL)
    reconciled(world, 5)

    # When a person creates an empty one, as the message says
    world.children[INTERNAL] = {name: value for name, value in secret.items() if name != "data"}
    reconciled(world, 5)

    # Then it gets new passwords
    assert world.children[INTERNAL]["data"].keys() == secret["data"].keys()


@pytest.mark.parametrize("key", ["DB_SUPERUSER_PASSWORD", "DB_OPERATOR_PASSWORD", "DB_MIGRATOR_PASSWORD"])
def test_lost_key_is_not_generated_anew_while_a_volume_has_its_password(world: World, key: str) -> None:
    # Given an engine that serves, and a Secret that loses one of its keys
    secret, before = world.children[INTERNAL], templates(world)
    world._store(INTERNAL, {**secret, "data": {name: value for name, value in secret["data"].items() if name != key}})

    # When it is reconciled
    reconciled(world, 5)

    # Then the key is named, with the command that puts it back, and no pod is restarted
    assert key not in world.children[INTERNAL]["data"]
    assert templates(world) == before
    stalled = condition(world, ConditionType.STALLED)
    assert (stalled["status"], stalled["reason"]) == ("True", Reason.CREDENTIALS_LOST)
    assert f"{key} of Secret rtx-internal" in stalled["message"]
    assert "kubectl patch secret rtx-internal -n trading -p" in stalled["message"]

    # And once it is back, nothing is stalled
    set_key(world, key, secret["data"][key])
    reconciled(world, 5)
    assert condition(world, ConditionType.STALLED)["status"] == "False"
    assert templates(world) == before


def test_lost_key_that_no_volume_has_is_generated_anew(world: World) -> None:
    secret = world.children[INTERNAL]
    world._store(INTERNAL, {**secret, "data": {key: v for key, v in secret["data"].items() if key != "PEER_SECRET"}})

    reconciled(world, 5)

    assert world.children[INTERNAL]["data"]["PEER_SECRET"]


def engine_pods(world: World) -> Object:
    found: Object = world.children["Deployment", "rtx-engine-blue"]["spec"]["template"]
    return found


def database_is(world: World) -> Object:
    found: Object = world.children["StatefulSet", "rtx-postgres"]["spec"]["template"]
    return found


def change_database_password(world: World) -> None:
    world.credentials = {"data": {**CREDENTIALS["data"], "DB_PASSWORD": "bmV3"}}


def test_engine_pods_get_a_new_password_after_the_database(world: World) -> None:
    # Given a password that is changed while the database's maintenance waits
    engine, database = engine_pods(world), database_is(world)
    world.slot_is_free = False
    change_database_password(world)
    reconciled(world, 10)

    # Then the engine's pods stay, since the database would refuse others
    assert (engine_pods(world), database_is(world)) == (engine, database)

    # And once the database has restarted with it, they follow
    world.slot_is_free = True
    while database_is(world) == database:
        assert engine_pods(world) == engine
        reconciled(world, 1)
    reconciled(world, 10)
    assert engine_pods(world) != engine


def test_engine_pods_get_another_secret_at_once(world: World) -> None:
    engine, database = engine_pods(world), database_is(world)
    world.credentials = {"data": {**CREDENTIALS["data"], "JWT_SECRET": "bmV3"}}

    reconciled(world, 5)

    assert engine_pods(world) != engine
    assert database_is(world) == database


def test_cutover_waits_until_the_database_has_a_new_password(world: World) -> None:
    # Given a new version and a new password
    world.slot_is_free = False
    change_database_password(world)
    world.set_spec(version="1.1.0")
    reconciled(world, 10)

    # Then no pod of the new version is made before the database takes its password
    assert world.phase is CutoverPhase.PENDING
    assert "gets its new passwords first" in world.stored["cutover"]["message"]
    world.slot_is_free = True
    assert world.run_until(CutoverPhase.SUCCEEDED, 80)


def test_cutover_that_waits_for_passwords_says_why_the_database_does_not_get_them(world: World) -> None:
    world.set_spec(database={"image": "example.com/postgres:nope"})
    change_database_password(world)
    reconciled(world, 60)
    world.set_spec(version="1.1.0")

    reconciled(world, 5)

    assert "by its maintenance, which failed" in world.stored["cutover"]["message"]


def test_binary_key_of_others_changes_nothing(world: World) -> None:
    # Given a keystore beside the passwords
    set_key(world, "keystore.p12", NO_TEXT)
    before = templates(world)

    # When a child is deleted
    del world.children[BUDGET]
    reconciled(world, 5)

    # Then it is made again, and no pod is restarted
    assert BUDGET in world.children
    assert templates(world) == before
    assert condition(world, ConditionType.STALLED)["status"] == "False"


def test_binary_key_in_the_secret_of_the_user_changes_nothing(world: World) -> None:
    # Given a keystore beside the credentials that the spec names
    before = templates(world)
    assert world.credentials
    world.credentials = {"data": {**world.credentials["data"], "keystore.p12": NO_TEXT}}

    # When a child is deleted
    del world.children[BUDGET]
    reconciled(world, 5)

    # Then it is made again, and no pod is restarted
    assert BUDGET in world.children
    assert templates(world) == before
    assert condition(world, ConditionType.STALLED)["status"] == "False"


def test_needed_key_that_is_no_text_is_named(world: World) -> None:
    # Given a password that is no text
    set_key(world, "DB_OPERATOR_PASSWORD", NO_TEXT)
    before = templates(world)

    # When the engine is reconciled
    reconciled(world, 5)

    # Then the condition names the key, its value is left, and no pod is restarted
    stalled = condition(world, ConditionType.STALLED)
    assert stalled["reason"] == Reason.CREDENTIALS_MISSING
    assert "DB_OPERATOR_PASSWORD of Secret rtx-internal" in stalled["message"]
    assert world.children[INTERNAL]["data"]["DB_OPERATOR_PASSWORD"] == NO_TEXT
    assert templates(world) == before


# --- read by name ---


@pytest.mark.parametrize(
    ("credentials", "found"), [("", {"rtx-internal", "rtx-credentials"}), ("mine", {"rtx-internal"})]
)
async def test_secrets_and_volume_without_their_label_are_found_by_name(credentials: str, found: set[str]) -> None:
    # Given Secrets and a volume claim from which somebody has removed the label
    server = ApiServer()
    for name in ("rtx-internal", "rtx-credentials", "theirs"):
        server.put(SECRET, name, labels={})
    server.put(VOLUME_CLAIM, "data-rtx-postgres-0", labels={})

    # When the engine's objects are read
    async with serving(server) as client:
        objects = await read_objects(client, ReadCache(client), "trading", "rtx", credentials)

    # Then the engine's own are found
    assert {name for kind, name in objects.children if kind == "Secret"} == found
    assert ("PersistentVolumeClaim", "data-rtx-postgres-0") in objects.children


@pytest.mark.parametrize("is_made_by_operator", [True, False])
async def test_secret_found_by_name_is_taken_over_only_if_the_operator_made_it(is_made_by_operator: bool) -> None:
    # Given a Secret without the label
    server = ApiServer()
    server.put(SECRET, "rtx-internal", labels={})
    live: Any = server.objects[SECRET.path("trading", "rtx-internal")]
    if not is_made_by_operator:
        live["metadata"]["managedFields"] = []
    meta = {"name": "rtx-internal", "namespace": "trading", "labels": {"rtx-trading.com/engine": "rtx"}}
    desired = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": {}}

    # When it is applied
    async with serving(server) as client:
        applier = Applier(client, ReadCache(client))
        applying = applier.apply(("trading", "rtx"), SECRET, desired, live, "uid")
        if is_made_by_operator:
            outcome, _ = await applying
        else:
            with pytest.raises(ForeignObjectError, match="was not made for this TradingEngine"):
                await applying

    # Then only the operator's own gets its label back
    if is_made_by_operator:
        assert outcome is not Applied.UNCHANGED
    labels = server.objects[SECRET.path("trading", "rtx-internal")]["metadata"]["labels"]
    assert bool(labels) is is_made_by_operator
