"""Passwords of another Secret than the one that the running pods name."""

import base64

import pytest
from cutover_world import CREDENTIALS, World
from maintenance_walks import condition, reconciled, until
from password_walks import CRASHING, NEW, changed, database_takes_passwords_at_start, fingerprint
from rtx_operator.api.enums import ConditionType, CutoverPhase, MaintenancePhase
from rtx_operator.observation import Object

SECRETS = {"mine": "eA==", "theirs": "bmV3"}  # DB_PASSWORD


def password_of(world: World, colour: str) -> str:
    """The DB_PASSWORD with which pods of the colour start."""
    spec = world.children["Deployment", f"rtx-engine-{colour}"]["spec"]["template"]["spec"]
    [variable] = [one for one in spec["containers"][0]["env"] if one["name"] == "DB_PASSWORD"]
    return SECRETS[variable["valueFrom"]["secretKeyRef"]["name"]]


@pytest.mark.parametrize("outcome", ["good", "bad"])
def test_colour_that_executes_can_log_in_when_the_spec_names_another_secret(world: World, outcome: str) -> None:
    # Given a spec that names another Secret, which has another DB_PASSWORD, and with it a new version
    has = database_takes_passwords_at_start(world)
    if outcome == "bad":
        world.faults.add("errors:1.1.0")
    world.credentials = NEW
    world.set_spec(credentialsSecretRef={"name": "theirs"}, version="1.1.0")

    # When database and engine change
    cannot = []
    for _ in range(200):
        reconciled(world, 1)
        assert world.fence
        [executor] = world.fence.executors
        if password_of(world, executor) != has[-1]:
            status = condition(world, ConditionType.READY)["status"]
            cannot.append((world.phase, (world.stored.get("maintenance") or {}).get("phase"), f"Ready={status}"))

    # Then the colour that executes never lacks the password for longer than the database's restart takes
    assert len(cannot) <= 5, (len(cannot), dict.fromkeys(cannot), world.phase)


def test_running_pods_are_not_replaced_because_the_spec_names_another_secret(world: World) -> None:
    # Given another Secret with the same DB_PASSWORD and another JWT_SECRET; the pods that run take it from the old one
    before = fingerprint(world)
    world.credentials = {"data": {**CREDENTIALS["data"], "JWT_SECRET": "bmV3"}}
    world.set_spec(credentialsSecretRef={"name": "theirs"})

    # When the cutover begins
    assert world.run_until(CutoverPhase.MIGRATING)

    # Then nothing that runs is replaced: the new Secret is the new colour's
    assert fingerprint(world) == before


def test_another_secret_with_another_password_is_refused_until_both_have_the_same(world: World) -> None:
    # Given a spec that names another Secret, with another DB_PASSWORD
    before = world.children["StatefulSet", "rtx-postgres"]["spec"]["template"]
    world.credentials = NEW
    world.set_spec(credentialsSecretRef={"name": "theirs"})
    reconciled(world, 30)

    # Then nothing restarts, and the condition says what to do
    assert world.children["StatefulSet", "rtx-postgres"]["spec"]["template"] == before
    assert world.phase is CutoverPhase.PENDING
    message = condition(world, ConditionType.RECONCILING)["message"]
    assert "put that of mine into theirs" in message
    assert condition(world, ConditionType.READY)["status"] == "True"

    # And when the new Secret has the old password, database and engine change
    world.credentials = CREDENTIALS
    assert world.run_until(CutoverPhase.SUCCEEDED, 100)
    assert password_of(world, world.active["colour"]) == SECRETS["theirs"]


def test_password_is_not_changed_while_the_colour_that_runs_has_it_from_another_secret(world: World) -> None:
    # Given a database with the new Secret, and an upgrade to it that was rolled back
    world.faults.add("errors:1.1.0")
    world.set_spec(credentialsSecretRef={"name": "theirs"}, version="1.1.0")
    assert world.run_until(CutoverPhase.ROLLED_BACK, 200)
    before = world.children["StatefulSet", "rtx-postgres"]["spec"]["template"]

    # When the password in the new Secret is changed
    world.credentials = NEW
    reconciled(world, 30)

    # Then the database does not take it: the colour that runs would not get it
    assert world.children["StatefulSet", "rtx-postgres"]["spec"]["template"] == before
    assert "put that of mine into theirs" in condition(world, ConditionType.RECONCILING)["message"]


@pytest.mark.parametrize("key", ["DB_MIGRATOR_PASSWORD", "DB_SUPERUSER_PASSWORD"])
def test_another_secret_with_the_same_password_is_no_conflict_while_an_internal_one_changes(
    world: World, key: str
) -> None:
    # Given an internal password that is changed, and in the same moment another Secret with the same DB_PASSWORD
    change_internal(world, key)
    world.set_spec(credentialsSecretRef={"name": "theirs"}, version="1.1.0")

    # When it is reconciled
    upgraded = world.run_until(CutoverPhase.SUCCEEDED, 300)

    # Then the database gets it, and the engine is upgraded
    assert upgraded, condition(world, ConditionType.RECONCILING)["message"]
    assert world.stored["maintenance"]["phase"] == MaintenancePhase.SUCCEEDED


