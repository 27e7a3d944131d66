"""Which writes of users and sessions are let in, and whose turn is next: decided without a database."""

import asyncio

import pytest
from rtx_engine.store import TooManyWaitingError
from rtx_engine.store.rotation import Rotation
from rtx_engine.store.turns import Turns
from rtx_engine.store.write_admission import PRODUCTION, WriteAdmission, WriteKind, WriteOwner

USER, OTHER = 1, 2


@pytest.mark.parametrize("kind", [WriteKind.LOGIN, WriteKind.PASSWORD, WriteKind.REVOCATION])
def test_user_whose_writes_wait_is_refused_alone(kind):
    admission = WriteAdmission()
    for _ in range(PRODUCTION.max_of_user):
        admission.enter(WriteOwner(kind, USER))

    with pytest.raises(TooManyWaitingError):
        admission.enter(WriteOwner(kind, USER))

    admission.enter(WriteOwner(kind, OTHER))
    admission.leave(WriteOwner(kind, USER))
    admission.enter(WriteOwner(kind, USER))


@pytest.mark.parametrize("kind", list(WriteKind))
def test_writes_of_one_kind_take_no_place_from_the_others(kind):
    # given as many users as may wait with writes of a kind
    admission = WriteAdmission()
    for user in range(PRODUCTION.max_of_kind):
        admission.enter(WriteOwner(kind, user))
    with pytest.raises(TooManyWaitingError):
        admission.enter(WriteOwner(kind, PRODUCTION.max_of_kind))

    for other in set(WriteKind) - {kind}:
        admission.enter(WriteOwner(other, USER))


def test_accounts_are_opened_many_at_once():
    admission = WriteAdmission()
    for number in range(PRODUCTION.max_of_kind):
        admission.enter(WriteOwner(WriteKind.OPENING, f"user {number}"))
    with pytest.raises(TooManyWaitingError):
        admission.enter(WriteOwner(WriteKind.OPENING, "another user"))


def test_owners_take_turns_however_much_one_of_them_asks():
    rotation = Rotation[str, str]()
    for owner, item in (("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("c", "c1"), ("b", "b2")):
        rotation.add(owner, item)
    rotation.discard("c", "c1")

    assert [rotation.take() for _ in range(5)] == ["a1", "b1", "a2", "b2", "a3"]
    assert not rotation


async def turns_of(*owners: tuple[str, bool], cancel: int | None = None) -> list[str]:
    """Who had a turn, in order, of these who asked while somebody else had it: (owner, whether it is urgent)."""
    turns = Turns[str]()
    had: list[str] = []
    deadline = asyncio.get_running_loop().time() + 20.0

    async def write(owner: str, *, urgent: bool) -> None:
        async with turns.take(owner, deadline, ahead=urgent):
            had.append(owner)

    async with turns.take("somebody else", deadline):
        tasks = [asyncio.create_task(write(owner, urgent=urgent)) for owner, urgent in owners]
        await asyncio.sleep(0)
        if cancel is not None:
            tasks[cancel].cancel()
    await asyncio.wait(tasks)
    return had


async def test_what_is_urgent_goes_ahead_of_all_others_but_one():
    logins = [(f"login {number}", False) for number in range(3)]
    urgent = [(f"revocation {number}", True) for number in range(2)]

    assert await turns_of(*logins, *urgent) == ["revocation 0", "login 0", "revocation 1", "login 1", "login 2"]


async def test_turn_of_a_caller_who_gives_up_is_the_next_ones():
    assert await turns_of(("one", False), ("two", False), ("three", False), cancel=0) == ["two", "three"]
