"""A cache with Sentinels, by the image's own scripts with real processes: nobody loses what any member still has."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from cache_members import Cache, Member, eventually

KEYS = 50


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    if shutil.which("redis-server") is None:
        pytest.skip("needs Redis: apt-get install redis-server")
    cache = Cache(tmp_path)
    yield cache
    cache.stop()


@pytest.fixture
def filled(cache: Cache) -> Cache:
    """Three members with the same keys; the first is the master."""
    cache.start()
    fill(cache.settled())
    eventually(lambda: sizes(cache) == [KEYS] * 3, "the replicas have the keys")
    return cache


def fill(master: Member) -> None:
    for number in range(KEYS):
        assert master.ask("set", f"key-{number}", "value") == "OK"


def sizes(cache: Cache) -> list[int]:
    answers = [one.ask("dbsize") for one in cache.members]
    return [int(answer) if answer.isdigit() else -1 for answer in answers]


def assert_whole(cache: Cache) -> Member:
    """All members have the keys, and one is the master."""
    master = cache.settled()
    assert sizes(cache) == [KEYS] * 3
    return master


def test_first_member_begins_as_master(cache: Cache) -> None:
    cache.start()

    assert cache.settled() is cache.members[0]


@pytest.mark.parametrize("way", ["killed", "frozen"])
def test_another_member_takes_over_from_a_master_that_is_lost(filled: Cache, way: str) -> None:
    old = filled.members[0]
    if way == "killed":
        old.kill()
    else:
        old.signal(signal.SIGSTOP)

    eventually(lambda: any(one.role == "master" for one in filled.members[1:]), "another master")

    if way == "killed":
        old.start()
    else:
        old.signal(signal.SIGCONT)
    assert assert_whole(filled) is not old


def test_another_member_takes_over_from_a_master_that_no_sentinel_has_seen(filled: Cache) -> None:
    # Given Sentinels that have lost what they knew
    for member in filled.members:
        member.kill("sentinel")
        shutil.rmtree(member.folder / "data" / "sentinel")

    # When they start without the master
    filled.members[0].kill()
    for member in filled.members[1:]:
        member.start("sentinel")

    # Then another member takes over, once they know each other
    eventually(lambda: any(one.role == "master" for one in filled.members[1:]), "another master")


def test_master_that_is_born_again_empty_wipes_nobody(filled: Cache) -> None:
    # Given a master whose pod and volume are lost, and come back before the Sentinels miss it
    old = filled.members[0]
    old.kill()
    old.lose_volume()
    old.start()

    # Then it waits, becomes a replica of another one, and gets all keys back
    assert assert_whole(filled) is not old
    assert "another member may have some" in old.log


def test_member_that_waits_ends_when_it_is_told_to(cache: Cache) -> None:
    # Given a member without data that nobody answers
    [first, *_] = cache.members
    first.start("entrypoint")
    eventually(lambda: "another member may have some" in first.log, "it waits")

    # When its pod ends, then it does at once, and says so by its exit code
    process = first.processes["entrypoint"]
    process.terminate()
    eventually(lambda: process.poll() is not None, "it ends")
    assert process.returncode == 143


def test_whole_cache_that_restarts_goes_on_with_its_keys(filled: Cache) -> None:
    filled.stop()
    filled.start()

    assert_whole(filled)


def test_whole_cache_that_restarts_without_the_masters_volume_goes_on_with_its_keys(filled: Cache) -> None:
    filled.stop()
    filled.members[0].lose_volume()
    filled.start()

    assert_whole(filled)


@pytest.mark.parametrize("restarts", [1, 2])
def test_member_without_data_does_not_take_over_from_a_master_that_is_lost(filled: Cache, restarts: int) -> None:
    # Given a master that is not the preferred member
    first, master, last = filled.members
    first.run("hand-over")
    assert assert_whole(filled) is master

    # When all end, and neither the master nor the preferred member's volume comes back
    filled.stop()
    first.lose_volume()
    last.start()
    eventually(lambda: last.role == "slave", "it has all keys, and no master")
    for _ in range(restarts):
        first.kill()
        first.start("entrypoint")
        eventually(lambda: first.role == "slave", "it has nothing, and no master")
    first.start("sentinel")

    # Then the one that has the keys is the next master, and gives them to the others
    eventually(lambda: "master" in {first.role, last.role}, "another master")
    master.start()
    assert assert_whole(filled) is last


def test_master_hands_over_before_it_ends(filled: Cache) -> None:
    old = filled.members[0]

    old.run("hand-over")

    assert filled.members[1].role == "master"  # preferred to the last
    assert assert_whole(filled) is filled.members[1]
    filled.members[2].run("hand-over")  # of a replica changes nothing
    assert assert_whole(filled) is filled.members[1]


def test_another_password_goes_round_by_a_rolling_restart(filled: Cache) -> None:
    # When members restart with another password, each once the one before is ready
    filled.password = "another"
    for member in reversed(filled.members):
        member.kill()
        member.start()
        eventually(lambda one=member: one.is_ready, "it does not wait for a master that refuses it")

    assert_whole(filled)


def test_another_password_is_that_of_all_after_a_restart(filled: Cache) -> None:
    # Given members that restart one after the other, from the last on, with another password
    filled.password = "another"
    for member in reversed(filled.members):
        member.kill()
        member.start()

    assert_whole(filled)


def test_single_server_becomes_one_of_three_and_single_again(cache: Cache) -> None:
    # Given a Redis that is alone
    first = cache.members[0]
    first.start("entrypoint", alone=True)
    eventually(lambda: first.role == "master", "it serves")
    fill(first)

    # When two more are there, and it restarts as one of three
    for member in cache.members[1:]:
        member.start()
    eventually(lambda: sizes(cache) == [KEYS] * 3, "they have its keys")
    first.kill()
    first.start()
    assert_whole(cache)

    # And when it is alone again
    cache.stop()
    first.start("entrypoint", alone=True)
    eventually(lambda: first.role == "master", "it serves")
    assert first.ask("dbsize") == str(KEYS)
