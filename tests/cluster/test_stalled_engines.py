"""A stalled engine: its conditions name the cause and the remedy, and it gets ready once the cause is removed."""

import base64
import json
import time
from collections.abc import Callable

import pytest
from cluster_support import Cluster, Engine, Operator, eventually, make_engine
from rtx_operator.api.enums import ConditionStatus, ConditionType, CutoverPhase, Reason
from rtx_operator.cluster.observe.inquiries import RECENT_SECONDS

ON_REAL_NODES: dict[str, object] = {"nodeSelector": {}, "tolerations": []}
SMALL = {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"cpu": "100m", "memory": "64Mi"}}
KEYS = ("DB_PASSWORD", "REDIS_PASSWORD", "JWT_SECRET", "ADMIN_PASSWORD_HASH")


def wait_stalled(engine: Engine, reason: Reason) -> str:
    """Wait until the engine is stalled and not ready for that reason. Returns the message."""
    engine.wait_condition(ConditionType.STALLED, ConditionStatus.TRUE, reason)
    ready = engine.wait_condition(ConditionType.READY, ConditionStatus.FALSE, reason)
    return str(ready["message"])


def trigger_reconcile(engine: Engine) -> None:
    """Change an annotation of a child, so that the operator reconciles the engine and asks its database again."""
    time.sleep(RECENT_SECONDS)
    engine.kubectl("annotate", "service", "rtx-engine", f"reconcile={time.time_ns()}", "--overwrite")


def test_missing_secret_and_then_missing_key_are_named(engine: Engine) -> None:
    # Given an engine that refers to a Secret that does not exist.
    named = engine.with_spec(credentialsSecretRef={"name": "mine"})

    # When it is applied.
    named.apply()

    # Then the message names the Secret, and no pod is made.
    message = wait_stalled(named, Reason.CREDENTIALS_MISSING)
    assert "Secret mine, named by spec.credentialsSecretRef, does not exist" in message
    assert named.cluster.list("pods", "-n", named.namespace) == []

    # When the Secret is created without one of its keys.
    data = {key: base64.b64encode(b"value").decode() for key in KEYS}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "mine", "namespace": named.namespace}}
    named.cluster.apply({**secret, "data": {**data, "JWT_SECRET": ""}})

    # Then the message names the key.
    eventually(
        lambda: "lacks JWT_SECRET" in named.condition(ConditionType.READY).get("message", ""),
        "the message of Ready names the missing key",
    )

    # When the Secret has all its keys.
    named.cluster.apply({**secret, "data": data})

    # Then the engine gets ready, and the operator generates no Secret.
    named.wait_ready()
    assert named.child("secret", "rtx-credentials") is None


def test_missing_image_is_named(
    cluster: Cluster, namespace: str, operator: Operator, sql: Callable[[str], str]
) -> None:
    # Given an engine with images that do not exist, on real nodes: fake ones pull none.
    engine = make_engine(cluster, namespace, operator.operator_class).with_spec(
        scheduling=ON_REAL_NODES,
        database={"storage": "1Gi", "image": "localhost/no-such-image:1", "resources": SMALL},
        cache={"storage": "1Gi", "image": "localhost/no-such-image:1", "resources": SMALL},
    )

    # When it is applied.
    engine.apply()

    # Then the message names the image and the field for its credentials.
    message = wait_stalled(engine, Reason.IMAGE_UNAVAILABLE)
    assert "localhost/no-such-image:1" in message
    assert "spec.imagePullSecrets" in message


def test_unbound_volume_is_named(engine: Engine) -> None:
    # Given an engine with a storage class that does not exist.
    broken = engine.with_spec(database={"storage": "1Gi", "storageClassName": "no-such-class"})

    # When it is applied.
    broken.apply()

    # Then the message names the volume claim and the storage class.
    message = wait_stalled(broken, Reason.VOLUME_UNBOUND)
    assert "data-rtx-postgres-0" in message
    assert "no-such-class" in message


def test_full_quota_is_named_and_a_larger_one_lets_the_engine_start(engine: Engine) -> None:
    # Given a namespace whose quota allows no pod.
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "tight", "namespace": engine.namespace},
        "spec": {"hard": {"pods": "0"}},
    }
    engine.cluster.apply(quota)

    # When an engine is applied.
    engine.apply()

    # Then the message names the quota.
    message = wait_stalled(engine, Reason.QUOTA_EXCEEDED)
    assert "exceeded quota: tight" in message
    assert "ResourceQuota" in message

    # When the quota allows enough pods. (The StatefulSets' restart makes Kubernetes retry without its back-off.)
    quota["spec"] = {"hard": {"pods": "20"}}
    engine.cluster.apply(quota)
    engine.kubectl("rollout", "restart", "statefulset/rtx-postgres", "statefulset/rtx-redis")

    # Then the engine gets ready.
    engine.wait_ready()


