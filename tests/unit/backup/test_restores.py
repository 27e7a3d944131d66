"""Restores by real processes: what the Jobs of a restore run, on the volume of a database that has ended."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from backup_system import BackupSystem

FENCE = """
CREATE SCHEMA rtx_operator;
CREATE TABLE rtx_operator.execution_fence (epoch bigint PRIMARY KEY, executors text[] NOT NULL);
INSERT INTO rtx_operator.execution_fence VALUES (7, '{blue}')
"""


@pytest.fixture
def system(backup_system: BackupSystem) -> BackupSystem:
    """A database with orders and a fence, a full backup of it, and an order since."""
    backup_system.query("CREATE DATABASE trading_engine")
    backup_system.query(FENCE, "trading_engine")
    backup_system.query("CREATE TABLE orders AS SELECT 1 AS id")
    code, message = backup_system.back_up("full")
    assert code == 0, message
    order(backup_system, 2)
    return backup_system


def order(system: BackupSystem, number: int) -> datetime:
    """Writes an order; a time after its commit and before whatever comes next."""
    system.query(f"INSERT INTO orders VALUES ({number})")  # noqa: S608  # a number
    time.sleep(0.01)
    written = datetime.now(UTC)
    time.sleep(0.01)
    return written


def send_log(system: BackupSystem) -> str:
    """The name of the file of the log that was switched, once it is in the repository."""
    file = system.query("SELECT pg_walfile_name(pg_switch_wal())")
    system.until(f"SELECT last_archived_wal >= '{file}' FROM pg_stat_archiver", "t")  # noqa: S608  # a file's name
    return file


def at(moment: datetime) -> str:
    return f"--time={moment.isoformat()}"


def orders(system: BackupSystem) -> str:
    return system.query("SELECT string_agg(id::text, ',' ORDER BY id) FROM orders")


def stored(system: BackupSystem, name: str) -> Path:
    """A file of the log in the repository."""
    (found,) = Path(system.repository).rglob(f"{name}-*")
    return found


def test_table_that_was_dropped_is_there_as_it_was_a_moment_before(system: BackupSystem) -> None:
    # given
    before = order(system, 3)
    system.query("DROP TABLE orders")
    last = send_log(system)
    # when
    code, checked = system.check(at(before))
    system.shut_down()
    restored = system.restore(at(before))
    system.step("swap")
    # then
    assert code == 0, checked
    assert checked["check"]["wal_stop"] >= last
    assert datetime.fromtimestamp(checked["check"]["last_commit"], UTC) > before
    assert restored[0] == 0, restored
    with system.postgres():
        assert orders(system) == "1,2,3"
        assert system.query("SELECT pg_is_in_recovery()") == "f"
        assert system.query("SELECT count(*) FROM pg_settings WHERE name ~ 'recovery_target' AND setting ~ '20'") == "0"
        # and nobody executes on them, at the epoch that they had
        assert system.query("TABLE rtx_operator.execution_fence", "trading_engine") == "7|{}"


def test_restored_database_sends_its_log_to_a_folder_of_its_own_and_nothing_to_the_old_one(
    system: BackupSystem,
) -> None:
    # given
    old, before = system.repository, order(system, 3)
    order(system, 4)
    send_log(system)
    system.shut_down()
    there = sorted(Path(old).rglob("*"))
    assert system.restore(at(before), repository=old)[0] == 0
    system.step("swap")
    # when: the repository's own configuration still names the old folder
    system.incarnation = "second"
    system.write_configuration(only="database")
    with system.postgres():
        order(system, 5)
        system.query("SELECT pg_switch_wal()")
        system.until("SELECT failed_count > 0 FROM pg_stat_archiver", "t")
        assert sorted(Path(old).rglob("*")) == there
        system.write_configuration()
        code, message = system.back_up("full")
        # then
        assert code == 0, message
        assert message["backup"]["folder"] == system.repository
        assert sorted(Path(old).rglob("*")) == there
        # and the new folder can be restored by itself
        moment = order(system, 6)
        order(system, 7)
        send_log(system)
        system.shut_down()
    assert system.restore(at(moment), restore="r2")[0] == 0
    system.step("swap", restore="r2")
    with system.postgres():
        assert orders(system) == "1,2,3,5,6"


def test_each_kind_of_target_is_restored(system: BackupSystem) -> None:
    # given
    position = system.query("SELECT pg_current_wal_lsn()")
    order(system, 3)
    send_log(system)
    label = system.check("--newest")[1]["check"]["backup"]["label"]
    kinds = {
        "newest": (["--newest"], "1,2,3"),
        "label": ([f"--label={label}"], "1"),
        "lsn": ([f"--lsn={position}"], "1,2"),
    }
    assert [system.check(*words)[0] for words, _ in kinds.values()] == [0, 0, 0]
    system.shut_down()
    source = system.repository
    for kind, (words, found) in kinds.items():
        # when
        code, message = system.restore(*words, restore=kind, repository=source)
        system.step("swap", restore=kind)
        system.incarnation = kind
        system.write_configuration(only="database")
        # then
        assert code == 0, message
        with system.postgres():
            assert orders(system) == found
            system.shut_down()
        system.step("undo", restore=kind)


def test_data_of_before_come_back_until_they_are_given_up(system: BackupSystem) -> None:
    # given
    before = order(system, 3)
    order(system, 4)
    send_log(system)
    system.shut_down()
    system.restore(at(before))
    # when: a pod ends between any two steps, and another one begins anew
    for _ in range(2):
        system.step("swap")
    with system.postgres():
        assert orders(system) == "1,2,3"
        system.shut_down()
    for _ in range(2):
        system.step("undo")
    # then
    with system.postgres():
        assert orders(system) == "1,2,3,4"
        system.step("forget")
        assert not list(system.folder.glob("data-*"))


def test_log_on_its_way_is_waited_for(system: BackupSystem) -> None:
    # given: the switch comes a moment later
    moment = order(system, 3)
    order(system, 4)
    system.query("SELECT pg_sleep(0)")
    assert system.check(at(moment))[0] == 1
    # when
    system.query("SELECT pg_switch_wal()")
    # then
    code, message = system.check(at(moment), wait=60)
    assert code == 0, message


def test_target_that_cannot_be_restored_is_refused_in_one_sentence(system: BackupSystem) -> None:
    # given
    order(system, 3)
    send_log(system)
    ago, soon = datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) + timedelta(hours=1)
    # then
    for target, words in {
        at(soon): "is in the future",
        at(datetime.now(UTC)): "name an earlier time, or newest: true",
        at(ago): "no backup in the repository had ended by",
        "--label=20200101-000000F": "is not in the repository any more: the oldest one",
        "--lsn=7/0": "position 7/0 cannot be restored",
        "--lsn=0/1": "no backup in the repository had ended at position 0/1",
    }.items():
        code, message = system.check(target)
        assert code == 1, target
        assert words in message["error"]
        assert "\n" not in message["error"]


def test_repository_of_another_database_is_refused_in_one_sentence(system: BackupSystem) -> None:
    # when
    code, message = system.check("--newest", repository=f"{system.folder}/store/elsewhere")
    # then
    assert code == 1
    assert "no backups of this engine" in message["error"]


def test_bucket_that_is_not_that_of_the_backups_is_refused_in_one_sentence(system_with_bucket: BackupSystem) -> None:
    # given
    system = system_with_bucket
    assert system.back_up("full")[0] == 0
    configuration = system.folder / "database/pgbackrest.conf"
    secrets = system.folder / "database/secret"
    elsewhere = configuration.read_text().replace("s3-bucket=backups", "s3-bucket=others")
    wrong = {
        configuration: (elsewhere, "the repository cannot be read: [ProtocolError] HTTP request failed with 404"),
        secrets / "PGBACKREST_REPO1_S3_KEY_SECRET": ("wrong", "403"),
        secrets / "PGBACKREST_REPO1_CIPHER_PASS": ("wrong", "unable to load info file"),
    }
    for file, (text, words) in wrong.items():
        right = file.read_text()
        file.write_text(text)
        # when
        code, message = system.check("--newest")
        # then
        assert code == 1
        assert words in message["error"]
        assert "\n" not in message["error"]
        # and nothing was harmed
        file.write_text(right)
        assert system.check("--newest")[0] == 0


def test_log_that_is_missing_bounds_what_can_be_restored(system: BackupSystem) -> None:
    # given
    early = order(system, 3)
    order(system, 4)
    send_log(system)
    order(system, 5)
    lost = send_log(system)
    late = order(system, 6)
    order(system, 7)
    send_log(system)
    stored(system, lost).unlink()
    # then
    for target in ("--newest", at(late)):
        code, message = system.check(target)
        assert code == 1
        assert f"file {lost} of the log is missing" in message["error"]
    assert system.check(at(early))[0] == 0


@pytest.mark.parametrize("what", ["backup", "log"])
def test_damaged_file_fails_in_one_sentence_and_harms_nothing(system: BackupSystem, what: str) -> None:
    # given
    before = order(system, 3)
    system.query("DROP TABLE orders")
    file = stored(system, send_log(system))
    order_of_nobody(system)
    send_log(system)
    if what == "backup":
        file = max(Path(system.repository).glob("backup/main/*F/bundle/*"), key=lambda one: one.stat().st_size)
    content = bytearray(file.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    file.write_bytes(content)
    system.shut_down()
    # when
    code, message = system.restore(at(before))
    # then
    assert code == 1
    assert "\n" not in message["error"]
    assert not list(system.folder.glob("data-*"))
    with system.postgres():
        assert system.query("SELECT to_regclass('orders') IS NULL") == "t"


def order_of_nobody(system: BackupSystem) -> None:
    system.query("CREATE TABLE others ()")


def test_restore_says_what_room_it_lacks(system: BackupSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    # given
    program = system.folder / "programs/rtx_backup/restore.py"
    program.write_text(program.read_text().replace("ROOM_FACTOR = 256 * 1024 * 1024", "ROOM_FACTOR = 1 << 60"))
    system.shut_down()
    # when
    code, message = system.restore("--newest")
    # then
    assert code == 1
    assert "confirm earlier restores" in message["error"]
