"""The maintenance of database and cache: what begins it, and what it waits for."""

import pytest
from cutover_world import World
from maintenance_walks import (
    CACHE,
    DATABASE,
    MORE,
    TYPO,
    WALK,
    condition,
    phases,
    reconciled,
    server_pods,
    taken_away,
    until,
)
from operator_release import edited_template
from rtx_operator.api.enums import ConditionType, CutoverPhase, MaintenancePhase, Reason
from rtx_operator.decision.events import events

POSTGRES_TEMPLATE = ("database/statefulset", "terminationGracePeriodSeconds: 120", "terminationGracePeriodSeconds: 90")

# --- what begins it --------------------------------------------------------------------------------------------------


def test_edited_resources_of_the_database_go_through_maintenance(world: World) -> None:
    # Given what runs
    away, fence = taken_away(world), world.fence

    # When the user asks for more memory
    world.set_spec(database=MORE)

    # Then the database's pod is replaced once, the cache's stays, and the fence is the same
    assert phases(world) == WALK
    assert away == [DATABASE]
    assert world.pods[DATABASE]["spec"]["containers"][0]["resources"]["requests"]["memory"] == "3Gi"
    assert world.fence == fence
    assert condition(world, ConditionType.UP_TO_DATE)["reason"] == Reason.AS_SPECIFIED


def test_toleration_of_the_engine_restarts_no_database_and_no_cache(world: World) -> None:
    away = taken_away(world)

    world.set_spec(scheduling={"tolerations": [{"key": "spot", "operator": "Exists"}]})
    assert world.run_until(CutoverPhase.SUCCEEDED)
    reconciled(world)  # a maintenance would wait for the cutover's end

    assert away == []
    assert "maintenance" not in world.stored


def test_other_pull_secrets_restart_no_database_and_no_cache_that_run(world: World) -> None:
    # Given other pull secrets, which the engine gets by an upgrade
    away = taken_away(world)
    world.set_spec(imagePullSecrets=[{"name": "new"}])
    assert world.run_until(CutoverPhase.SUCCEEDED)
    reconciled(world, 60)

    # Then database and cache run on with those that they have
    assert away == []
    assert "maintenance" not in world.stored

    # And when the database is to have more memory, then it gets them, too, in one restart
    world.set_spec(database=MORE)
    assert until(world, MaintenancePhase.SUCCEEDED)
    reconciled(world, 60)
    assert away == [DATABASE]
    assert world.pods[DATABASE]["spec"]["imagePullSecrets"] == [{"name": "new"}]


def test_other_pull_secrets_reach_a_database_that_cannot_pull_its_image(world: World) -> None:
    # Given other pull secrets
    world.set_spec(imagePullSecrets=[{"name": "new"}])
    assert world.run_until(CutoverPhase.SUCCEEDED)

    # When the database's pod moves to a node without its image, and the secret that it has is gone
    run_pods = world.run_pods

    def run() -> None:
        run_pods()
        pod = world.pods.get(DATABASE)
        if pod and pod["spec"]["imagePullSecrets"] != [{"name": "new"}]:
            state = {"waiting": {"reason": "ImagePullBackOff", "message": "unauthorized"}}
            container = {"name": "postgres", "image": "postgres", "state": state}
            world.pods[DATABASE] = {**pod, "status": {"phase": "Pending", "containerStatuses": [container]}}

    world.run_pods = run  # type: ignore[method-assign]

    # Then a maintenance brings it back with the new ones
    assert until(world, MaintenancePhase.SUCCEEDED, 200)
    reconciled(world, 30)
    assert world.pods[DATABASE]["spec"]["imagePullSecrets"] == [{"name": "new"}]
    assert condition(world, ConditionType.READY)["status"] == "True"
    assert world.stored["maintenance"]["phase"] == MaintenancePhase.SUCCEEDED


def test_pull_secrets_that_change_amid_the_restart_take_no_pod_away_that_starts(world: World) -> None:
    # Given a database that gets other pull secrets, as its pod could not pull its image; its new pod replays its log
    world.set_spec(imagePullSecrets=[{"name": "new"}])
    assert world.run_until(CutoverPhase.SUCCEEDED)
    run_pods, states = world.run_pods, {"": {"waiting": {"reason": "ImagePullBackOff"}}, "new": {"running": {}}}

    def run() -> None:
        run_pods()
        if pod := world.pods.get(DATABASE):
            secrets = pod["spec"].get("imagePullSecrets") or [{"name": ""}]
            container = {"name": "postgres", "image": "postgres", "state": states[secrets[0]["name"]]}
            world.pods[DATABASE] = {**pod, "status": {"phase": "Running", "containerStatuses": [container]}}

    world.run_pods = run  # type: ignore[method-assign]
    assert until(world, MaintenancePhase.RESTARTING, 200)
    reconciled(world, 10)
    starts = world.pods[DATABASE]["metadata"]["uid"]

    # When one more is added
    world.set_spec(imagePullSecrets=[{"name": "new"}, {"name": "more"}])
    reconciled(world, 20)

    # Then the pod stays, and what it has is recorded as it was asked for
    assert world.pods[DATABASE]["metadata"]["uid"] == starts
    world.run_pods = run_pods  # type: ignore[method-assign]
    assert until(world, MaintenancePhase.SUCCEEDED, 200)
    reconciled(world, 30)
    assert world.pods[DATABASE]["metadata"]["uid"] == starts


