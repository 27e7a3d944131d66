import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rtx_backup import info
from rtx_backup.info import Backup
from rtx_backup.retention import DAY_SECONDS, full_backups_with_log


def backup(label: str = "20261127-132233F", kind: str = "full", finished: int = 0) -> Backup:
    return Backup(label, kind, finished - 60, finished, 100, 10, "0/1", "0/2", "01", "02", has_errors=False)


def test_stanza_without_backups_is_an_empty_repository() -> None:
    missing = [{"name": "main", "status": {"code": 1, "message": "missing stanza path"}, "db": [], "backup": []}]
    assert info.read(json.dumps(missing)) == info.Repository()
    assert info.read("[]") == info.Repository()


def test_repository_that_cannot_be_read_says_why_in_one_sentence() -> None:
    message = "[ProtocolError] HTTP request failed with 403 (Forbidden):\n*** Path/Query ***:\nGET /a"
    said = [{"name": "main", "db": [], "repo": [{"status": {"code": 99, "message": message}}]}]
    assert info.read(json.dumps(said)).error == (
        "the repository cannot be read: [ProtocolError] HTTP request failed with 403 (Forbidden)"
    )


def test_repository_that_another_passphrase_opens_says_so_whatever_was_read() -> None:
    # given: pgBackRest quotes what it has read, and does not escape all of it
    message = "[CryptoError] unable to load info file '/a':\x01\x1f\ufffd"
    said = json.dumps([{"name": "main", "db": [], "repo": [{"status": {"code": 99, "message": message}}]}])
    said = said.replace("\\u0001", "\x01").replace("\\u001f", "\x1f")
    # then
    assert "unable to load info file '/a'" in info.read(said).error


def test_log_is_verified_only_when_its_first_and_last_file_are_there() -> None:
    repository = info.Repository((backup(),), wal_min="01", wal_max="02")
    assert repository.has_log_of(backup())
    assert not info.Repository((backup(),), wal_min="01", wal_max="01").has_log_of(backup())
    assert not info.Repository((backup(),)).has_log_of(backup())


def test_backup_that_was_made_is_the_one_that_pgbackrest_names() -> None:
    lines = [
        "2026-11-27 14:05:24.971 P00   INFO: backup stop archive = 000000010000000000000002, lsn = 0/2000100",
        "2026-11-27 14:05:24.980 P00   INFO: new backup label = 20261127-140447F_20261127-140524I",
        "2026-11-27 14:05:24.990 P00   INFO: incr backup size = 21.9MB, file total = 967",
    ]
    assert info.label_in(lines) == "20261127-140447F_20261127-140524I"
    assert info.label_in(lines[:1]) == ""


def test_cause_joins_the_lines_of_an_error_and_keeps_its_first_hint() -> None:
    lines = [
        "2026-11-27 14:05:24.971 P00   INFO: stanza-create command begin",
        "2026-11-27 14:05:25.971 P00  ERROR: [095]: unable to load info file 'a' or 'b':",
        "                                    CryptoError: unable to flush\ufffd",
        "                                    HINT: is or was the repo encrypted?",
        "                                    HINT: has a stanza-create been performed?",
        "2026-11-27 14:05:26.971 P00   INFO: stanza-create command end: aborted",
    ]
    assert info.cause_of(lines) == (
        "[095]: unable to load info file 'a' or 'b': CryptoError: unable to flush HINT: is or was the repo encrypted?"
    )


def test_cause_without_an_error_is_the_last_line() -> None:
    assert info.cause_of(["rtx-pgbackrest: not found"]) == "rtx-pgbackrest: not found"
    assert info.cause_of([]) == "pgBackRest said nothing"


@given(st.lists(st.integers(0, 60 * DAY_SECONDS), min_size=1, max_size=30), st.integers(1, 30))
def test_every_moment_of_the_promised_days_stays_restorable(ages: list[int], days: int) -> None:
    # given
    now = 100 * DAY_SECONDS
    backups = [backup(finished=now - age) for age in sorted(ages, reverse=True)]
    # when
    number = full_backups_with_log(backups, days, now)
    # then: log goes back to the last full backup from before these days, or to the first that there is
    kept = backups[-number:]
    before = [one for one in backups if now - one.finished >= days * DAY_SECONDS]
    assert (before[-1] if before else backups[0]) in kept
    # and no further
    assert len([one for one in kept if now - one.finished >= days * DAY_SECONDS]) <= 1


@pytest.mark.parametrize("kind", ["diff", "incr"])
def test_only_full_backups_count_for_the_log(kind: str) -> None:
    backups = [backup(finished=0), backup(kind=kind, finished=60), backup(finished=120)]
    assert full_backups_with_log(backups, 1, 200) == 2
