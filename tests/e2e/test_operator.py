"""The operator on a real cluster: it restores the fields it owns, leaves others alone, and fails over."""

import json

import pytest
from rtx_demo import installation
from rtx_demo.engine import Engine
from rtx_demo.kubectl import Kubectl, Object
from rtx_demo.waiting import eventually
from rtx_operator.api.enums import Colour

OTHER_MANAGER = "other-manager"


def child(engine: Engine, kind: str, name: str) -> Object:
    found = engine.kubectl.get(kind, name, engine.namespace)
    assert found, f"{kind} {name} does not exist"
    return found


def patch(engine: Engine, kind: str, name: str, change: Object, *, manager: str = OTHER_MANAGER) -> None:
    engine.kubectl.run(
        "patch", kind, name, "--namespace", engine.namespace, "--type=merge", f"--field-manager={manager}",
        f"--patch={json.dumps(change)}",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("service", "rtx-engine"),
        ("service", "rtx-postgres"),
        ("networkpolicy", "rtx-engine"),
        ("horizontalpodautoscaler", "rtx-engine"),
        ("poddisruptionbudget", "rtx-engine-blue"),
    ],
)
def test_deleted_child_is_made_again(engine: Engine, kind: str, name: str) -> None:
    # Given a running engine.
    before = child(engine, kind, name)["metadata"]["uid"]

    # When one of its children is deleted.
    engine.kubectl.delete(kind, name, engine.namespace)

    # Then the operator makes it again.
    eventually(
        lambda: (found := engine.kubectl.get(kind, name, engine.namespace)) and found["metadata"]["uid"] != before,
        f"a new {kind} {name}",
    )


def test_edited_field_is_restored(engine: Engine) -> None:
    # Given the live Service and the engine's NetworkPolicy.
    selector = child(engine, "service", "rtx-engine")["spec"]["selector"]
    rules = child(engine, "networkpolicy", "rtx-engine")["spec"]["ingress"]

    # When another manager changes the Service's selector and opens the policy.
    patch(engine, "service", "rtx-engine", {"spec": {"selector": {"rtx-trading.com/colour": Colour.GREEN}}})
    patch(engine, "networkpolicy", "rtx-engine", {"spec": {"ingress": [{}]}})

    # Then the operator restores both.
    eventually(
        lambda: child(engine, "service", "rtx-engine")["spec"]["selector"] == selector, "the Service's own selector"
    )
    eventually(
        lambda: child(engine, "networkpolicy", "rtx-engine")["spec"]["ingress"] == rules, "the policy's own rules"
    )


def test_field_of_another_manager_is_left_alone(engine: Engine) -> None:
    # Given a label and an annotation that another field manager has set on a child.
    theirs = {"metadata": {"labels": {"team": "fx"}, "annotations": {"example.com/owner": "ops"}}}
    patch(engine, "service", "rtx-engine", theirs)

    # When the operator restores another field of the same object.
    patch(engine, "service", "rtx-engine", {"spec": {"sessionAffinity": "None"}})
    eventually(
        lambda: child(engine, "service", "rtx-engine")["spec"]["sessionAffinity"] == "ClientIP", "its own affinity"
    )

    # Then the label and the annotation are unchanged.
    metadata = child(engine, "service", "rtx-engine")["metadata"]
    assert metadata["labels"]["team"] == "fx"
    assert metadata["annotations"]["example.com/owner"] == "ops"


def test_standby_takes_over_from_a_killed_leader(kubectl: Kubectl, engine: Engine) -> None:
    # Given an operator of two replicas, one of which leads.
    leader = installation.leader(kubectl)
    assert leader in {pod["metadata"]["name"] for pod in installation.pods(kubectl)}

    # When the leader's pod is deleted without grace period.
    kubectl.run(
        "delete", "pod", leader, "--namespace", installation.NAMESPACE, "--grace-period=0", "--force", deadline=60
    )

    # Then another replica leads and reconciles.
    eventually(lambda: installation.leader(kubectl) not in {"", leader}, "another leader")
    before = child(engine, "horizontalpodautoscaler", "rtx-engine")["metadata"]["uid"]
    engine.kubectl.delete("horizontalpodautoscaler", "rtx-engine", engine.namespace)
    eventually(
        lambda: (
            (found := engine.kubectl.get("horizontalpodautoscaler", "rtx-engine", engine.namespace))
            and found["metadata"]["uid"] != before
        ),
        "a child made again by the new leader",
    )
    installation.wait_until_running(kubectl)


def test_engine_runs_in_a_restricted_namespace(engine: Engine) -> None:
    # Given a namespace that enforces the Pod Security Standard "restricted".
    namespace = engine.kubectl.get("namespace", engine.namespace)
    assert namespace
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"

    # When an engine runs in it.
    messages = [event.get("message", "") for event in engine.kubectl.list("events", engine.namespace)]

    # Then none of its pods was refused, and a pod that does not comply is.
    assert not [message for message in messages if "violates PodSecurity" in message]
    with pytest.raises(Exception, match="violates PodSecurity"):
        engine.kubectl.run("run", "careless", "--image=localhost/rtx-traffic:dev", "--namespace", engine.namespace)
