"""Backups by real processes: PostgreSQL, pgBackRest's servers over TLS, a repository, and what a Job runs."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from backup_system import HOST, BackupSystem
from free_ports import free_port
from rtx_operator.desired.backup.pgbackrest import Bucket

KEEP_ONE = {"PGBACKREST_REPO1_RETENTION_FULL_TYPE": "count", "PGBACKREST_REPO1_RETENTION_FULL": "1"}


def test_full_backup_reports_what_it_made_and_restores_with_the_log_since(backup_system: BackupSystem) -> None:
    # given
    backup_system.query("CREATE TABLE orders AS SELECT generate_series(1, 1000) AS id")
    # when
    code, message = backup_system.back_up("full")
    backup_system.query("INSERT INTO orders VALUES (1001)")
    backup_system.query("SELECT pg_switch_wal()")
    backup_system.until("SELECT last_archived_wal >= '000000010000000000000003' FROM pg_stat_archiver", "t")
    # then
    assert code == 0, message
    made = message["backup"]
    assert made["type"] == "full"
    assert made["wal_verified"] is True
    assert made["bytes"] > made["stored_bytes"] > 0
    assert message["repository"]["count"] == 1
    with backup_system.restored(free_port()) as restored:
        assert restored.query("SELECT count(*) FROM orders") == "1001"


def test_incremental_backup_stores_only_what_changed(backup_system: BackupSystem) -> None:
    # given
    _, full = backup_system.back_up("full")
    backup_system.query("CREATE TABLE orders (id int)")
    # when
    code, message = backup_system.back_up("incr")
    # then
    assert code == 0, message
    assert message["backup"]["type"] == "incr"
    assert message["backup"]["stored_bytes"] < full["backup"]["stored_bytes"] / 2
    assert message["backup"]["lsn_start"] > full["backup"]["lsn_stop"]
    assert message["repository"]["count"] == 2


def test_bucket_takes_backups_and_log_and_gives_them_back(system_with_bucket: BackupSystem) -> None:
    # given
    system = system_with_bucket
    system.query("CREATE TABLE orders AS SELECT generate_series(1, 1000) AS id")
    # when
    codes = [system.back_up(kind)[0] for kind in ("full", "incr")]
    system.query("INSERT INTO orders VALUES (1001)")
    last = system.query("SELECT pg_walfile_name(pg_switch_wal())")
    system.until(f"SELECT last_archived_wal >= '{last}' FROM pg_stat_archiver", "t")  # noqa: S608  # a segment's name
    # then
    assert codes == [0, 0]
    with system.restored(free_port()) as restored:
        assert restored.query("SELECT count(*) FROM orders") == "1001"


def test_bucket_with_a_wrong_key_fails_in_one_sentence(system_with_bucket: BackupSystem) -> None:
    # given
    secret = system_with_bucket.folder / "repository/secret/PGBACKREST_REPO1_S3_KEY_SECRET"
    secret.write_text("wrong")
    # when
    code, message = system_with_bucket.back_up("full")
    # then
    assert code == 1
    assert "403" in message["error"]
    assert "wrong" not in message["error"]


def test_second_backup_waits_for_the_first_though_they_share_no_pod(backup_system: BackupSystem) -> None:
    # given
    assert backup_system.back_up("full")[0] == 0
    # when
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda pod: backup_system.back_up("incr", pod), ["one", "other"]))
    # then
    assert [code for code, _ in done] == [0, 0], done
    assert len({message["backup"]["label"] for _, message in done}) == 2


def test_servers_take_renewed_certificates_without_a_restart(backup_system: BackupSystem) -> None:
    # given
    before = backup_system.presented_certificates()
    # when
    backup_system.write_configuration(seed=b"another" * 5)
    # then
    wait_for(lambda: before.isdisjoint(backup_system.presented_certificates()))
    assert backup_system.back_up("full")[0] == 0


def test_client_of_another_authority_is_refused(backup_system: BackupSystem) -> None:
    # given
    backup_system.write_configuration(seed=b"a stranger's" * 3, only="repository")
    # when
    code, message = backup_system.back_up("full")
    # then
    assert code == 1
    assert "unable to verify certificate presented by 'localhost" in message["error"]


def test_wrong_passphrase_fails_in_one_sentence_and_harms_nothing(backup_system: BackupSystem) -> None:
    # given
    backup_system.back_up("full")
    right, backup_system.passphrase = backup_system.passphrase, "wrong"
    backup_system.write_configuration()
    # when
    code, message = backup_system.back_up("incr")
    # then
    assert code == 1
    assert "unable to load info file" in message["error"]
    assert "\n" not in message["error"]
    # and
    backup_system.passphrase = right
    backup_system.write_configuration()
    code, message = backup_system.back_up("incr")
    assert code == 0, message
    assert message["repository"]["count"] == 2


def test_database_without_the_keys_of_its_bucket_keeps_no_more_log_than_its_queue(backup_system: BackupSystem) -> None:
    # given: the user's Secret is gone
    backup_system.store = Bucket("backups", HOST, free_port(), "us-east-1", "path", has_own_ca=False)
    backup_system.queue_max_bytes = 1 << 20
    backup_system.write_configuration(only="database")
    for file in (backup_system.folder / "database/secret").iterdir():
        file.unlink()
    # when
    for _ in range(4):
        backup_system.query("SELECT pg_logical_emit_message(true, 'an', 'order')")
        backup_system.query("SELECT pg_switch_wal()")
    # then
    backup_system.until("SELECT archived_count >= 3 FROM pg_stat_archiver", "t")


def test_backup_that_fails_deletes_what_is_too_old_all_the_same(backup_system: BackupSystem) -> None:
    # given: a repository that is full takes no backup
    for _ in range(2):
        assert backup_system.back_up("full")[0] == 0
    backup_system.options = {**KEEP_ONE, "PGBACKREST_PG1_PORT": str(free_port())}
    # when
    code, message = backup_system.back_up("full")
    # then
    assert code == 1, message
    assert len(list((backup_system.folder / "store/first/backup/main").glob("2*F"))) == 1


def test_backup_is_made_though_what_is_too_old_cannot_be_deleted(backup_system: BackupSystem) -> None:
    # given: as with a bucket whose objects are locked
    assert backup_system.back_up("full")[0] == 0
    (old,) = (backup_system.folder / "store/first/backup/main").glob("2*F")
    backup_system.options = KEEP_ONE
    for folder in (old, *old.rglob("*/")):
        folder.chmod(0o500)
    # when
    code, message = backup_system.back_up("full")
    # then
    assert code == 0, message
    assert message["backup"]["wal_verified"] is True
    assert "was not deleted: [" in message["warning"]


@pytest.mark.slow
def test_backup_waits_for_a_log_whose_sending_failed_before_there_was_a_repository(
    backup_system: BackupSystem,
) -> None:
    # given
    backup_system.query("CREATE TABLE orders (id int)")
    backup_system.query("SELECT pg_switch_wal()")
    backup_system.until("SELECT failed_count >= 3 FROM pg_stat_archiver", "t")
    # when
    code, message = backup_system.back_up("full")
    # then
    assert code == 0, message
    assert message["backup"]["wal_verified"] is True


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)
