"""A table is dropped by hand, and the database restored to the moment before."""

import time
from collections.abc import Iterator

import pytest
import restores
from loads import assert_kept, running_load
from rtx_demo import database
from rtx_demo.engine import Engine
from rtx_demo.sample import Sample
from rtx_demo.waiting import eventually
from rtx_operator.api.enums import ConditionType, Reason, RestorePhase
from upgrades import Upgrades, upgradable

LOAD_SECONDS = 3.0


@pytest.fixture
def backed_up(sample: Sample) -> Iterator[Engine]:
    """A small engine whose first backup is in its repository."""
    with upgradable(
        sample, scaling={"minReplicas": 1, "maxReplicas": 1}, backup={"type": "Volume", "storage": "1Gi"}
    ) as engine:
        engine.wait_for("BackupFresh", Reason.BACKED_UP, deadline=restores.DEADLINE_SECONDS)
        yield engine


def test_dropped_table_is_restored_to_the_moment_before(backed_up: Engine) -> None:
    # Given orders, and a table that somebody drops.
    with running_load(backed_up) as load:
        time.sleep(LOAD_SECONDS)
        load.end()
    placed, epoch = restores.orders(backed_up), Upgrades(backed_up).fence()["epoch"]
    assert placed
    before = restores.moment(backed_up)
    database.psql(backed_up, "DROP TABLE orders CASCADE;")

    # When the database is restored to the moment before.
    restores.ask(backed_up, "before-the-drop", time=before)
    ended = restores.ended(backed_up, "before-the-drop")

    # Then all orders are there, the active colour executes at a higher epoch, and a first backup of the data is made.
    assert ended["phase"] == RestorePhase.SUCCEEDED, ended
    assert restores.orders(backed_up) == placed
    backed_up.wait_for(ConditionType.READY, Reason.SERVING)
    assert Upgrades(backed_up).fence()["epoch"] > epoch
    with running_load(backed_up) as load:
        time.sleep(LOAD_SECONDS)
        assert_kept(load.verdict())
    backed_up.wait_for("BackupFresh", Reason.BACKED_UP, deadline=restores.DEADLINE_SECONDS)

    # When that is confirmed, then the data of before are deleted.
    assert ended["keepsEarlierData"] is True
    restores.confirm(backed_up, "before-the-drop")
    eventually(
        lambda: restores.status(backed_up, "before-the-drop").get("keepsEarlierData", False) is False,
        "the data of before to be deleted",
        deadline=restores.DEADLINE_SECONDS,
    )
