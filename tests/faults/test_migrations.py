"""Migrations by the image that users run: up (the installation), down and up again, in a pod."""

import secrets
from collections.abc import Iterator

import pytest
from rtx_demo import database
from rtx_demo.engine import Engine
from rtx_demo.sample import Sample
from rtx_demo.waiting import eventually

TABLES = """
SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'schema_migrations' ORDER BY tablename;
"""


@pytest.fixture
def engine(sample: Sample) -> Iterator[Engine]:
    """One whose tables may go: only database trading_engine lets migrators in."""
    with sample.temporary(scaling={"minReplicas": 1, "maxReplicas": 1}) as engine:
        yield engine


def migrate(engine: Engine, *words: str) -> None:
    """Run `rtx-engine migrate …` in a pod made from the engine's own migration Job."""
    kubectl = engine.kubectl
    job = kubectl.list("jobs", engine.namespace, "app.kubernetes.io/component=migration")[0]
    spec = job["spec"]["template"]["spec"]
    spec["containers"][0]["args"] = ["migrate", *words]
    labels = {
        key: value for key, value in job["metadata"]["labels"].items() if not key.startswith("rtx-trading.com/")
    }  # not a child: the operator has no business with it
    name = f"drill-{secrets.token_hex(3)}"
    metadata = {"name": name, "namespace": engine.namespace, "labels": labels}
    kubectl.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    done = ("Succeeded", "Failed")
    eventually(lambda: phase(engine, name) in done, f"an end of rtx-engine migrate {' '.join(words)}", deadline=90)
    said = kubectl.run("logs", name, "--namespace", engine.namespace)
    assert phase(engine, name) == "Succeeded", said
    kubectl.delete("pod", name, engine.namespace)


def phase(engine: Engine, pod: str) -> str:
    found = engine.kubectl.get("pod", pod, engine.namespace) or {}
    name: str = found.get("status", {}).get("phase", "")
    return name


def test_down_and_up_again_by_the_image(engine: Engine) -> None:
    # given an engine whose installation migrated up
    before = tables(engine)
    assert "orders" in before

    # when they go down, then nothing is left of them
    migrate(engine, "down")
    assert tables(engine) == []

    # and when they go up again, then it is as before
    migrate(engine, "up")
    assert tables(engine) == before


def tables(engine: Engine) -> list[str]:
    return database.psql(engine, TABLES).split()
