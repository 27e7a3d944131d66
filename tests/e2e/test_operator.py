"""The operator on a real cluster: it repairs what is its own, leaves the rest, and a second replica takes over."""

import json

import pytest
from rtx_demo import installation
from rtx_demo.engine import Engine
from rtx_demo.kubectl import Kubectl, Object
from rtx_demo.waiting import eventually

OTHER_MANAGER = "somebody-else"


def child(engine: Engine, kind: str, name: str) -> Object:
    found = engine.kubectl.get(kind, name, engine.namespace)
    assert found, f"{kind} {name} is not there"
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
        ("poddisruptionbudget", "rtx-engine"),
    ],
)
def test_a_deleted_child_comes_back(engine: Engine, kind: str, name: str) -> None:
    # given a running engine, when one of its children is deleted
    before = child(engine, kind, name)["metadata"]["uid"]
    engine.kubectl.delete(kind, name, engine.namespace)

    # then it is made again
    eventually(
        lambda: (found := engine.kubectl.get(kind, name, engine.namespace)) and found["metadata"]["uid"] != before,
        f"a new {kind} {name}",
    )


def test_an_edited_field_is_repaired(engine: Engine) -> None:
    # given the live Service and the engine's policy, when somebody sends its traffic elsewhere and opens the policy
    selector = child(engine, "service", "rtx-engine")["spec"]["selector"]
    rules = child(engine, "networkpolicy", "rtx-engine")["spec"]["ingress"]
    patch(engine, "service", "rtx-engine", {"spec": {"selector": {"rtx-trading.com/colour": "green"}}})
    patch(engine, "networkpolicy", "rtx-engine", {"spec": {"ingress": [{}]}})

    # then both are as they were
    eventually(
        lambda: child(engine, "service", "rtx-engine")["spec"]["selector"] == selector, "the Service's own selector"
    )
    eventually(
        lambda: child(engine, "networkpolicy", "rtx-engine")["spec"]["ingress"] == rules, "the policy's own rules"
    )


def test_a_field_of_another_manager_is_left_alone(engine: Engine) -> None:
    # given a label and an annotation that another field manager puts on a child
    theirs = {"metadata": {"labels": {"team": "fx"}, "annotations": {"example.com/owner": "ops"}}}
    patch(engine, "service", "rtx-engine", theirs)

    # when the operator repairs another field of the same object
    patch(engine, "service", "rtx-engine", {"spec": {"sessionAffinity": "None"}})
    eventually(
        lambda: child(engine, "service", "rtx-engine")["spec"]["sessionAffinity"] == "ClientIP", "its own affinity"
    )

    # then theirs stands
    metadata = child(engine, "service", "rtx-engine")["metadata"]
    assert metadata["labels"]["team"] == "fx"
    assert metadata["annotations"]["example.com/owner"] == "ops"


def test_the_second_replica_takes_over_from_a_killed_leader(kubectl: Kubectl, engine: Engine) -> None:
    # given an operator of two replicas, one of which leads
    leader = installation.leader(kubectl)
    assert leader in {pod["metadata"]["name"] for pod in installation.pods(kubectl)}

    # when the leader is killed without a word
    kubectl.run(
        "delete", "pod", leader, "--namespace", installation.NAMESPACE, "--grace-period=0", "--force", deadline=60
    )

    # then another leads, and does the work
    eventually(lambda: installation.leader(kubectl) not in {"", leader}, "another leader")
    before = child(engine, "poddisruptionbudget", "rtx-engine")["metadata"]["uid"]
    engine.kubectl.delete("poddisruptionbudget", "rtx-engine", engine.namespace)
    eventually(
        lambda: (
            (found := engine.kubectl.get("poddisruptionbudget", "rtx-engine", engine.namespace))
            and found["metadata"]["uid"] != before
        ),
        "a child repaired by the new leader",
    )
    installation.wait_until_running(kubectl)


def test_everything_passes_pod_security_restricted(engine: Engine) -> None:
    # given a namespace that enforces "restricted", when an engine runs in it
    namespace = engine.kubectl.get("namespace", engine.namespace)
    assert namespace
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"

    # then no pod of it was refused, and one that does not comply is
    said = [event.get("message", "") for event in engine.kubectl.list("events", engine.namespace)]
    assert not [message for message in said if "violates PodSecurity" in message]
    with pytest.raises(Exception, match="violates PodSecurity"):
        engine.kubectl.run("run", "careless", "--image=localhost/rtx-traffic:dev", "--namespace", engine.namespace)
