"""One YAML in, all children out; and they stay as they should be, whoever touches them."""

import json
from collections.abc import Callable

import pytest
from cluster_support import Engine, eventually

OWN_KINDS = (
    "deployment,statefulset,service,configmap,secret,serviceaccount,poddisruptionbudget,horizontalpodautoscaler,"
    "networkpolicy"
)


@pytest.fixture
def ready(engine: Engine) -> Engine:
    engine.apply()
    engine.wait_ready()
    return engine


def children(engine: Engine) -> dict[tuple[str, str], str]:
    """uid of each child the operator made, by kind and name."""
    found = engine.cluster.list(OWN_KINDS, "-n", engine.namespace, "-l", "rtx-trading.com/engine=rtx")
    return {(child["kind"], child["metadata"]["name"]): child["metadata"]["uid"] for child in found}


def test_a_trading_engine_becomes_ready_and_its_status_tells_the_story(ready: Engine, sql: Callable[[str], str]):
    status = ready.status()

    assert (status["active"]["colour"], status["active"]["version"], status["active"]["epoch"]) == ("blue", "1.0.0", 1)
    assert status["replicas"] == {"desired": 2, "ready": 2}
    assert {condition["type"]: condition["status"] for condition in status["conditions"]} == {
        "Ready": "True",
        "Reconciling": "False",
        "Stalled": "False",
        "UpToDate": "True",
    }
    uid = (ready.child("te", "rtx") or {})["metadata"]["uid"]
    fence = sql("SELECT epoch, executors, owner FROM rtx_operator.execution_fence")
    assert fence == f"1|{{blue}}|{ready.namespace}/rtx/{uid}"
    printed = ready.kubectl("get", "te").splitlines()[1].split()
    assert {"rtx", "1.0.0", "blue", "2/2", "Serving"} <= set(printed)


def test_every_child_that_is_deleted_comes_back(ready: Engine):
    before = children(ready)
    assert len(before) >= 15, sorted(before)

    for kind, name in before:
        ready.kubectl("delete", kind, name, "--wait=false")

    def all_back() -> bool:
        now = children(ready)
        return before.keys() <= now.keys() and all(now[key] != before[key] for key in before)

    eventually(all_back, "every child is there again, with another uid")
    ready.wait_ready()


LONGER = '{"spec":{"template":{"spec":{"terminationGracePeriodSeconds":99}}}}'
EDITS = [
    ("service", "rtx-engine", {"spec": {"selector": {"rtx-trading.com/colour": "green"}}}),
    ("service", "rtx-postgres", {"spec": {"ports": [{"port": 5432, "targetPort": 1}]}}),
    ("deployment", "rtx-engine-blue", {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 99}}}}),
    ("statefulset", "rtx-postgres", {"spec": {"template": {"spec": {"automountServiceAccountToken": True}}}}),
    ("networkpolicy", "rtx-postgres", {"spec": {"ingress": None}}),
    ("horizontalpodautoscaler", "rtx-engine", {"spec": {"maxReplicas": 50}}),
    ("poddisruptionbudget", "rtx-engine", {"spec": {"maxUnavailable": 2}}),
    ("serviceaccount", "rtx-engine", {"automountServiceAccountToken": True}),
    ("configmap", "rtx-postgres", {"data": None}),
]


def test_every_edit_of_what_is_ours_is_put_right(ready: Engine):
    def shape(kind: str, name: str) -> dict[str, object]:
        child = ready.child(kind, name) or {}
        return {key: child.get(key) for key in ("spec", "data", "automountServiceAccountToken")} | {
            "labels": child["metadata"].get("labels"),
            "owners": child["metadata"].get("ownerReferences"),
        }

    before = {(kind, name): shape(kind, name) for kind, name, _ in EDITS}
    for kind, name, patch in EDITS:
        ready.kubectl("patch", kind, name, "--type=merge", "-p", json.dumps(patch))
    ready.kubectl(
        "label", "service", "rtx-redis", "rtx-trading.com/engine-", "app.kubernetes.io/instance=x", "--overwrite"
    )
    ready.kubectl(
        "patch", "service", "rtx-redis-headless", "--type=merge", "-p", '{"metadata":{"ownerReferences":null}}'
    )

    for (kind, name), right in before.items():
        eventually(lambda k=kind, n=name, r=right: shape(k, n) == r, f"{kind} {name} is as it was")

    def redis_labels() -> bool:
        labels = (ready.child("service", "rtx-redis") or {})["metadata"]["labels"]
        return labels.get("rtx-trading.com/engine") == "rtx" and labels.get("app.kubernetes.io/instance") == "rtx"

    eventually(redis_labels, "a child that lost its label is found by its name")
    eventually(
        lambda: (ready.child("service", "rtx-redis-headless") or {})["metadata"].get("ownerReferences"),
        "a child that lost its owner has it again",
    )
    reasons = [event["reason"] for event in ready.cluster.list("events", "-n", ready.namespace)]
    assert "Repaired" in reasons