def test_database_that_pulls_its_image_after_all_is_not_restarted_for_other_pull_secrets(world: World) -> None:
    # Given other pull secrets, and a database whose registry is away for a moment
    world.set_spec(imagePullSecrets=[{"name": "new"}])
    assert world.run_until(CutoverPhase.SUCCEEDED)
    run_pods = world.run_pods

    def run() -> None:
        run_pods()
        state = {"waiting": {"reason": "ErrImagePull"}}
        container = {"name": "postgres", "image": "postgres", "state": state}
        world.pods[DATABASE] = {**world.pods[DATABASE], "status": {"containerStatuses": [container]}}

    world.run_pods = run  # type: ignore[method-assign]
    world.faults.add("jobs hang")
    assert until(world, MaintenancePhase.CHECKING, 200)

    # When it is back
    away = taken_away(world)
    world.run_pods = run_pods  # type: ignore[method-assign]
    world.faults.clear()
    reconciled(world, 30)

    assert away == []


def test_pull_secret_that_was_missing_lets_a_failed_maintenance_be_tried_again(world: World) -> None:
    # Given an image that no node can pull without a secret
    world.set_spec(database=TYPO)
    assert until(world, MaintenancePhase.FAILED, 200)
    first = world.stored["maintenance"]["id"]

    # When the secret is added
    world.set_spec(imagePullSecrets=[{"name": "new"}])

    # Then it is tried again
    assert until(world, MaintenancePhase.CHECKING, 200)
    assert world.stored["maintenance"]["id"] != first


def test_database_and_cache_are_changed_one_after_the_other(world: World) -> None:
    away = taken_away(world)

    world.set_spec(database=MORE, cache=MORE)

    assert phases(world, 60) == WALK + WALK
    assert away == [DATABASE, CACHE]


def test_edited_template_of_another_release_restarts_nothing(world: World) -> None:
    # Given what runs, made by one release of the operator
    away, before = taken_away(world), server_pods(world)
    template = world.children["StatefulSet", "rtx-postgres"]["spec"]["template"]

    # When another release reconciles it, even one that must create the StatefulSet again
    with edited_template(*POSTGRES_TEMPLATE):
        reconciled(world)
        del world.children["StatefulSet", "rtx-postgres"]
        reconciled(world)

        # Then it is as it was, and UpToDate says that a newer shape is there
        assert (away, server_pods(world)) == ([], before)
        assert world.children["StatefulSet", "rtx-postgres"]["spec"]["template"] == template
        up_to_date = condition(world, ConditionType.UP_TO_DATE)
        assert (up_to_date["status"], up_to_date["reason"]) == ("True", Reason.REFRESH_AVAILABLE)
        assert "the database runs as spec asks" in up_to_date["message"]


def test_refresh_annotation_restarts_what_the_present_release_makes_otherwise(world: World) -> None:
    away = taken_away(world)
    with edited_template(*POSTGRES_TEMPLATE):
        reconciled(world)

        world.refresh("1")
        reconciled(world, 90)

        assert away == [DATABASE]
        assert world.pods[DATABASE]["spec"]["terminationGracePeriodSeconds"] == 90


def test_refresh_annotation_that_is_taken_away_restarts_nothing(world: World) -> None:
    world.refresh("1")
    reconciled(world, 60)
    away = taken_away(world)

    with edited_template(*POSTGRES_TEMPLATE):
        world.refresh("")
        reconciled(world)

    assert away == []


def test_spec_that_names_what_runs_already_restarts_nothing_now_or_later(world: World) -> None:
    # Given a spec that names the image that is the default
    away = taken_away(world)
    world.set_spec(database={"image": "postgres"})
    reconciled(world)

    # When another release of the operator reconciles it
    with edited_template(*POSTGRES_TEMPLATE):
        reconciled(world)

    # Then no maintenance has begun
    assert (away, "maintenance" in world.stored) == ([], False)


def test_new_password_restarts_the_server_that_has_it(world: World) -> None:
    away = taken_away(world)

    world.credentials = {"data": {**world.credentials["data"], "REDIS_PASSWORD": "eHg="}} if world.credentials else None
    reconciled(world, 60)

    assert away == [CACHE]


def test_secret_that_is_missing_restarts_nothing(world: World) -> None:
    away, secret = taken_away(world), world.credentials

    world.credentials = None
    reconciled(world)
    world.credentials = secret
    reconciled(world)

    assert away == []
    assert "maintenance" not in world.stored


