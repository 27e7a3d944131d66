"""The operator makes a TradingEngine's children, restores the fields it owns, and leaves other fields alone."""

import json
from collections.abc import Callable

import pytest
from cluster_support import Cluster, Engine, Operator, eventually, make_engine
from rtx_operator.api.enums import Colour, ConditionStatus, ConditionType, CutoverPhase, Reason

CHILD_KINDS = (
    "deployment,statefulset,service,configmap,secret,serviceaccount,poddisruptionbudget,horizontalpodautoscaler,"
    "networkpolicy"
)
COPIED = ("image", "args", "envFrom", "resources", "volumeMounts")  # fields to which Kubernetes adds no default


@pytest.fixture
def ready(engine: Engine) -> Engine:
    """A ready engine of version 1.0.0."""
    engine.apply()
    engine.wait_ready()
    return engine


def children(engine: Engine) -> dict[tuple[str, str], str]:
    """The uid of each child that the operator made, by kind and name."""
    found = engine.cluster.list(CHILD_KINDS, "-n", engine.namespace, "-l", "rtx-trading.com/engine=rtx")
    return {(child["kind"], child["metadata"]["name"]): child["metadata"]["uid"] for child in found}


def test_status_fence_and_columns_of_a_ready_engine_agree(ready: Engine, sql: Callable[[str], str]) -> None:
    # Given a ready engine.
    # When its status is read.
    status = ready.status()

    # Then it has the active colour, its replicas and its conditions.
    active = status["active"]
    assert (active["colour"], active["version"], active["epoch"]) == (Colour.BLUE, "1.0.0", 1)
    assert status["replicas"] == {"desired": 2, "ready": 2}
    assert {condition["type"]: condition["status"] for condition in status["conditions"]} == {
        ConditionType.READY: ConditionStatus.TRUE,
        ConditionType.RECONCILING: ConditionStatus.FALSE,
        ConditionType.STALLED: ConditionStatus.FALSE,
        ConditionType.UP_TO_DATE: ConditionStatus.TRUE,
        ConditionType.CACHE_AVAILABLE: ConditionStatus.TRUE,
        ConditionType.BACKUP_FRESH: ConditionStatus.FALSE,
    }

    # Then the fence names that colour and this engine.
    uid = (ready.child("te", "rtx") or {})["metadata"]["uid"]
    fence = sql("SELECT epoch, executors, owner FROM rtx_operator.execution_fence")
    assert fence == f"1|{{blue}}|{ready.namespace}/rtx/{uid}"

    # Then `kubectl get te` shows the same.
    columns = ready.kubectl("get", "te").splitlines()[1].split()
    assert {"rtx", "1.0.0", "blue", "2/2", Reason.SERVING} <= set(columns)


def test_every_deleted_child_is_made_again(ready: Engine) -> None:
    # Given the children of a ready engine, but for its Secrets: lost passwords are not made anew.
    before = {key: uid for key, uid in children(ready).items() if key[0] != "Secret"}
    assert len(before) >= 15, f"the engine lacks children: {sorted(before)}"

    # When all of them are deleted.
    for kind, name in before:
        ready.kubectl("delete", kind, name, "--wait=false")

    # Then the operator makes each of them again.
    def all_made_again() -> bool:
        now = children(ready)
        return before.keys() <= now.keys() and all(now[key] != before[key] for key in before)

    eventually(all_made_again, "every child exists again, with another uid")
    ready.wait_ready()


GRACE_PERIOD_PATCH = '{"spec":{"template":{"spec":{"terminationGracePeriodSeconds":99}}}}'
EDITS = [
    ("service", "rtx-engine", {"spec": {"selector": {"rtx-trading.com/colour": Colour.GREEN}}}),
    ("service", "rtx-postgres", {"spec": {"ports": [{"port": 5432, "targetPort": 1}]}}),
    ("deployment", "rtx-engine-blue", {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 99}}}}),
    ("statefulset", "rtx-postgres", {"spec": {"template": {"spec": {"automountServiceAccountToken": True}}}}),
    ("networkpolicy", "rtx-postgres", {"spec": {"ingress": None}}),
    ("horizontalpodautoscaler", "rtx-engine", {"spec": {"maxReplicas": 50}}),
    ("poddisruptionbudget", "rtx-engine-blue", {"spec": {"maxUnavailable": 2}}),
    ("serviceaccount", "rtx-engine", {"automountServiceAccountToken": True}),
    ("configmap", "rtx-postgres", {"data": None}),
]


