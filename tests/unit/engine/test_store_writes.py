"""Writes of users and sessions: who asks over and over, beside others that must be able to write."""

import asyncio
import datetime as dt
import secrets
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from engine_pods import Pod
from rtx_engine.domain.accounts import Login
from rtx_engine.store import TooManyWaitingError

LIFETIME = dt.timedelta(hours=1)
PASSWORDS_PER_SECOND = 50  # what two threads hash
FLOOD_SECONDS = 3.0  # longer than a write may wait

Write = Callable[[Pod, Login], Awaitable[Any]]


async def log_in(pod: Pod, login: Login) -> None:
    assert await pod.store.users.open_session(login, secrets.token_bytes(32), LIFETIME)


async def change_password(pod: Pod, login: Login) -> None:
    await pod.store.users.change_password(login, "other hash", secrets.token_bytes(32), LIFETIME)


async def revoke(pod: Pod, login: Login) -> None:
    await pod.store.users.revoke(login)


async def refresh(pod: Pod, login: Login) -> None:
    assert await pod.store.users.session(login.account_id, secrets.token_bytes(32)) is None


@asynccontextmanager
async def over_and_over(write: Write, pod: Pod, login: Login):
    """Within, the user asks for it as often as passwords are looked at. Yields the outcomes so far."""
    writes: list[asyncio.Task[Any]] = []

    async def ask() -> None:
        while True:
            writes.append(asyncio.create_task(write(pod, login)))
            await asyncio.sleep(1 / PASSWORDS_PER_SECOND)

    asking = asyncio.create_task(ask())
    await asyncio.sleep(FLOOD_SECONDS)
    yield writes
    asking.cancel()
    await asyncio.wait([asking, *writes])


@pytest.mark.parametrize("write", [log_in, change_password])
async def test_user_who_writes_over_and_over_keeps_nobody_from_it(wired_pod, cable, write):
    # given a database whose answers take 10 ms, and a user who asks more often than it writes
    for name in ("mallory", "ada", "bob"):
        await wired_pod.open_account(name)
    mallory, ada, bob = [await wired_pod.store.users.named(name, known=True) for name in ("mallory", "ada", "bob")]
    cable.delay_seconds = 0.01
    async with over_and_over(write, wired_pod, mallory) as writes:
        # when others log in, refresh and change a password, and the administrator ends a theft
        outcomes: list[Any] = []
        for _ in range(5):
            asked = (
                log_in(wired_pod, ada),
                refresh(wired_pod, ada),
                change_password(wired_pod, bob),
                revoke(wired_pod, mallory),
            )
            outcomes += await asyncio.gather(*asked, return_exceptions=True)

    # then none of them is refused, and whoever asks too much is told so
    assert [one for one in outcomes if isinstance(one, Exception)] == []
    assert TooManyWaitingError in {type(done.exception()) for done in writes}


async def test_users_who_log_in_again_and_again_leave_turns_to_open_accounts(wired_pod, cable):
    # given a database whose answers take 10 ms, and users of whom each has a login under way
    for number in range(12):
        await wired_pod.open_account(f"user {number}")
    logins = [await wired_pod.store.users.named(f"user {number}", known=True) for number in range(12)]
    cable.delay_seconds = 0.01

    async def again_and_again(login: Login) -> None:
        while True:
            await log_in(wired_pod, login)

    flood = [asyncio.create_task(again_and_again(login)) for login in logins]
    await asyncio.sleep(0)
    # when the administrator opens accounts, then each is opened in time
    try:
        await asyncio.gather(*(wired_pod.open_account(f"new {number}") for number in range(16)))
    finally:
        for one in flood:
            one.cancel()
        await asyncio.wait(flood)