def test_maintenance_waits_for_the_passwords_that_a_new_pod_needs(world: World) -> None:
    away, secret = taken_away(world), world.credentials
    world.credentials = None
    world.set_spec(database=MORE)
    reconciled(world)
    assert world.stored["maintenance"]["phase"] == MaintenancePhase.PENDING
    assert away == []

    world.credentials = secret

    assert until(world, MaintenancePhase.SUCCEEDED)


def test_lost_record_is_written_again_from_what_runs(world: World) -> None:
    away = taken_away(world)
    lost = ("ControllerRevision", f"rtx-database-{world.stored['database']['revision']}")

    with edited_template(*POSTGRES_TEMPLATE):
        del world.children[lost]
        reconciled(world)

    assert lost in world.children
    assert away == []


def test_lost_status_of_a_server_restarts_nothing(world: World) -> None:
    away, database = taken_away(world), world.stored["database"]
    world.status = world.status.replace('"database"', '"was"')

    with edited_template(*POSTGRES_TEMPLATE):
        reconciled(world)

    assert away == []
    assert world.stored["database"] == database


# --- what it waits for -----------------------------------------------------------------------------------------------


def test_maintenance_waits_for_a_slot(world: World) -> None:
    # Given a fleet in which MAX_MAINTENANCE engines are in maintenance
    away, world.slot_is_free = taken_away(world), False

    # When spec asks for something else
    world.set_spec(database=MORE)
    reconciled(world)

    # Then it says that it waits, holds up no cutover, and goes on when a slot is free
    assert world.stored["maintenance"]["phase"] == MaintenancePhase.PENDING
    assert "MAX_MAINTENANCE" in condition(world, ConditionType.RECONCILING)["message"]
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.SUCCEEDED)
    assert away == []
    world.slot_is_free = True
    assert until(world, MaintenancePhase.SUCCEEDED)


def test_maintenance_waits_for_a_cutover_that_moves(world: World) -> None:
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.MONITORING)
    away = taken_away(world)

    world.set_spec(database=MORE)
    assert world.run_until(CutoverPhase.SUCCEEDED)

    assert away == []
    assert until(world, MaintenancePhase.SUCCEEDED)


def test_cutover_waits_for_a_maintenance_that_moves(world: World) -> None:
    world.set_spec(database=MORE)
    assert until(world, MaintenancePhase.RESTARTING)

    world.set_spec(version="1.1.0")
    world.reconcile()

    assert "cutover" not in world.stored
    assert world.run_until(CutoverPhase.SUCCEEDED)
    assert world.stored["maintenance"]["phase"] == MaintenancePhase.SUCCEEDED


def test_broken_database_is_mended_although_a_cutover_waits_for_it(world: World) -> None:
    # Given a database that is down, and a cutover that waits for it
    world.faults.add("no database")
    world.set_spec(version="1.1.0")
    reconciled(world, 3)
    assert world.phase is CutoverPhase.PENDING

    # When the user gives the database what it lacks
    world.set_spec(database=MORE)
    assert until(world, MaintenancePhase.RESTARTING)
    world.faults.clear()

    # Then first the maintenance and then the cutover succeeds
    assert until(world, MaintenancePhase.SUCCEEDED)
    assert world.run_until(CutoverPhase.SUCCEEDED)


# --- on its way ------------------------------------------------------------------------------------------------------


def test_each_phase_of_a_maintenance_is_one_event(world: World) -> None:
    emitted: list[str] = []
    world.set_spec(database=MORE)

    for _ in range(30):
        before = world.stored
        reconciled(world, 1)
        emitted += [one.reason for one in events(before, world.stored) if one.reason.startswith("Maintenance")]

    assert emitted == [f"Maintenance{phase}" for phase in WALK]


@pytest.mark.parametrize("killed_at", range(6))
@pytest.mark.parametrize("phase", WALK[:-1])
def test_killed_operator_changes_nothing_but_time(world: World, phase: MaintenancePhase, killed_at: int) -> None:
    # Given a maintenance in a phase
    away = taken_away(world)
    world.set_spec(database=MORE)
    assert until(world, phase)

    # When the operator is killed in it
    world.reconcile(killed_at=killed_at)

    # Then the next one ends it
    assert until(world, MaintenancePhase.SUCCEEDED)
    assert away == [DATABASE]


def test_later_edit_of_a_template_by_somebody_else_takes_no_pod_away(world: World) -> None:
    # Given a person who edits the StatefulSet
    away = taken_away(world)
    live = world.children["StatefulSet", "rtx-postgres"]
    edited = {
        **live["spec"]["template"],
        "metadata": {"labels": {**live["spec"]["template"]["metadata"]["labels"], "a": "b"}},
    }
    world.apply({**live, "spec": {**live["spec"], "template": edited}})

    # When its controller and the operator have acted
    reconciled(world)

    # Then the pod is the same, and the template as it was
    assert away == []
    assert world.children["StatefulSet", "rtx-postgres"]["spec"]["template"] == live["spec"]["template"]
