"""Bad restores: each fails in one sentence, and nothing is harmed."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import restores
from rtx_demo import database
from rtx_demo.engine import Engine
from rtx_demo.sample import Sample
from rtx_demo.waiting import eventually
from rtx_operator.api.enums import ConditionType, Reason, RestorePhase
from upgrades import Upgrades, upgradable

REPOSITORY = "rtx-backup-0"


@pytest.fixture(scope="module")
def backed_up(sample: Sample) -> Iterator[Engine]:
    """A small engine whose first backup is in its repository, and some log since."""
    with upgradable(
        sample, scaling={"minReplicas": 1, "maxReplicas": 1}, backup={"type": "Volume", "storage": "1Gi"}
    ) as engine:
        engine.wait_for("BackupFresh", Reason.BACKED_UP, deadline=restores.DEADLINE_SECONDS)
        yield engine


def assert_refused(engine: Engine, name: str, words: str, **source: object) -> None:
    """It fails in one sentence, before anything is touched."""
    fence = Upgrades(engine).fence()
    restores.ask(engine, name, **source)
    ended = restores.ended(engine, name)
    assert ended["phase"] == RestorePhase.FAILED
    assert ended["reason"] == Reason.RESTORE_REFUSED
    assert words in ended["message"]
    assert "\n" not in ended["message"]
    assert Upgrades(engine).fence() == fence
    ready = engine.condition(ConditionType.READY)
    assert ready
    assert ready.status == "True"


def test_time_in_the_future_is_refused(backed_up: Engine) -> None:
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert_refused(backed_up, "future", "is in the future", time=later)


def test_time_before_the_oldest_backup_is_refused(backed_up: Engine) -> None:
    earlier = (datetime.now(UTC) - timedelta(days=400)).isoformat()
    assert_refused(backed_up, "pruned", "no backup in the repository had ended by", time=earlier)


def test_folder_that_has_no_backups_is_refused(backed_up: Engine) -> None:
    assert_refused(backed_up, "elsewhere", "no backups of this engine", newest=True, folder="/repository/nothing")


def test_backup_that_does_not_exist_is_refused(backed_up: Engine) -> None:
    assert_refused(backed_up, "nobody", "TradingEngineBackup nobody does not exist", backup="nobody")


def test_position_that_is_not_written_yet_is_refused(backed_up: Engine) -> None:
    assert_refused(backed_up, "far", "cannot be restored", lsn="FFFF/0")


def test_log_that_is_missing_is_refused(backed_up: Engine) -> None:
    # Given a file of the log that is gone from the repository, with others after it
    restores.back_up(backed_up, "before-the-gap")
    names = []
    for _ in range(3):
        database.psql(backed_up, "SELECT pg_logical_emit_message(true, 'test', 'x');")
        names.append(database.psql(backed_up, "SELECT pg_walfile_name(pg_switch_wal());").strip())
    sent = "SELECT last_archived_wal >= :'last' FROM pg_stat_archiver;"
    eventually(lambda: database.psql(backed_up, sent, last=names[-1]).strip() == "t", "the log", deadline=120)
    in_repository(backed_up, f"find /repository -name '{names[1]}-*' -delete")
    # Then
    assert_refused(backed_up, "gap", f"file {names[1]} of the log is missing", newest=True)


def test_damaged_backup_rolls_back(backed_up: Engine) -> None:
    # Given a backup whose files are damaged in the repository
    made = restores.back_up(backed_up, "damaged")
    kept, epoch = restores.orders(backed_up), Upgrades(backed_up).fence()["epoch"]
    folder = f"{made['folder']}/backup/main/{made['label']}"
    in_repository(backed_up, f"find {folder} -path '*bundle*' -type f -exec sh -c 'echo damage > \"$1\"' sh {{}} ';'")
    # When
    restores.ask(backed_up, "damaged", backup="damaged")
    ended = restores.ended(backed_up, "damaged")
    # Then the data are as before, and somebody executes on them
    assert (ended["phase"], ended["reason"]) == (RestorePhase.FAILED, Reason.RESTORE_FAILED)
    assert "\n" not in ended["message"]
    assert restores.orders(backed_up) == kept
    backed_up.wait_for(ConditionType.READY, Reason.SERVING)
    assert Upgrades(backed_up).fence()["epoch"] > epoch


def in_repository(engine: Engine, script: str) -> None:
    engine.kubectl.run("exec", REPOSITORY, "--namespace", engine.namespace, "--", "sh", "-ec", script)
