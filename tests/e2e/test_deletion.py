"""Deleting a TradingEngine: Retain keeps the volume and its passwords, Delete keeps nothing, and neither hangs."""

import copy

import pytest
from rtx_demo import database
from rtx_demo.engine import Engine
from rtx_demo.kubectl import Object
from rtx_demo.sample import Sample
from rtx_demo.traffic import Settings, Traffic
from rtx_demo.waiting import eventually
from rtx_operator.api.enums import DeletionPolicy

VOLUME = "data-rtx-postgres-0"
SECRETS = ("rtx-credentials", "rtx-internal")
ENGINE_LABEL = "rtx-trading.com/engine=rtx"
SMALL_LOAD = Settings(rate=20, keep_alive=4, new_per_second=5, sockets=2, accounts=2, duration=3)


@pytest.mark.slow
def test_retain_keeps_data_for_the_next_engine_and_delete_removes_it(sample: Sample) -> None:
    # Given a small engine with orders in its database.
    with sample.temporary(scaling={"minReplicas": 1, "maxReplicas": 1}) as engine:
        send_orders(engine)
        manifest, orders = read_manifest(engine), count_orders(engine)
        secrets = {name: secret_data(engine, name) for name in SECRETS}
        assert orders > 0

        # When it is deleted with deletionPolicy Retain.
        engine.kubectl.delete("te", engine.name, engine.namespace)

        # Then its pods are removed, and its volume and both Secrets stay.
        eventually(lambda: not engine.kubectl.list("pods", engine.namespace, ENGINE_LABEL), "no pods", deadline=120)
        assert engine.kubectl.get("pvc", VOLUME, engine.namespace)
        assert {name: secret_data(engine, name) for name in SECRETS} == secrets

        # When it is applied again.
        engine.kubectl.apply(manifest)
        engine.wait_until_ready()

        # Then it has its orders and its passwords, and takes new orders.
        assert count_orders(engine) == orders
        assert {name: secret_data(engine, name) for name in SECRETS} == secrets
        send_orders(engine)
        assert count_orders(engine) > orders

        # When it is deleted with deletionPolicy Delete.
        manifest["spec"]["deletionPolicy"] = DeletionPolicy.DELETE.value
        engine.kubectl.apply(manifest)
        eventually(lambda: is_owned(engine, "pvc", VOLUME), "a volume owned by its engine")
        engine.kubectl.delete("te", engine.name, engine.namespace)

        # Then the volume and the Secrets are removed.
        eventually(lambda: not engine.kubectl.get("pvc", VOLUME, engine.namespace), "no volume", deadline=120)
        eventually(
            lambda: not any(engine.kubectl.get("secret", name, engine.namespace) for name in SECRETS), "no Secret"
        )


def send_orders(engine: Engine) -> None:
    traffic = Traffic(engine.kubectl, engine, SMALL_LOAD)
    traffic.start()
    traffic.follow(lambda _: None)
    traffic.remove()


def count_orders(engine: Engine) -> int:
    return int(database.psql(engine, "SELECT count(*) FROM orders;"))


def read_manifest(engine: Engine) -> Object:
    """The engine's manifest as its author wrote it: without status and generated metadata."""
    found = copy.deepcopy(engine.read())
    metadata = {key: found["metadata"][key] for key in ("name", "namespace")}
    return {"apiVersion": found["apiVersion"], "kind": found["kind"], "metadata": metadata, "spec": found["spec"]}


def secret_data(engine: Engine, secret: str) -> dict[str, str]:
    found = engine.kubectl.get("secret", secret, engine.namespace)
    assert found, f"Secret {secret} does not exist"
    values: dict[str, str] = found["data"]
    return values


def is_owned(engine: Engine, kind: str, name: str) -> bool:
    found = engine.kubectl.get(kind, name, engine.namespace)
    return bool(found and found["metadata"].get("ownerReferences"))