def test_every_edited_field_of_the_operator_is_restored(ready: Engine) -> None:
    def owned_fields(kind: str, name: str) -> dict[str, object]:
        child = ready.child(kind, name) or {}
        if kind == "statefulset":
            child["spec"].pop("updateStrategy")  # changes once after Ready: the pod of an installed server is pinned
        return {key: child.get(key) for key in ("spec", "data", "automountServiceAccountToken")} | {
            "labels": child["metadata"].get("labels"),
            "owners": child["metadata"].get("ownerReferences"),
        }

    # Given the fields that the operator owns in each child.
    before = {(kind, name): owned_fields(kind, name) for kind, name, _ in EDITS}

    # When each child is edited, one loses its labels, and one loses its owner.
    for kind, name, patch in EDITS:
        ready.kubectl("patch", kind, name, "--type=merge", "-p", json.dumps(patch))
    ready.kubectl("label", "service", "rtx-redis", "rtx-trading.com/engine-", "--overwrite")
    ready.kubectl(
        "patch", "service", "rtx-redis-headless", "--type=merge", "-p", '{"metadata":{"ownerReferences":null}}'
    )

    # Then the operator restores all of it, and emits an event.
    for (kind, name), fields in before.items():
        eventually(lambda k=kind, n=name, f=fields: owned_fields(k, n) == f, f"{kind} {name} is restored")

    def has_its_label() -> bool:
        labels = (ready.child("service", "rtx-redis") or {})["metadata"]["labels"]
        return bool(labels.get("rtx-trading.com/engine") == "rtx")

    eventually(has_its_label, "the label of service rtx-redis is restored")
    eventually(
        lambda: (ready.child("service", "rtx-redis-headless") or {})["metadata"].get("ownerReferences"),
        "the owner of service rtx-redis-headless is restored",
    )

    def reasons() -> set[str]:
        return {event["reason"] for event in ready.cluster.list("events", "-n", ready.namespace)}

    eventually(lambda: "Repaired" in reasons(), "an Event tells of the repairs")


def test_field_of_another_manager_is_left_alone(ready: Engine) -> None:
    # Given an annotation that another field manager has set on a child.
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "rtx-engine", "namespace": ready.namespace, "annotations": {"example.com/lb": "theirs"}},
    }
    ready.cluster.kubectl("apply", "--server-side", "--field-manager=theirs", "-f", "-", stdin=json.dumps(service))

    # When a field of the operator is edited, so that it writes this child.
    ready.kubectl("patch", "service", "rtx-engine", "--type=merge", "-p", '{"spec":{"sessionAffinity":"None"}}')

    def restored() -> bool:
        return (ready.child("service", "rtx-engine") or {})["spec"]["sessionAffinity"] == "ClientIP"

    eventually(restored, "the operator's own field is restored")

    # Then the annotation is unchanged.
    assert (ready.child("service", "rtx-engine") or {})["metadata"]["annotations"]["example.com/lb"] == "theirs"


def test_autoscaler_sets_replicas_within_the_bounds_and_the_operator_restores_them(ready: Engine) -> None:
    def replicas() -> int:
        return int((ready.child("deployment", "rtx-engine-blue") or {})["spec"]["replicas"])

    def grace_period() -> int:
        pod = (ready.child("deployment", "rtx-engine-blue") or {})["spec"]["template"]["spec"]
        return int(pod["terminationGracePeriodSeconds"])

    # Given a Deployment scaled within the bounds, and an operator that has observed it.
    ready.kubectl("scale", "deployment", "rtx-engine-blue", "--replicas=4")
    eventually(lambda: ready.status().get("replicas") == {"desired": 4, "ready": 4}, "status has the new replicas")

    # When the operator writes the Deployment to restore one of its fields.
    ready.kubectl("patch", "deployment", "rtx-engine-blue", "--type=merge", "-p", GRACE_PERIOD_PATCH)
    eventually(lambda: grace_period() != 99, "the operator's own field is restored")

    # Then the replicas are unchanged.
    assert replicas() == 4

    # When the Deployment is scaled above maxReplicas.
    ready.kubectl("scale", "deployment", "rtx-engine-blue", "--replicas=9")

    # Then the operator sets it to maxReplicas.
    eventually(lambda: replicas() == 5, "the Deployment has maxReplicas")

    # When the Deployment is scaled below minReplicas.
    ready.kubectl("scale", "deployment", "rtx-engine-blue", "--replicas=0")

    # Then the operator sets it to minReplicas.
    eventually(lambda: replicas() == 2, "the Deployment has minReplicas")


def test_object_of_another_owner_is_not_taken_over(engine: Engine) -> None:
    # Given a Service with the name of a child, which the operator did not make.
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "rtx-redis", "namespace": engine.namespace},
        "spec": {"ports": [{"port": 1}]},
    }
    engine.cluster.apply(service)

    # When the engine is applied.
    engine.apply()

    # Then it is stalled, its message names the Service, and the Service is unchanged.
    condition = engine.wait_condition(ConditionType.STALLED, ConditionStatus.TRUE, Reason.NAME_TAKEN)
    assert "Service rtx-redis exists and was not made for this TradingEngine" in condition["message"]
    assert (engine.child("service", "rtx-redis") or {})["spec"]["ports"][0]["port"] == 1

    # When the Service is deleted.
    engine.kubectl("delete", "service", "rtx-redis")

    # Then the engine becomes ready.
    engine.wait_ready()


