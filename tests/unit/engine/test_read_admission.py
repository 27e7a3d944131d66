"""Which reads are let in, which turn is next, and what is remembered of reads: decided without a database."""

import asyncio
from dataclasses import replace

import pytest
from rtx_engine.store import OverloadedError, TooManyWaitingError
from rtx_engine.store.read_admission import PRODUCTION, ReadAdmission, ReadLimits, Shared
from rtx_engine.store.recent_set import RecentSet
from rtx_engine.store.turns import Turns

ACCOUNT = 100


def admission(limits: ReadLimits = PRODUCTION, *, seconds_per_read: float, reads: int = 200) -> ReadAdmission:
    found = ReadAdmission(limits)
    for _ in range(reads):
        found.served(seconds_per_read)
    return found


@pytest.mark.parametrize(
    ("seconds_per_read", "room"),
    [
        (0.0001, PRODUCTION.max_waiting),
        (0.001, 500),
        (0.005, 100),
        (1.0, PRODUCTION.min_waiting),
    ],
)
def test_as_many_reads_may_wait_as_are_soon_served(seconds_per_read, room):
    assert admission(seconds_per_read=seconds_per_read).room == pytest.approx(room, abs=1)


def test_queue_is_short_only_while_reads_are_slow():
    found = admission(seconds_per_read=1.0)
    for _ in range(100):
        found.served(0.0001)

    assert found.room == PRODUCTION.max_waiting


def test_each_login_that_left_makes_room_for_another():
    found = ReadAdmission(replace(PRODUCTION, max_waiting_strangers=1))
    for _ in range(3):
        found.enter(Shared.STRANGERS)
        with pytest.raises(TooManyWaitingError):
            found.enter(Shared.STRANGERS)
        found.leave(Shared.STRANGERS)


def enter_as_often_as_let(found: ReadAdmission, owner: int) -> int:
    """How many reads of `owner` are let in. Then it is told that it asks too much, while there is a place."""
    for number in range(PRODUCTION.max_waiting):
        try:
            found.enter(owner)
        except (TooManyWaitingError, OverloadedError):
            return number
    return PRODUCTION.max_waiting


@pytest.mark.parametrize("seconds_per_read", [0.01, 0.031, 1.0])
def test_accounts_that_ask_too_much_take_no_place_from_the_next_one(seconds_per_read):
    found = admission(seconds_per_read=seconds_per_read)

    taken = [enter_as_often_as_let(found, account) for account in range(6)]

    assert taken[0] <= found.room / 4
    assert taken[-1] >= 1
    found.enter(ACCOUNT)


LOGINS = [(Shared.KNOWN, PRODUCTION.max_waiting_known), (Shared.STRANGERS, PRODUCTION.max_waiting_strangers)]


@pytest.mark.parametrize(("login", "places"), LOGINS)
def test_logins_are_let_in_when_the_queue_is_full(login, places):
    found = admission(seconds_per_read=1.0)
    for account in range(PRODUCTION.min_waiting):
        found.enter(account)
    with pytest.raises(OverloadedError):
        found.enter(ACCOUNT)

    for _ in range(places):
        found.enter(login)

    with pytest.raises(TooManyWaitingError):
        found.enter(login)


def test_logins_take_no_place_from_accounts():
    found = admission(seconds_per_read=1.0)
    for login, places in LOGINS:
        for _ in range(places):
            found.enter(login)

    for account in range(PRODUCTION.min_waiting):
        found.enter(account)


async def test_turn_that_comes_to_a_caller_who_gives_up_is_passed_on():
    turns = Turns[None]()
    await turns.acquire(None, ahead=False)
    first, second = (asyncio.ensure_future(turns.acquire(None, ahead=writes)) for writes in (False, True))
    await asyncio.sleep(0)
    turns.release()
    second.cancel()
    await asyncio.wait([first, second])
    assert second.cancelled()
    turns.release()
    await turns.acquire(None, ahead=False)


def test_what_was_found_a_moment_ago_is_forgotten_after_it():
    now = 0.0
    recent = RecentSet[str](seconds=10.0, maximum=2, clock=lambda: now)
    for name in ("one", "two", "three"):
        recent.add(name)
    assert [recent.has(name) for name in ("one", "two", "three")] == [False, True, True]
    now = 10.0
    assert not recent.has("two")
