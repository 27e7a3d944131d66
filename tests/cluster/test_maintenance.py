"""Database and cache on a real API server, with its controllers and scheduler: what replaces their pods."""

import json
from collections.abc import Callable

import pytest
from cluster_support import Engine, Operator, eventually
from rtx_operator.api.enums import ConditionStatus, ConditionType, MaintenancePhase, Reason

DATABASE, CACHE = "rtx-postgres-0", "rtx-redis-0"
MORE_MEMORY = {"resources": {"requests": {"memory": "3Gi"}, "limits": {"memory": "5Gi"}}}


@pytest.fixture
def ready(engine: Engine) -> Engine:
    """A ready engine of version 1.0.0."""
    engine.apply()
    engine.wait_ready()
    eventually(lambda: engine.status().get("cache"), "database and cache are recorded in status")
    return engine


def uid(engine: Engine, pod: str) -> str:
    found = engine.child("pod", pod)
    return str(found["metadata"]["uid"]) if found else ""


def patch(engine: Engine, **spec: object) -> None:
    engine.kubectl("patch", "te", "rtx", "--type=merge", "-p", json.dumps({"spec": spec}))


def wait_for(engine: Engine, *phases: MaintenancePhase) -> None:
    eventually(
        lambda: (engine.status().get("maintenance") or {}).get("phase") in phases,
        f"a maintenance is {' or '.join(phases)}",
    )


def test_edited_resources_replace_the_pod_by_one_with_them(ready: Engine) -> None:
    # Given the pods of database and cache.
    database, cache = uid(ready, DATABASE), uid(ready, CACHE)

    # When the database is to have more memory.
    patch(ready, database=MORE_MEMORY)
    wait_for(ready, MaintenancePhase.SUCCEEDED)

    # Then its pod is another one, with that memory, and the cache's is the same.
    pod = ready.child("pod", DATABASE) or {}
    assert pod["spec"]["containers"][0]["resources"]["requests"]["memory"] == "3Gi"
    assert uid(ready, DATABASE) != database
    assert uid(ready, CACHE) == cache
    ready.wait_ready()

    # And once it is over nothing else restarts it, the Job that tried it is gone, and the record is the new one.
    stateful_set = ready.child("statefulset", "rtx-postgres") or {}
    revision = ready.status()["database"]["revision"]
    assert stateful_set["metadata"]["labels"]["rtx-trading.com/revision"] == revision
    assert pod["metadata"]["labels"]["rtx-trading.com/revision"] == revision
    eventually(lambda: not ready.kubectl("get", "jobs", "-o", "name").count("check"), "the check Job is deleted")
    assert ready.child("controllerrevision", f"rtx-database-{revision}")


def test_node_without_the_volume_takes_no_pod_away_and_the_reverted_spec_heals(ready: Engine) -> None:
    # Given the pod of the database.
    database = uid(ready, DATABASE)

    # When spec asks for a node that is not there.
    patch(ready, database={"scheduling": {"nodeSelector": {"no-such-label": "x"}}})
    wait_for(ready, MaintenancePhase.FAILED)

    # Then Stalled has the scheduler's words, and the pod is the same.
    stalled = ready.wait_condition(ConditionType.STALLED, ConditionStatus.TRUE, Reason.UNSCHEDULABLE)
    assert "didn't match Pod's node affinity/selector" in stalled["message"]
    assert uid(ready, DATABASE) == database

    # And when it is reverted, then it is as before.
    patch(ready, database={"scheduling": {"nodeSelector": {"no-such-label": None}}})
    ready.wait_condition(ConditionType.STALLED, ConditionStatus.FALSE)
    ready.wait_condition(ConditionType.UP_TO_DATE, ConditionStatus.TRUE)
    assert uid(ready, DATABASE) == database


def test_edit_of_the_stateful_set_by_somebody_else_takes_no_pod_away(ready: Engine) -> None:
    database = uid(ready, DATABASE)

    ready.kubectl("rollout", "restart", "statefulset/rtx-postgres")
    grace = '{"spec":{"template":{"spec":{"terminationGracePeriodSeconds":99}}}}'
    ready.kubectl("patch", "statefulset", "rtx-postgres", "--type=strategic", "-p", grace)

    def restored() -> bool:
        stateful_set = ready.child("statefulset", "rtx-postgres") or {}
        return bool(stateful_set["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 120)

    eventually(restored, "the template is restored")
    ready.wait_ready()
    assert uid(ready, DATABASE) == database


def test_operator_with_other_default_images_replaces_no_pod(
    own_operator: tuple[Engine, Operator], start_operator: Callable[..., Operator]
) -> None:
    # Given a ready engine, and an operator that ends.
    engine, first = own_operator
    engine.apply()
    engine.wait_ready()
    eventually(lambda: engine.status().get("cache"), "database and cache are recorded in status")
    before = uid(engine, DATABASE), uid(engine, CACHE)
    first.kill()

    # When another release takes over, with other default images.
    start_operator(engine.namespace, engine.namespace, postgres_image="localhost/rtx-postgres:18")
    engine.wait_condition(ConditionType.UP_TO_DATE, ConditionStatus.TRUE, Reason.REFRESH_AVAILABLE)

    # Then the pods are the same, also once the StatefulSet must be made again.
    assert (uid(engine, DATABASE), uid(engine, CACHE)) == before
    engine.kubectl("delete", "statefulset", "rtx-postgres", "--cascade=orphan")
    eventually(lambda: engine.child("statefulset", "rtx-postgres"), "the StatefulSet is made again")
    made = engine.child("statefulset", "rtx-postgres") or {}
    assert made["spec"]["template"]["spec"]["containers"][0]["image"] == "localhost/rtx-postgres:17"
    assert uid(engine, DATABASE) == before[0]

    # And when its user asks for a refresh, then the database is replaced.
    engine.kubectl("annotate", "te", "rtx", "rtx-trading.com/refresh=1")
    wait_for(engine, MaintenancePhase.SUCCEEDED)
    assert uid(engine, DATABASE) != before[0]
    assert engine.status()["database"]["image"] == "localhost/rtx-postgres:18"
