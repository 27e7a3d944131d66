"""Migrations run by the users' image in a pod: up by the installation, then down, then up again."""

import secrets
from collections.abc import Iterator

import pytest
from rtx_demo import database
from rtx_demo.engine import Engine
from rtx_demo.sample import Sample
from rtx_demo.waiting import eventually
from rtx_operator.api.names import Label

MIGRATE_DEADLINE_SECONDS = 90
POD_ENDED = ("Succeeded", "Failed")  # Kubernetes' pod phases, not a cutover's
TABLES_SQL = """
SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'schema_migrations' ORDER BY tablename;
"""


@pytest.fixture
def engine(sample: Sample) -> Iterator[Engine]:
    """An engine of the test's own, because the test drops its tables: migrators may open no other database."""
    with sample.temporary(scaling={"minReplicas": 1, "maxReplicas": 1}) as engine:
        yield engine


def migrate(engine: Engine, *words: str) -> None:
    """Run `rtx-engine migrate …` in a pod made from the engine's own migration Job."""
    kubectl = engine.kubectl
    job = kubectl.list("jobs", engine.namespace, "app.kubernetes.io/component=migration")[0]
    spec = job["spec"]["template"]["spec"]
    spec["containers"][0]["args"] = ["migrate", *words]
    of_cutover = {Label.CUTOVER, Label.COLOUR, Label.REVISION}  # without them it is no pod of an upgrade's Job
    labels = {key: value for key, value in job["metadata"]["labels"].items() if key not in of_cutover}
    name = f"drill-{secrets.token_hex(3)}"
    metadata = {"name": name, "namespace": engine.namespace, "labels": labels}
    kubectl.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    command = f"rtx-engine migrate {' '.join(words)}"
    eventually(
        lambda: pod_phase(engine, name) in POD_ENDED, f"{command} that has ended", deadline=MIGRATE_DEADLINE_SECONDS
    )
    logs = kubectl.run("logs", name, "--namespace", engine.namespace)
    assert pod_phase(engine, name) == "Succeeded", f"{command} failed: {logs}"
    kubectl.delete("pod", name, engine.namespace)


def pod_phase(engine: Engine, pod: str) -> str:
    found = engine.kubectl.get("pod", pod, engine.namespace) or {}
    name: str = found.get("status", {}).get("phase", "")
    return name


def test_image_migrates_down_and_up_again(engine: Engine) -> None:
    # Given an engine whose installation has run all migrations.
    before = tables(engine)
    assert "orders" in before

    # When the image migrates down.
    migrate(engine, "down")

    # Then no table is left.
    assert tables(engine) == []

    # When the image migrates up again.
    migrate(engine, "up")

    # Then the tables are the same as before.
    assert tables(engine) == before


def tables(engine: Engine) -> list[str]:
    return database.psql(engine, TABLES_SQL).split()