# A Job that cannot be made takes twice the time: the rollback gives the one that reverses 45 s, too.
@pytest.mark.parametrize("kind", ["deployments.apps", pytest.param("jobs.batch", marks=pytest.mark.slow)])
def test_quota_that_admits_no_object_of_an_upgrade_ends_it_in_the_words_of_the_api_server(
    engine: Engine, kind: str
) -> None:
    # Given a ready engine in a namespace in which no more Jobs, or Deployments, may be made.
    engine.apply()
    engine.wait_ready()
    engine.kubectl("create", "quota", "tight", f"--hard=count/{kind}=1")
    eventually(
        lambda: (engine.child("quota", "tight") or {}).get("status", {}).get("used", {}).get(f"count/{kind}") == "1",
        "the quota is used up",
    )

    # When its spec asks for other pods.
    engine.with_spec(config={"logLevel": "DEBUG"}).apply()

    # Then Stalled names the quota while the upgrade waits.
    stalled = engine.wait_condition(ConditionType.STALLED, ConditionStatus.TRUE, Reason.QUOTA_EXCEEDED)
    assert "exceeded quota: tight" in stalled["message"]

    # Then the upgrade is rolled back, and history and rejection keep the words.
    for phase in (CutoverPhase.ROLLING_BACK, CutoverPhase.ROLLED_BACK):
        entered = [phase, CutoverPhase.ROLLED_BACK]
        eventually(lambda known=entered: engine.status()["cutover"]["phase"] in known, f"the cutover is {phase}")
    status = engine.status()
    assert status["history"][0]["reason"] == Reason.QUOTA_EXCEEDED
    assert "exceeded quota: tight" in status["history"][0]["message"]
    assert status["rejected"]["reason"] == Reason.QUOTA_EXCEEDED

    # Then the engine serves, as it did. (The operator keeps one session for the database that all these engines share:
    # the deletion of the last test's engine may end it for a moment.)
    engine.wait_ready()


def test_pods_that_fit_on_no_node_are_reported(engine: Engine) -> None:
    # Given an engine with a node selector that no node matches.
    broken = engine.with_spec(database={"storage": "1Gi", "scheduling": {"nodeSelector": {"type": "no-such-type"}}})

    # When it is applied.
    broken.apply()

    # Then the message names the cause.
    assert "fits on no node" in wait_stalled(broken, Reason.UNSCHEDULABLE)


def test_database_of_another_engine_is_not_used(engine: Engine, sql: Callable[[str], str]) -> None:
    # Given a ready engine.
    engine.apply()
    engine.wait_ready()

    # When another engine owns the fence, and the operator reconciles.
    sql("UPDATE rtx_operator.execution_fence SET owner = 'other/engine/uid'")
    trigger_reconcile(engine)

    # Then the message names the other engine, and the owner is unchanged.
    message = wait_stalled(engine, Reason.DATABASE_IN_USE)
    assert "other/engine" in message
    assert sql("SELECT owner FROM rtx_operator.execution_fence") == "other/engine/uid"


def test_database_that_refuses_the_operator_is_reported(engine: Engine, sql: Callable[[str], str]) -> None:
    # Given a database that refuses the operator's role.
    sql("ALTER ROLE rtx_operator NOLOGIN")
    try:
        # When an engine is applied.
        engine.apply()

        # Then the message has PostgreSQL's error and the command that shows more.
        condition = engine.wait_condition(ConditionType.READY, ConditionStatus.FALSE, Reason.DATABASE_UNREACHABLE)
        assert 'role "rtx_operator" is not permitted to log in' in condition["message"]
        assert "kubectl logs rtx-postgres-0" in condition["message"]
    finally:
        # When the database accepts the role again.
        sql("ALTER ROLE rtx_operator LOGIN")

    # Then the engine gets ready.
    engine.wait_ready()


def test_fence_that_a_restore_reset_moves_above_the_known_epoch(engine: Engine, sql: Callable[[str], str]) -> None:
    # Given a ready engine whose status has epoch 7 from the fence.
    engine.apply()
    engine.wait_ready()
    sql("UPDATE rtx_operator.execution_fence SET epoch = 7")
    trigger_reconcile(engine)
    eventually(lambda: engine.status()["active"]["epoch"] == 7, "status has the fence's epoch 7")

    # When a restore resets the fence to an older epoch and to the other colour.
    sql("UPDATE rtx_operator.execution_fence SET epoch = 3, executors = '{green}'")
    trigger_reconcile(engine)

    # Then the operator moves the fence to the active colour, above epoch 7, and status has the new epoch.
    eventually(
        lambda: sql("SELECT epoch, executors FROM rtx_operator.execution_fence") == "8|{blue}",
        "the fence names blue at epoch 8",
    )
    eventually(lambda: engine.status()["active"]["epoch"] == 8, "status has the fence's epoch 8")
    engine.wait_ready()


def test_secrets_are_not_in_status_events_or_logs(engine: Engine, operator: Operator) -> None:
    # Given a ready engine.
    engine.apply()
    engine.wait_ready()

    # When its status, its events and the operator's log are read.
    published = json.dumps(engine.status()) + json.dumps(engine.cluster.list("events", "-n", engine.namespace))
    published += operator.log.read_text()

    # Then they contain no value of its Secrets, neither plain nor in base64.
    for name in ("rtx-internal", "rtx-credentials"):
        for value in (engine.child("secret", name) or {})["data"].values():
            decoded = base64.b64decode(value).decode()
            assert decoded == "rtx_engine" or decoded not in published  # DB_USER is a name, not a secret
            assert value not in published
