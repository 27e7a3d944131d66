"""Deleting a TradingEngine never hangs, keeps what deletionPolicy says, and applying it again finds what was kept."""

from cluster_support import Engine, Operator, eventually

GONE = (
    "deployment,statefulset,service,configmap,serviceaccount,poddisruptionbudget,horizontalpodautoscaler,"
    "networkpolicy,job"
)
OURS = ("-l", "rtx-trading.com/engine=rtx")


def left(engine: Engine, kinds: str) -> list[str]:
    found = engine.cluster.list(kinds, "-n", engine.namespace, *OURS)
    return sorted(f"{child['kind']}/{child['metadata']['name']}" for child in found)


def test_retain_keeps_volumes_and_their_passwords_and_a_second_life_finds_them(engine: Engine):
    engine.apply()
    engine.wait_ready()
    before = {name: (engine.child("secret", name) or {})["data"] for name in ("rtx-internal", "rtx-credentials")}
    claims = left(engine, "pvc")
    uid = (engine.child("te", "rtx") or {})["metadata"]["uid"]

    engine.delete()

    eventually(lambda: left(engine, GONE) == [], "all but data is gone")
    assert (
        left(engine, "pvc")
        == claims
        == ["PersistentVolumeClaim/data-rtx-postgres-0", "PersistentVolumeClaim/data-rtx-redis-0"]
    )
    assert left(engine, "secret") == ["Secret/rtx-credentials", "Secret/rtx-internal"]

    engine.apply()
    engine.wait_ready()

    assert (engine.child("te", "rtx") or {})["metadata"]["uid"] != uid
    assert {name: (engine.child("secret", name) or {})["data"] for name in before} == before
    # Pods of the first life must not execute in the second: a new epoch.
    assert engine.status()["active"]["epoch"] == 2


def test_delete_keeps_nothing(engine: Engine):
    deleting = engine.but(deletionPolicy="Delete")
    deleting.apply()
    deleting.wait_ready()

    deleting.delete()

    eventually(lambda: left(engine, f"{GONE},pvc,secret") == [], "nothing is left")


def test_the_policy_can_be_changed_in_both_directions(engine: Engine):
    def owned() -> set[bool]:
        names = ("rtx-internal", "rtx-credentials")
        return {bool((engine.child("secret", name) or {})["metadata"].get("ownerReferences")) for name in names}

    engine.apply()
    engine.wait_ready()
    assert owned() == {False}

    engine.but(deletionPolicy="Delete").apply()
    eventually(lambda: owned() == {True}, "the Secrets go with their engine")

    engine.but(deletionPolicy="Retain").apply()
    eventually(lambda: owned() == {False}, "the Secrets stay again")
    engine.delete()
    eventually(lambda: left(engine, GONE) == [], "all but data is gone")
    assert left(engine, "secret,pvc") == [
        "PersistentVolumeClaim/data-rtx-postgres-0",
        "PersistentVolumeClaim/data-rtx-redis-0",
        "Secret/rtx-credentials",
        "Secret/rtx-internal",
    ]


def test_deleting_does_not_wait_for_the_operator(operator_of_its_own: tuple[Engine, Operator]):
    mine, operator = operator_of_its_own
    mine.apply()
    mine.wait_ready()
    operator.kill()

    mine.delete()

    eventually(lambda: left(mine, GONE) == [], "all but data is gone, with no operator there")