def test_version_whose_pods_do_not_answer_is_rejected_and_changes_nothing(ready: Engine) -> None:
    def image() -> str:
        deployment = ready.child("deployment", "rtx-engine-blue") or {}
        return str(deployment["spec"]["template"]["spec"]["containers"][0]["image"])

    # Given a ready engine of version 1.0.0 on fake nodes, whose pods get ready and answer no smoke test.
    before = image()

    # When the version is bumped and minReplicas grows.
    ready.with_spec(version="1.1.0", scaling={"minReplicas": 3, "maxReplicas": 5}).apply()

    # Then the version is rejected before the switch, and version 1.0.0 serves.
    condition = ready.wait_condition(ConditionType.UP_TO_DATE, ConditionStatus.FALSE, Reason.REJECTED)
    assert "1.1.0" in condition["message"]
    entry = ready.status()["history"][0]
    assert (entry["fromVersion"], entry["toVersion"], entry["result"]) == ("1.0.0", "1.1.0", CutoverPhase.ROLLED_BACK)
    assert "fencedAt" not in entry
    selector = (ready.child("service", "rtx-engine") or {})["spec"]["selector"]
    assert selector["rtx-trading.com/colour"] == Colour.BLUE
    assert (ready.child("deployment", "rtx-engine-green") or {})["spec"]["replicas"] == 0

    # Then minReplicas applies, because it makes no other revision.
    eventually(lambda: ready.status()["replicas"] == {"desired": 3, "ready": 3}, "status has the new minReplicas")

    # When the active colour's Deployment is deleted.
    ready.kubectl("delete", "deployment", "rtx-engine-blue")

    # Then the operator makes it again with the image of version 1.0.0.
    eventually(lambda: ready.child("deployment", "rtx-engine-blue"), "the Deployment is made again")
    assert image() == before


@pytest.mark.parametrize("namespace", [63], indirect=True)  # the longest
def test_engine_with_the_longest_names_comes_up_and_goes_through_an_upgrade(
    cluster: Cluster, namespace: str, operator: Operator, sql: Callable[[str], str]
) -> None:
    # Given an engine with the longest name that the API accepts.
    engine = make_engine(cluster, namespace, operator.operator_class, "n" * 40)
    engine.apply()
    engine.wait_ready()
    assert sql("SELECT split_part(owner, '/', 2) FROM rtx_operator.execution_fence") == engine.name

    # When its version is bumped to one whose pods answer no smoke test.
    engine.with_spec(version="1.0.0-" + "rc.1".rjust(40, "a")).apply()

    # Then that is migrated, provisioned, tested, and rolled back: no name or label was refused.
    engine.wait_condition(ConditionType.UP_TO_DATE, ConditionStatus.FALSE, Reason.REJECTED)
    eventually(lambda: engine.status()["cutover"]["phase"] == CutoverPhase.ROLLED_BACK, "the cutover is rolled back")
    assert CutoverPhase.TESTING in engine.status()["history"][0]["seconds"], engine.status()["history"]


def test_paused_engine_is_observed_and_not_changed(ready: Engine) -> None:
    # Given a paused engine.
    ready.with_spec(paused=True).apply()
    ready.wait_condition(ConditionType.RECONCILING, ConditionStatus.FALSE, Reason.PAUSED)

    # When a child is deleted and another one is scaled.
    ready.kubectl("delete", "networkpolicy", "rtx-redis")
    ready.kubectl("scale", "deployment", "rtx-engine-blue", "--replicas=3")
    eventually(lambda: ready.status()["replicas"] == {"desired": 3, "ready": 3}, "status has the new replicas")

    # Then status reports the replicas, and the deleted child is not made again.
    assert ready.child("networkpolicy", "rtx-redis") is None

    # When the engine is resumed.
    ready.apply()

    # Then the child is made again.
    eventually(lambda: ready.child("networkpolicy", "rtx-redis"), "the deleted NetworkPolicy is made again")


def test_record_of_a_revision_is_stored_as_it_was_made_and_repaired_around(ready: Engine) -> None:
    # Given the record of the revision that runs.
    name = f"rtx-engine-blue-{ready.status()['active']['revision']}"
    record = ready.child("controllerrevision", name)
    assert record
    deployment = ready.child("deployment", "rtx-engine-blue")
    assert deployment
    (live,), (made,) = (
        spec["template"]["spec"]["containers"] for spec in (deployment["spec"], record["data"]["deployment"])
    )
    # Kubernetes adds defaults to what it runs, not to what is recorded.
    assert [live[field] for field in COPIED] == [made[field] for field in COPIED]
    assert [variable["name"] for variable in live["env"]] == [variable["name"] for variable in made["env"]]
    assert "terminationMessagePath" in live
    assert "terminationMessagePath" not in made
    assert record["data"]["deployment"]["template"]["spec"]["imagePullSecrets"] == []

    # When a label of it is removed.
    ready.kubectl("label", "controllerrevision", name, "app.kubernetes.io/version-")

    # Then the operator restores the label: the API server accepts the same data again.
    def restored() -> bool:
        found = ready.child("controllerrevision", name)
        return bool(found) and "app.kubernetes.io/version" in found["metadata"]["labels"]

    eventually(restored, "the label of the record")
    assert (ready.child("controllerrevision", name) or {})["data"] == record["data"]
    assert ready.condition(ConditionType.STALLED)["status"] == ConditionStatus.FALSE
