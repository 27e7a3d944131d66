"""Passwords that reach the database otherwise than by its maintenance, and passwords of another Secret.

The database sets those of its Secret at each start of its pod, whatever template that is made from.
"""

import pytest
from cutover_world import CREDENTIALS, World
from maintenance_walks import DATABASE, condition, reconciled, until
from rtx_operator.api.enums import ConditionType, CutoverPhase, MaintenancePhase
from rtx_operator.desired.pods import CREDENTIALS as FINGERPRINT
from rtx_operator.observation import Object

NEW = {"data": {**CREDENTIALS["data"], "DB_PASSWORD": "bmV3"}}


def fingerprint(world: World, kind: str, name: str) -> str:
    return str(world.children[kind, name]["spec"]["template"]["metadata"]["annotations"][FINGERPRINT])


def database_takes_passwords_at_start(world: World) -> list[str]:
    """The DB_PASSWORD that the database has: roles.sql sets that of the Secret at each start of its pod."""
    has = [str((world.credentials or {})["data"]["DB_PASSWORD"])]
    judge, tick = world.judge_server_pod, world.tick
    state = {"away": False}

    def taken(pod: Object) -> None:
        if pod["metadata"]["name"] == DATABASE:
            state["away"] = True
        judge(pod)

    def ticked(seconds: float = 1) -> None:
        tick(seconds)
        pod = world.pods.get(DATABASE)
        if state["away"] and pod and "deletionTimestamp" not in pod["metadata"]:
            image = pod["spec"]["containers"][0]["image"]
            if "crash" not in image:
                state["away"] = False
                has.append(str((world.credentials or {})["data"]["DB_PASSWORD"]))

    world.judge_server_pod = taken  # type: ignore[method-assign]
    world.tick = ticked  # type: ignore[method-assign]
    return has


def test_engine_gets_the_password_that_the_database_has_after_a_maintenance_that_went_back(world: World) -> None:
    # Given a new password and, in the same edit, an image of the database that crashes
    has = database_takes_passwords_at_start(world)
    before = fingerprint(world, "Deployment", "rtx-engine-blue")
    world.credentials = NEW
    world.set_spec(database={"image": "example.com/postgres:crash"})

    # When the maintenance goes back to a pod as before, which sets the passwords of today's Secret at its start
    assert until(world, MaintenancePhase.ROLLING_BACK, 200)
    assert until(world, MaintenancePhase.FAILED, 200)
    reconciled(world, 120, 5)
    assert has[-1] == "bmV3"
    assert world.pods[DATABASE]["status"]["conditions"][0]["status"] == "True"

    # Then the engine's pods are replaced by pods that have it: those that run cannot log in any more
    assert fingerprint(world, "Deployment", "rtx-engine-blue") != before


def test_engine_gets_the_password_that_the_database_has_after_its_pod_was_evicted(world: World) -> None:
    # Given a new password whose maintenance fails: no node can pull the image that the same edit asks for
    before = fingerprint(world, "Deployment", "rtx-engine-blue")
    world.credentials = NEW
    world.set_spec(database={"image": "example.com/postgres:nope"})
    reconciled(world, 120)
    assert world.stored["maintenance"]["phase"] == MaintenancePhase.FAILED

    # When the database's pod is evicted, then it starts as before, with the passwords of today's Secret
    del world.pods[DATABASE]
    reconciled(world, 60)
    assert world.pods[DATABASE]["status"]["phase"] == "Running"

    # Then the engine's pods get what the database has now
    assert fingerprint(world, "Deployment", "rtx-engine-blue") != before


# --- another Secret ---

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
    before = fingerprint(world, "Deployment", "rtx-engine-blue")
    world.credentials = {"data": {**CREDENTIALS["data"], "JWT_SECRET": "bmV3"}}
    world.set_spec(credentialsSecretRef={"name": "theirs"})

    # When the cutover begins
    assert world.run_until(CutoverPhase.MIGRATING)

    # Then nothing that runs is replaced: the new Secret is the new colour's
    assert fingerprint(world, "Deployment", "rtx-engine-blue") == before


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
