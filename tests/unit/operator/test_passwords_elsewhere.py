"""Passwords that reach the database otherwise than by its maintenance.

It sets those of its Secrets at each start of its process, whatever template that is made from; status notes the start.
"""

from typing import Any

import pytest
from cutover_walks import last_result
from cutover_world import CREDENTIALS, World
from maintenance_walks import DATABASE, MORE, condition, reconciled, until
from password_walks import BROKEN, CRASHING, NEW, changed, database_takes_passwords_at_start, fingerprint
from rtx_operator.api.enums import ConditionType, CutoverPhase, MaintenancePhase
from rtx_operator.observation import Object


def test_engine_gets_the_password_that_the_database_has_after_a_maintenance_that_went_back(world: World) -> None:
    # Given a new password and, in the same edit, an image of the database that crashes
    has = database_takes_passwords_at_start(world)
    before = fingerprint(world)
    world.credentials = NEW
    world.set_spec(database=CRASHING)

    # When the maintenance goes back to a pod as before, which sets the passwords of today's Secret at its start
    assert until(world, MaintenancePhase.ROLLING_BACK, 200)
    assert until(world, MaintenancePhase.FAILED, 200)
    reconciled(world, 120, 5)
    assert has[-1] == "bmV3"
    assert world.pods[DATABASE]["status"]["conditions"][0]["status"] == "True"

    # Then the engine's pods are replaced by pods that have it: those that run cannot log in any more
    assert fingerprint(world) != before


def test_engine_gets_the_password_that_the_database_has_after_its_pod_was_evicted(world: World) -> None:
    # Given a new password whose maintenance fails: no node can pull the image that the same edit asks for
    before = fingerprint(world)
    world.credentials = NEW
    world.set_spec(database=BROKEN)
    reconciled(world, 120)
    assert world.stored["maintenance"]["phase"] == MaintenancePhase.FAILED

    # When the database's pod is evicted, then it starts as before, with the passwords of today's Secret
    del world.pods[DATABASE]
    reconciled(world, 60)
    assert world.pods[DATABASE]["status"]["phase"] == "Running"

    # Then the engine's pods get what the database has now
    assert fingerprint(world) != before


def test_engine_gets_the_password_of_the_databases_start_after_the_cache_had_its_maintenance(world: World) -> None:
    # Given two passwords changed in one edit: the database's maintenance fails, and then the cache's succeeds
    before = fingerprint(world)
    world.credentials = changed(DB_PASSWORD="bmV3", REDIS_PASSWORD="bmV3")
    world.set_spec(database=BROKEN)
    assert until(world, MaintenancePhase.FAILED, 300, 5)
    assert until(world, MaintenancePhase.SUCCEEDED, 300, 5)
    assert world.stored["maintenance"]["component"] == "cache"

    # When the database's pod is evicted, and starts as before
    del world.pods[DATABASE]
    reconciled(world, 60)

    # Then the engine's pods get what the database has now
    assert fingerprint(world) != before


def test_maintenance_of_the_cache_makes_nobody_forget_that_the_database_has_its_passwords(world: World) -> None:
    # Given a new password whose maintenance failed, and a database pod that was evicted since
    world.credentials = NEW
    world.set_spec(database=BROKEN)
    reconciled(world, 120)
    del world.pods[DATABASE]
    reconciled(world, 60)
    assert world.stored["database"]["failed"]

    # When the cache gets more memory, and the engine another version
    world.set_spec(cache={"resources": {"requests": {"memory": "1Gi"}}})
    reconciled(world, 60)
    world.set_spec(version="1.1.0")
    reconciled(world, 200)

    # Then nothing holds the upgrade
    assert world.active["version"] == "1.1.0", condition(world, ConditionType.RECONCILING)


def test_engine_gets_a_password_that_was_changed_while_the_database_restarted_for_something_else(world: World) -> None:
    # Given a maintenance for more memory, and a password that is changed before the new pod is made
    before = fingerprint(world)
    world.set_spec(database=MORE)
    assert until(world, MaintenancePhase.RESTARTING, 60)
    world.credentials = NEW
    assert until(world, MaintenancePhase.SUCCEEDED, 60)

    # When other engines have the slots of the fleet for a while
    world.slot_is_free = False
    reconciled(world, 60)
    assert world.stored["maintenance"]["phase"] == MaintenancePhase.PENDING

    # Then the engine's pods have what the database has
    assert fingerprint(world) != before


