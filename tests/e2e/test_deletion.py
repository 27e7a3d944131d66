"""Deleting a TradingEngine: Retain keeps the volume and its password, Delete keeps nothing, and neither hangs."""

import copy

from rtx_demo import database
from rtx_demo.engine import Engine
from rtx_demo.kubectl import Object
from rtx_demo.sample import Sample
from rtx_demo.traffic import Settings, Traffic
from rtx_demo.waiting import eventually

VOLUME = "data-rtx-postgres-0"
SECRETS = ("rtx-credentials", "rtx-internal")
A_LITTLE = Settings(rate=20, keep_alive=4, new_per_second=5, sockets=2, accounts=2, duration=3)


def test_what_is_kept_is_found_again_and_what_is_deleted_is_gone(sample: Sample) -> None:
    # given a small engine with orders in its database
    with sample.temporary(scaling={"minReplicas": 1, "maxReplicas": 1}) as engine:
        send_orders(engine)
        manifest, orders = applied(engine), count_orders(engine)
        secrets = {name: data(engine, name) for name in SECRETS}
        assert orders > 0

        # when it is deleted with deletionPolicy Retain, then its pods go, its volume and both Secrets stay
        engine.kubectl.delete("te", engine.name, engine.namespace)
        eventually(lambda: not engine.kubectl.list("pods", engine.namespace, LABEL), "no pods", deadline=120)
        assert engine.kubectl.get("pvc", VOLUME, engine.namespace)
        assert {name: data(engine, name) for name in SECRETS} == secrets

        # and when it is applied again, then it finds its orders, and the passwords are the same
        engine.kubectl.apply(manifest)
        engine.wait_until_ready()
        assert count_orders(engine) == orders
        assert {name: data(engine, name) for name in SECRETS} == secrets
        send_orders(engine)
        assert count_orders(engine) > orders

        # when it is deleted with deletionPolicy Delete, then nothing stays
        manifest["spec"]["deletionPolicy"] = "Delete"
        engine.kubectl.apply(manifest)
        eventually(lambda: owned(engine, "pvc", VOLUME), "a volume that goes with its engine")
        engine.kubectl.delete("te", engine.name, engine.namespace)
        eventually(lambda: not engine.kubectl.get("pvc", VOLUME, engine.namespace), "no volume", deadline=120)
        eventually(
            lambda: not any(engine.kubectl.get("secret", name, engine.namespace) for name in SECRETS), "no Secret"
        )


LABEL = "rtx-trading.com/engine=rtx"


def send_orders(engine: Engine) -> None:
    traffic = Traffic(engine.kubectl, engine, A_LITTLE)
    traffic.start()
    traffic.follow(lambda _: None)
    traffic.remove()


def count_orders(engine: Engine) -> int:
    return int(database.psql(engine, "SELECT count(*) FROM orders;"))


def applied(engine: Engine) -> Object:
    """The engine as its owner wrote it."""
    found = copy.deepcopy(engine.read())
    metadata = {key: found["metadata"][key] for key in ("name", "namespace")}
    return {"apiVersion": found["apiVersion"], "kind": found["kind"], "metadata": metadata, "spec": found["spec"]}


def data(engine: Engine, secret: str) -> dict[str, str]:
    found = engine.kubectl.get("secret", secret, engine.namespace)
    assert found, f"Secret {secret} is not there"
    values: dict[str, str] = found["data"]
    return values


def owned(engine: Engine, kind: str, name: str) -> bool:
    found = engine.kubectl.get(kind, name, engine.namespace)
    return bool(found and found["metadata"].get("ownerReferences"))
