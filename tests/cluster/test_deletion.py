"""Deleting a TradingEngine never hangs and follows deletionPolicy; an engine applied again finds the kept data."""

from cluster_support import Engine, Operator, eventually
from rtx_operator.api.enums import ConditionStatus, ConditionType, DeletionPolicy, Reason

ALWAYS_DELETED_KINDS = (
    "deployment,statefulset,service,configmap,serviceaccount,poddisruptionbudget,horizontalpodautoscaler,"
    "networkpolicy,job"
)
STATE_OF_THE_DATA = ["ConfigMap/rtx-postgres-config", "ConfigMap/rtx-postgres-sync"]  # lives as long as the volumes
ENGINE_SELECTOR = ("-l", "rtx-trading.com/engine=rtx")


def children(engine: Engine, kinds: str) -> list[str]:
    """The engine's children of these kinds, as KIND/NAME."""
    found = engine.cluster.list(kinds, "-n", engine.namespace, *ENGINE_SELECTOR)
    return sorted(f"{child['kind']}/{child['metadata']['name']}" for child in found)


def test_retain_keeps_volumes_and_passwords_for_the_next_engine(engine: Engine) -> None:
    # Given a ready engine with deletionPolicy Retain.
    engine.apply()
    engine.wait_ready()
    before = {name: (engine.child("secret", name) or {})["data"] for name in ("rtx-internal", "rtx-credentials")}
    claims = children(engine, "pvc")
    uid = (engine.child("te", "rtx") or {})["metadata"]["uid"]

    # When it is deleted.
    engine.delete()

    # Then its volumes and Secrets stay, and everything else is deleted.
    eventually(lambda: children(engine, ALWAYS_DELETED_KINDS) == STATE_OF_THE_DATA, "only data is left")
    assert (
        children(engine, "pvc")
        == claims
        == ["PersistentVolumeClaim/data-rtx-postgres-0", "PersistentVolumeClaim/data-rtx-redis-0"]
    )
    assert children(engine, "secret") == ["Secret/rtx-credentials", "Secret/rtx-internal"]

    # When an engine of the same name is applied.
    engine.apply()
    engine.wait_ready()

    # Then it has the same passwords and a new epoch: pods of the deleted engine must not execute any more.
    assert (engine.child("te", "rtx") or {})["metadata"]["uid"] != uid
    assert {name: (engine.child("secret", name) or {})["data"] for name in before} == before
    assert engine.status()["active"]["epoch"] == 2


def test_delete_keeps_nothing(engine: Engine) -> None:
    # Given a ready engine with deletionPolicy Delete.
    deleting = engine.with_spec(deletionPolicy=DeletionPolicy.DELETE)
    deleting.apply()
    deleting.wait_ready()

    # When it is deleted.
    deleting.delete()

    # Then nothing is left.
    eventually(lambda: children(engine, f"{ALWAYS_DELETED_KINDS},pvc,secret") == [], "nothing is left")


def test_deletion_policy_can_change_in_both_directions(engine: Engine) -> None:
    def owned() -> set[bool]:
        names = ("rtx-internal", "rtx-credentials")
        return {bool((engine.child("secret", name) or {})["metadata"].get("ownerReferences")) for name in names}

    # Given a ready engine with deletionPolicy Retain: it does not own its Secrets.
    engine.apply()
    engine.wait_ready()
    assert owned() == {False}

    # When the policy changes to Delete.
    engine.with_spec(deletionPolicy=DeletionPolicy.DELETE).apply()

    # Then the engine owns its Secrets.
    eventually(lambda: owned() == {True}, "the engine owns its Secrets")

    # When the policy changes back to Retain.
    engine.with_spec(deletionPolicy=DeletionPolicy.RETAIN).apply()

    # Then it no longer owns them.
    eventually(lambda: owned() == {False}, "the engine does not own its Secrets")

    # When the engine is deleted.
    engine.delete()

    # Then its volumes and Secrets stay.
    eventually(lambda: children(engine, ALWAYS_DELETED_KINDS) == STATE_OF_THE_DATA, "only data is left")
    assert children(engine, "secret,pvc") == [
        "PersistentVolumeClaim/data-rtx-postgres-0",
        "PersistentVolumeClaim/data-rtx-redis-0",
        "Secret/rtx-credentials",
        "Secret/rtx-internal",
    ]


def test_retain_set_under_a_pause_keeps_the_data_and_changes_nothing_else(engine: Engine) -> None:
    def policy() -> str:
        spec = (engine.child("statefulset", "rtx-postgres") or {})["spec"]
        return str(spec["persistentVolumeClaimRetentionPolicy"]["whenDeleted"])

    # Given an engine whose data would go with it, paused, and a child that somebody has deleted meanwhile.
    deleting = engine.with_spec(deletionPolicy=DeletionPolicy.DELETE)
    deleting.apply()
    deleting.wait_ready()
    deleting.with_spec(paused=True).apply()
    engine.wait_condition(ConditionType.RECONCILING, ConditionStatus.FALSE, Reason.PAUSED)
    engine.kubectl("delete", "networkpolicy", "rtx-redis")

    # When the policy changes to Retain.
    engine.with_spec(deletionPolicy=DeletionPolicy.RETAIN, paused=True).apply()

    # Then it takes effect, and nothing else is applied.
    secrets = ("rtx-internal", "rtx-credentials")
    eventually(
        lambda: not any((engine.child("secret", one) or {})["metadata"].get("ownerReferences") for one in secrets),
        "the engine does not own its Secrets",
    )
    eventually(lambda: policy() == "Retain", "the database's volume claim is kept")
    assert engine.child("networkpolicy", "rtx-redis") is None

    # When the engine is deleted, then its volumes and Secrets stay.
    engine.delete()
    eventually(lambda: children(engine, ALWAYS_DELETED_KINDS) == STATE_OF_THE_DATA, "only data is left")
    assert children(engine, "secret,pvc") == [
        "PersistentVolumeClaim/data-rtx-postgres-0",
        "PersistentVolumeClaim/data-rtx-redis-0",
        "Secret/rtx-credentials",
        "Secret/rtx-internal",
    ]


def test_deletion_does_not_need_the_operator(own_operator: tuple[Engine, Operator]) -> None:
    # Given a ready engine whose operator is dead.
    engine, operator = own_operator
    engine.apply()
    engine.wait_ready()
    operator.kill()

    # When the engine is deleted.
    engine.delete()

    # Then its children are deleted, except for its data.
    eventually(lambda: children(engine, ALWAYS_DELETED_KINDS) == STATE_OF_THE_DATA, "only data is left")
