"""What is read at 3 a.m.: each trouble ends in a condition that names it and says what to do, and goes away."""

import base64
import json
from collections.abc import Callable

from cluster_support import Cluster, Engine, Operator, eventually, make_engine

REAL_NODES: dict[str, object] = {"nodeSelector": {}, "tolerations": []}
KEYS = ("DB_PASSWORD", "REDIS_PASSWORD", "JWT_SECRET", "ADMIN_PASSWORD_HASH")


def stalled(engine: Engine, reason: str) -> str:
    """Wait until the engine is stalled for that reason; returns what it says."""
    engine.wait_condition("Stalled", "True", reason)
    ready = engine.wait_condition("Ready", "False", reason)
    return str(ready["message"])


def test_a_missing_secret_and_then_a_missing_key(engine: Engine):
    named = engine.but(credentialsSecretRef={"name": "mine"})
    named.apply()

    message = stalled(named, "CredentialsMissing")
    assert "Secret mine, named by spec.credentialsSecretRef, does not exist" in message
    assert named.cluster.list("pods", "-n", named.namespace) == []

    data = {key: base64.b64encode(b"value").decode() for key in KEYS}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "mine", "namespace": named.namespace}}
    named.cluster.apply({**secret, "data": {**data, "JWT_SECRET": ""}})
    eventually(lambda: "lacks JWT_SECRET" in named.condition("Ready").get("message", ""), "the missing key is named")

    named.cluster.apply({**secret, "data": data})
    named.wait_ready()
    assert named.child("secret", "rtx-credentials") is None


def test_an_image_that_does_not_exist(cluster: Cluster, namespace: str, operator: Operator, sql: Callable[[str], str]):
    # Only a real node asks for the image.
    engine = make_engine(cluster, namespace, operator.operator_class).but(
        scheduling=REAL_NODES,
        database={"storage": "1Gi", "image": "localhost/no-such-image:1", "resources": _small()},
        cache={"storage": "1Gi", "image": "localhost/no-such-image:1", "resources": _small()},
    )
    engine.apply()

    message = stalled(engine, "ImageUnavailable")
    assert "localhost/no-such-image:1" in message
    assert "spec.imagePullSecrets" in message


def _small() -> dict[str, object]:
    return {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"cpu": "100m", "memory": "64Mi"}}


def test_a_volume_that_cannot_be_bound(engine: Engine):
    storage = {"storage": "1Gi", "storageClassName": "no-such-class"}
    broken = engine.but(database=storage)
    broken.apply()

    message = stalled(broken, "VolumeUnbound")
    assert "data-rtx-postgres-0" in message
    assert "no-such-class" in message


def test_a_full_quota_and_then_a_larger_one(engine: Engine):
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "tight", "namespace": engine.namespace},
        "spec": {"hard": {"pods": "0"}},
    }
    engine.cluster.apply(quota)
    engine.apply()

    message = stalled(engine, "QuotaExceeded")
    assert "exceeded quota: tight" in message
    assert "ResourceQuota" in message

    quota["spec"] = {"hard": {"pods": "20"}}
    engine.cluster.apply(quota)
    # The controllers of Kubernetes try again after delays of their own; a new pod asks at once.
    engine.kubectl("rollout", "restart", "statefulset/rtx-postgres", "statefulset/rtx-redis")
    engine.wait_ready()


def test_no_node_that_fits(engine: Engine):
    nowhere = engine.but(scheduling={"nodeSelector": {"type": "no-such-type"}})
    nowhere.apply()

    assert "fits on no node" in stalled(nowhere, "Unschedulable")


def test_a_database_that_another_engine_owns(engine: Engine, sql: Callable[[str], str]):
    engine.apply()
    engine.wait_ready()
    sql("UPDATE rtx_operator.execution_fence SET owner = 'other/engine/uid'")
    engine.kubectl("annotate", "service", "rtx-engine", "look=again")

    message = stalled(engine, "DatabaseInUse")
    assert "other/engine" in message
    assert sql("SELECT owner FROM rtx_operator.execution_fence") == "other/engine/uid"


def test_a_database_that_refuses_the_operator_and_then_lets_it_in(engine: Engine, sql: Callable[[str], str]):
    sql("ALTER ROLE rtx_operator NOLOGIN")
    try:
        engine.apply()
        condition = engine.wait_condition("Ready", "False", "DatabaseUnreachable")
        assert 'role "rtx_operator" is not permitted to log in' in condition["message"]
        assert "kubectl logs rtx-postgres-0" in condition["message"]
    finally:
        sql("ALTER ROLE rtx_operator LOGIN")
    engine.wait_ready()


def test_a_fence_that_a_restore_set_back_is_moved_on(engine: Engine, sql: Callable[[str], str]):
    engine.apply()
    engine.wait_ready()
    sql("UPDATE rtx_operator.execution_fence SET epoch = 7")
    engine.kubectl("annotate", "service", "rtx-engine", "look=again")
    eventually(lambda: engine.status()["active"]["epoch"] == 7, "a move that status did not know is remembered")

    sql("UPDATE rtx_operator.execution_fence SET epoch = 3, executors = '{green}'")
    engine.kubectl("annotate", "service", "rtx-engine", "look=yet-again", "--overwrite")

    eventually(
        lambda: sql("SELECT epoch, executors FROM rtx_operator.execution_fence") == "8|{blue}", "moved above all epochs"
    )
    eventually(lambda: engine.status()["active"]["epoch"] == 8, "and remembered")
    engine.wait_ready()


def test_secrets_never_show_in_status_events_or_logs(engine: Engine, operator: Operator):
    engine.apply()
    engine.wait_ready()

    told = json.dumps(engine.status()) + json.dumps(engine.cluster.list("events", "-n", engine.namespace))
    told += operator.log.read_text()
    for name in ("rtx-internal", "rtx-credentials"):
        for value in (engine.child("secret", name) or {})["data"].values():
            decoded = base64.b64decode(value).decode()
            assert decoded == "rtx_engine" or decoded not in told  # DB_USER is a name, not a secret
            assert value not in told