def test_a_field_that_another_manager_owns_is_left_alone(ready: Engine):
    theirs = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "rtx-engine", "namespace": ready.namespace, "annotations": {"example.com/lb": "theirs"}},
    }
    ready.cluster.kubectl("apply", "--server-side", "--field-manager=theirs", "-f", "-", stdin=json.dumps(theirs))
    # Something of ours is changed with it, so that the operator does write this object.
    ready.kubectl("patch", "service", "rtx-engine", "--type=merge", "-p", '{"spec":{"sessionAffinity":"None"}}')

    def repaired() -> bool:
        return (ready.child("service", "rtx-engine") or {})["spec"]["sessionAffinity"] == "ClientIP"

    eventually(repaired, "our own field is repaired")
    assert (ready.child("service", "rtx-engine") or {})["metadata"]["annotations"]["example.com/lb"] == "theirs"


def test_replicas_are_the_autoscalers_within_the_bounds_and_ours_outside(ready: Engine):
    def size() -> int:
        return int((ready.child("deployment", "rtx-engine-blue") or {})["spec"]["replicas"])

    def grace() -> int:
        pod = (ready.child("deployment", "rtx-engine-blue") or {})["spec"]["template"]["spec"]
        return int(pod["terminationGracePeriodSeconds"])

    ready.kubectl("scale", "deployment", "rtx-engine-blue", "--replicas=4")
    eventually(lambda: ready.status().get("replicas") == {"desired": 4, "ready": 4}, "the new size is observed")
    # The operator has reconciled since: it wrote that status. Now it writes the Deployment itself.
    ready.kubectl("patch", "deployment", "rtx-engine-blue", "--type=merge", "-p", LONGER)
    eventually(lambda: grace() != 99, "it repaired its own field")
    assert size() == 4

    ready.kubectl("scale", "deployment", "rtx-engine-blue", "--replicas=9")
    eventually(lambda: size() == 5, "back to the most there may be")
    ready.kubectl("scale", "deployment", "rtx-engine-blue", "--replicas=0")
    eventually(lambda: size() == 2, "back to the least there may be")


def test_an_object_of_that_name_that_is_not_ours_is_not_taken_over(engine: Engine):
    theirs = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "rtx-redis", "namespace": engine.namespace},
        "spec": {"ports": [{"port": 1}]},
    }
    engine.cluster.apply(theirs)
    engine.apply()

    condition = engine.wait_condition("Stalled", "True", "NameTaken")
    assert "Service rtx-redis exists and was not made for this TradingEngine" in condition["message"]
    assert (engine.child("service", "rtx-redis") or {})["spec"]["ports"][0]["port"] == 1

    engine.kubectl("delete", "service", "rtx-redis")
    engine.wait_ready()


def test_a_version_that_nobody_answers_for_leaves_the_running_colour_as_it_was_installed(ready: Engine):
    def image() -> str:
        deployment = ready.child("deployment", "rtx-engine-blue") or {}
        return str(deployment["spec"]["template"]["spec"]["containers"][0]["image"])

    before = image()
    # Fake pods get ready, and answer no question: what is not answered is never passed.
    ready.but(version="1.1.0", scaling={"minReplicas": 3, "maxReplicas": 5}).apply()

    condition = ready.wait_condition("UpToDate", "False", "Rejected")
    assert "1.1.0" in condition["message"]
    past = ready.status()["history"][0]
    assert (past["fromVersion"], past["toVersion"], past["result"]) == ("1.0.0", "1.1.0", "RolledBack")
    assert "fencedAt" not in past
    selector = (ready.child("service", "rtx-engine") or {})["spec"]["selector"]
    assert selector["rtx-trading.com/colour"] == "blue"
    assert (ready.child("deployment", "rtx-engine-green") or {})["spec"]["replicas"] == 0

    eventually(lambda: ready.status()["replicas"] == {"desired": 3, "ready": 3}, "what shapes no pod applies at once")
    ready.kubectl("delete", "deployment", "rtx-engine-blue")
    eventually(lambda: ready.child("deployment", "rtx-engine-blue"), "the Deployment is made again")
    assert image() == before


def test_a_paused_engine_is_left_alone(ready: Engine):
    ready.but(paused=True).apply()
    ready.wait_condition("Reconciling", "False", "Paused")
    ready.kubectl("delete", "networkpolicy", "rtx-redis")
    ready.kubectl("scale", "deployment", "rtx-engine-blue", "--replicas=3")
    eventually(lambda: ready.status()["replicas"] == {"desired": 3, "ready": 3}, "it is still looked at")

    assert ready.child("networkpolicy", "rtx-redis") is None
    ready.apply()
    eventually(lambda: ready.child("networkpolicy", "rtx-redis"), "resumed, it is repaired")
