"""What belongs to an engine stays its own: passwords, fields, and what serves, whoever deletes, edits or orphans."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from cluster_support import Engine, eventually
from rtx_operator.api.enums import ConditionStatus, ConditionType, Reason

SECRETS = ("rtx-credentials", "rtx-internal")


@pytest.fixture
def ready(engine: Engine) -> Engine:
    """A ready engine of version 1.0.0."""
    engine.apply()
    engine.wait_ready()
    return engine


def without_identity(live: dict[str, Any]) -> dict[str, Any]:
    """The object as a backup tool creates it again."""
    kept = {name: live["metadata"][name] for name in ("name", "namespace", "labels", "annotations")}
    return {**live, "metadata": kept}


def test_deleted_passwords_are_asked_for_and_not_generated_anew(ready: Engine) -> None:
    # Given the Secrets of an engine whose database has a volume
    saved = [ready.child("secret", name) or {} for name in SECRETS]
    assert ready.child("pvc", "data-rtx-postgres-0")

    # When they are deleted by their label, as a tool that prunes does it
    ready.kubectl("delete", "secret", "-l", "rtx-trading.com/engine=rtx")

    # Then the operator says what to do, and generates none
    ready.wait_condition(ConditionType.STALLED, ConditionStatus.TRUE, Reason.CREDENTIALS_LOST)
    assert [ready.child("secret", name) for name in SECRETS] == [None, None]

    # When they are restored
    for secret in saved:
        ready.cluster.apply(without_identity(secret))

    # Then the engine goes on with them
    ready.wait_condition(ConditionType.STALLED, ConditionStatus.FALSE)
    assert [(ready.child("secret", name) or {})["data"] for name in SECRETS] == [one["data"] for one in saved]


def test_secret_without_its_label_keeps_its_passwords(ready: Engine) -> None:
    # Given the passwords of an engine
    before = (ready.child("secret", "rtx-internal") or {})["data"]

    # When somebody removes the label
    ready.kubectl("label", "secret", "rtx-internal", "rtx-trading.com/engine-")

    # Then it comes back, with the same passwords
    def labels() -> dict[str, str]:
        return dict((ready.child("secret", "rtx-internal") or {})["metadata"].get("labels") or {})

    eventually(lambda: labels().get("rtx-trading.com/engine") == "rtx", "the label of the Secret is restored")
    assert (ready.child("secret", "rtx-internal") or {})["data"] == before


def test_manager_that_keeps_changing_an_object_is_named_once(ready: Engine) -> None:
    # Given another manager that changes a ServiceAccount again and again
    patch = '{"automountServiceAccountToken":true}'
    for _ in range(12):
        ready.kubectl("patch", "sa", "rtx-engine", "--type=merge", "-p", patch, "--field-manager=other")
        time.sleep(1)

    # Then a condition names both, and Ready stays true
    condition = ready.wait_condition(ConditionType.DISPUTED, ConditionStatus.TRUE, Reason.OTHER_MANAGER)
    assert "manager other keeps changing ServiceAccount rtx-engine" in condition["message"]
    assert ready.condition(ConditionType.READY)["status"] == ConditionStatus.TRUE

    # Then one Event counts the repairs, and another one tells of the manager
    def told() -> tuple[list[bool], int]:
        events = ready.cluster.list("events", "-n", ready.namespace)
        repairs = [one for one in events if one["reason"] == "Repaired" and "ServiceAccount rtx-eng" in one["message"]]
        return [one["count"] >= 3 for one in repairs], sum(one["reason"] == Reason.OTHER_MANAGER for one in events)

    eventually(lambda: told() == ([True], 1), "one Event counts three repairs, and one names the manager")


def test_orphaned_engine_that_is_applied_again_keeps_what_serves(ready: Engine, sql: Callable[[str], str]) -> None:
    # Given an engine that serves
    deployment = ready.child("deployment", "rtx-engine-blue") or {}
    jobs = {job["metadata"]["uid"] for job in ready.cluster.list("jobs", "-n", ready.namespace)}

    # When it is deleted without its children, and applied again
    ready.kubectl("delete", "te", "rtx", "--cascade=orphan")
    ready.apply()
    ready.wait_ready()

    # Then the same Deployment serves, as the new engine's, and no migration ran again
    status = ready.status()
    assert (status["active"]["colour"], status["active"]["version"]) == ("blue", "1.0.0")
    uid = (ready.child("te", "rtx") or {})["metadata"]["uid"]
    adopted = ready.child("deployment", "rtx-engine-blue") or {}
    assert adopted["metadata"]["uid"] == deployment["metadata"]["uid"]
    assert [owner["uid"] for owner in adopted["metadata"]["ownerReferences"]] == [uid]
    assert {job["metadata"]["uid"] for job in ready.cluster.list("jobs", "-n", ready.namespace)} == jobs
    owner = sql("SELECT owner, executors FROM rtx_operator.execution_fence")
    assert owner == f"{ready.namespace}/rtx/{uid}|{{blue}}", json.dumps(status)