def test_engine_gets_the_password_after_the_databases_container_restarted_in_its_pod(world: World) -> None:
    # Given a database whose container runs, and a new password whose maintenance waits for a slot
    report_container(world, restarts=0)
    reconciled(world, 5)
    before = fingerprint(world)
    world.slot_is_free = False
    world.credentials = NEW
    reconciled(world, 10)
    assert fingerprint(world) == before

    # When the container is restarted, be it for want of memory
    report_container(world, restarts=1)
    reconciled(world, 5)

    # Then the engine's pods get it
    assert fingerprint(world) != before


def test_container_that_does_not_run_yet_has_taken_no_password(world: World) -> None:
    # Given a new password whose maintenance waits for a slot
    before = fingerprint(world)
    world.slot_is_free = False
    world.credentials = NEW
    reconciled(world, 5)

    # When the container is about to be restarted
    report_container(world, restarts=1, state={"waiting": {"reason": "CrashLoopBackOff"}})
    reconciled(world, 5)

    # Then the engine's pods stay: nobody knows what the Secret has by then
    assert fingerprint(world) == before


@pytest.mark.parametrize("minutes", [-3, 3])
def test_clock_of_a_node_says_nothing_of_passwords(world: World, minutes: int) -> None:
    # Given a database on a node whose clock is wrong
    started = f"2026-01-01T12:{30 + minutes}:00Z"
    report_container(world, restarts=0, state={"running": {"startedAt": started}})
    world.tick((1800 - (world.now.minute * 60 + world.now.second)) or 1)
    reconciled(world, 5)
    before = fingerprint(world)

    # When the password is changed, and its maintenance waits for a slot
    world.slot_is_free = False
    world.credentials = NEW
    reconciled(world, 10)
    assert world.stored["maintenance"]["phase"] == MaintenancePhase.PENDING

    # Then the engine's pods stay until the database has restarted
    assert fingerprint(world) == before
    report_container(world, restarts=1, state={"running": {"startedAt": started}})
    reconciled(world, 5)
    assert fingerprint(world) != before


def report_container(world: World, *, restarts: int, state: Object | None = None) -> None:
    """The node reports the database's container from now on."""
    state = {"running": {}} if state is None else state
    container = {"name": "postgres", "image": "postgres", "restartCount": restarts, "state": state}
    run_pods = world.run_pods

    def reported() -> None:
        run_pods()
        if pod := world.pods.get(DATABASE):
            ready = {"type": "Ready", "status": "True" if "running" in state else "False"}
            world.pods[DATABASE] = {**pod, "status": {"conditions": [ready], "containerStatuses": [container]}}

    world.run_pods = reported  # type: ignore[method-assign]
    reported()


def test_upgrade_waits_where_a_password_was_changed_back_after_the_database_started_with_it(world: World) -> None:
    # Given a database that was restarted while the engine was paused, with a password that was changed back since
    world.set_spec(paused=True)
    world.credentials = NEW
    reconciled(world, 5)
    del world.pods[DATABASE]
    reconciled(world, 5)
    world.credentials = CREDENTIALS
    world.set_spec(paused=False, version="1.1.0")

    # When the upgrade is due
    reconciled(world, 30)

    # Then it waits, and says what to do
    assert world.phase is CutoverPhase.PENDING
    assert f"kubectl delete pod {DATABASE} -n trading" in world.stored["cutover"]["message"]

    # And once that is done, the upgrade is made
    del world.pods[DATABASE]
    assert world.run_until(CutoverPhase.SUCCEEDED, 100)


@pytest.mark.parametrize("phase", [CutoverPhase.MIGRATING, CutoverPhase.PROVISIONING, CutoverPhase.TESTING])
def test_password_that_is_changed_amid_an_upgrade_rejects_no_good_version(world: World, phase: CutoverPhase) -> None:
    # Given an upgrade that has not switched yet
    world.set_spec(version="1.1.0", rollout={**world.spec["rollout"], "readyTimeout": "60s"})
    assert world.run_until(phase)

    # When the password is changed: until the database has it, pods that start now cannot log in
    world.credentials = NEW
    template: Any = world.children["StatefulSet", "rtx-postgres"]["spec"]["template"]
    world.faults.add("unready:1.1.0")
    for _ in range(400):
        reconciled(world, 1)
        if world.children["StatefulSet", "rtx-postgres"]["spec"]["template"] != template:
            world.faults.discard("unready:1.1.0")

    # Then database and engine get it, and the version
    assert last_result(world) == ("Succeeded", "")
    assert world.active["version"] == "1.1.0"