def test_another_secret_with_the_same_password_is_no_conflict_after_both_keys_of_fingerprints_changed(
    world: World,
) -> None:
    # Given a database whose maintenance for new internal passwords waits for a slot
    world.slot_is_free = False
    for key in ("DB_SUPERUSER_PASSWORD", "PEER_SECRET"):
        change_internal(world, key)
        reconciled(world, 5)

    # When spec names another Secret with the same DB_PASSWORD
    world.set_spec(credentialsSecretRef={"name": "theirs"})
    reconciled(world, 5)

    # Then nothing says that the passwords differ
    assert "has another DB_PASSWORD" not in condition(world, ConditionType.RECONCILING)["message"]


def change_internal(world: World, key: str) -> None:
    """Somebody changes a key of the internal Secret."""
    secret = world.children["Secret", "rtx-internal"]
    data = {**secret["data"], key: base64.b64encode(b"another").decode()}
    world._store(("Secret", "rtx-internal"), {**secret, "data": data})


def test_another_secret_with_the_password_of_the_databases_start_is_no_conflict(world: World) -> None:
    # Given a new password, which database and engine have although the database's maintenance went back
    before = fingerprint(world)
    world.credentials = NEW
    world.set_spec(database=CRASHING)
    assert until(world, MaintenancePhase.FAILED, 300)
    reconciled(world, 30)
    assert fingerprint(world) != before

    # When spec names another Secret with that password
    world.set_spec(database={}, credentialsSecretRef={"name": "theirs"})
    reconciled(world, 30)

    # Then nothing says that the passwords differ
    assert "has another DB_PASSWORD" not in condition(world, ConditionType.RECONCILING)["message"]


def test_maintenance_of_the_database_that_waits_for_a_person_holds_up_none_of_the_cache(world: World) -> None:
    # Given another Secret with another password, so that the database's maintenance waits for its user
    world.credentials = NEW
    world.set_spec(credentialsSecretRef={"name": "theirs"})
    reconciled(world, 20)
    assert waiting_maintenance(world) == "database"

    # When the cache is to get more memory
    world.set_spec(cache={"resources": {"requests": {"memory": "3Gi"}}})
    reconciled(world, 20)

    # Then it gets it, and the database's waits again
    cache = world.children["StatefulSet", "rtx-redis"]["spec"]["template"]["spec"]
    assert cache["containers"][0]["resources"]["requests"]["memory"] == "3Gi"
    assert waiting_maintenance(world) == "database"
    assert "put that of mine into theirs" in world.stored["maintenance"]["message"]


def waiting_maintenance(world: World) -> str:
    """The server whose maintenance is Pending; empty: none."""
    found: Object = world.stored["maintenance"]
    return str(found["component"]) if found["phase"] == MaintenancePhase.PENDING else ""


def test_cache_keeps_the_password_of_the_colour_that_runs(world: World) -> None:
    # Given another Secret with another REDIS_PASSWORD, and an upgrade to it that is rolled back
    world.faults.add("errors:1.1.0")
    world.credentials = changed(REDIS_PASSWORD="bmV3")
    world.set_spec(credentialsSecretRef={"name": "theirs"}, version="1.1.0")
    assert world.run_until(CutoverPhase.ROLLED_BACK, 300)

    # When what is left is done
    reconciled(world, 100)

    # Then the cache has the password of the pods that run, and the message says what to do
    assert "'mine'" in str(world.children["StatefulSet", "rtx-redis"]["spec"]["template"]["spec"])
    assert "Secret theirs has another REDIS_PASSWORD than Secret mine" in world.stored["maintenance"]["message"]


def test_pods_that_were_kept_with_an_old_password_are_replaced_before_the_fence_moves_to_them(world: World) -> None:
    # Given 1.1.0 with another Secret, and a new password since: 1.0.0, which is kept, has the old one from "mine"
    world.set_spec(rollout={**world.spec["rollout"], "keepPreviousFor": "1h"})
    world.set_spec(credentialsSecretRef={"name": "theirs"}, version="1.1.0")
    assert world.run_until(CutoverPhase.SUCCEEDED, 200)
    reconciled(world, 30)
    world.credentials = NEW
    reconciled(world, 30)
    stale = set(world.colour_pods("blue", ready=True))

    # When the user goes back, and puts the new password into "mine" as the message says
    world.credentials = CREDENTIALS
    world.set_spec(credentialsSecretRef={"name": "mine"}, version="1.0.0")
    reconciled(world, 20)
    assert "put that of theirs into mine" in condition(world, ConditionType.RECONCILING)["message"]
    world.faults.add("unready:1.0.0")  # pods take their time to start
    world.credentials = NEW
    assert world.run_until(CutoverPhase.PROVISIONING, 60)
    reconciled(world, 30)

    # Then the ready pods with the old password are not taken for new ones
    assert world.phase is CutoverPhase.PROVISIONING
    assert "old passwords" in world.stored["cutover"]["message"]

    # And the fence moves once none is left that the database would refuse
    world.faults.discard("unready:1.0.0")
    assert world.run_until(CutoverPhase.SWITCHING, 60)
    assert len(world.colour_pods("blue", ready=True)) == 2
    assert not stale & set(world.colour_pods("blue"))
