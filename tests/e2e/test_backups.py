"""Backups of a real engine: the first one, one on demand, and the one with which an upgrade begins."""

from collections.abc import Iterator

import pytest
from rtx_demo.engine import Engine
from rtx_demo.kubectl import Object
from rtx_demo.sample import Sample
from rtx_demo.waiting import eventually
from rtx_operator.api.enums import BackupPhase, CutoverPhase, Reason
from upgrades import NEW_VERSION, Upgrades, upgradable

DEADLINE_SECONDS = 240.0


@pytest.fixture
def backed_up(sample: Sample) -> Iterator[Engine]:
    """A small engine whose first backup is in its repository."""
    with upgradable(
        sample, scaling={"minReplicas": 1, "maxReplicas": 1}, backup={"type": "Volume", "storage": "1Gi"}
    ) as engine:
        engine.wait_for("BackupFresh", Reason.BACKED_UP, deadline=DEADLINE_SECONDS)
        yield engine


def test_backups_are_made_by_themselves_on_demand_and_before_an_upgrade(backed_up: Engine) -> None:
    # Given an engine with its first backup, which is full.
    (first,) = backups(backed_up)
    assert first["status"]["made"]["type"] == "Full"
    assert first["status"]["made"]["walVerified"] is True

    # When somebody asks for one.
    backed_up.kubectl.apply(wanted(backed_up, "now"))

    # Then it is made, incremental, and never changes again.
    eventually(lambda: phase(backed_up, "now") == BackupPhase.SUCCEEDED, "the backup", deadline=DEADLINE_SECONDS)
    made = read(backed_up, "now")["status"]
    assert made["made"]["type"] == "Incremental"
    assert made["repository"]["count"] == 2

    # When the engine is upgraded.
    cutover = Upgrades(backed_up).upgrade(NEW_VERSION, deadline=DEADLINE_SECONDS)

    # Then the upgrade began with a backup of its own.
    assert cutover["phase"] == CutoverPhase.SUCCEEDED
    assert CutoverPhase.BACKING_UP in cutover["seconds"]
    assert backed_up.read()["status"]["backup"]["count"] == 3
    assert read(backed_up, "now")["status"] == made


def test_pods_of_backups_have_no_token_and_no_other_way_out(backed_up: Engine) -> None:
    for pod in backed_up.kubectl.list(
        "pods", backed_up.namespace, "app.kubernetes.io/component in (backup,repository)"
    ):
        volumes = [
            source for volume in pod["spec"]["volumes"] for source in volume.get("projected", {}).get("sources", [])
        ]
        assert not any("serviceAccountToken" in source for source in volumes), pod["metadata"]["name"]


def wanted(engine: Engine, name: str) -> Object:
    return {
        "apiVersion": "rtx-trading.com/v1alpha1",
        "kind": "TradingEngineBackup",
        "metadata": {"name": name, "namespace": engine.namespace},
        "spec": {"engine": engine.name},
    }


def backups(engine: Engine) -> list[Object]:
    return engine.kubectl.list("teb", engine.namespace, f"rtx-trading.com/engine={engine.name}")


def read(engine: Engine, name: str) -> Object:
    found = engine.kubectl.get("teb", name, engine.namespace)
    assert found
    return found


def phase(engine: Engine, name: str) -> str:
    return str((read(engine, name).get("status") or {}).get("phase", ""))
