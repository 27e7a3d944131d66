"""Reads under pressure: too many are refused at once, and none that waits or gives up costs anybody a connection."""

import asyncio
import datetime as dt
import time
from collections.abc import Awaitable, Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from cables import Cable
from engine_pods import Pod
from rtx_engine.domain.entries import EntryKind
from rtx_engine.domain.transfers import Transfer
from rtx_engine.store import (
    OrderError,
    OrderErrorReason,
    OverloadedError,
    TooManyWaitingError,
    UnavailableError,
    token_rules,
)
from rtx_engine.store.journal import MAX_TRANSFERS
from rtx_engine.store.read_admission import PRODUCTION
from rtx_engine.store.session import USE_TIMEOUT_SECONDS
from rtx_engine.store.writer import Limits

TIMEOUT_SECONDS = 20.0
ACCOUNT = 100  # which nobody has opened


@pytest.fixture(autouse=True)
def no_reads_but_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pod reads which tokens count when it starts, and then never again."""
    monkeypatch.setattr(token_rules, "POLL_INTERVAL_SECONDS", 3600.0)


async def waiting(*reads: Awaitable[Any]) -> "list[asyncio.Future[Any]]":
    """`reads`, each of which has its place in the queue or has been refused."""
    tasks = [asyncio.ensure_future(read) for read in reads]
    for _ in range(5):  # a read that callers share is a task of its own, whose outcome comes to them
        await asyncio.sleep(0)
    return tasks


async def outcomes_of(reads: "Iterable[asyncio.Future[Any]]") -> list[Any]:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        return await asyncio.gather(*reads, return_exceptions=True)


async def start_wired(start_pod, database, cable: Cable, **limits: float) -> Pod:
    """A pod behind the cable whose connections are all open. How quick this machine is decides of no read."""
    address = replace(database.engine, port=cable.port)
    unhurried = {"max_expected_wait_seconds": TIMEOUT_SECONDS, "wait_seconds": TIMEOUT_SECONDS}
    pod: Pod = await start_pod(address=address, read_limits=replace(PRODUCTION, **(unhurried | limits)))
    await pod.store.reader.sequences([])  # behind what a pod reads when it starts
    await pod.place(await pod.open_account("ada"), "first")
    return pod


async def test_reads_that_wait_too_long_cost_no_connection(start_pod, database, cable):
    # given a read that takes longer than those behind it may wait
    pod = await start_wired(start_pod, database, cable, wait_seconds=0.2)
    opened = cable.connections
    cable.hold()
    first, *others = await waiting(*(pod.store.reader.positions(account) for account in range(100, 110)))

    refusals = await outcomes_of(others)
    cable.release()

    assert {type(refusal) for refusal in refusals} <= {UnavailableError, OverloadedError}  # the machine may be late
    assert await first == []
    assert await pod.store.reader.positions(ACCOUNT) == []
    assert cable.connections == opened


async def test_strangers_that_wait_too_long_are_too_many(start_pod, database, cable):
    # given a read that takes longer than those behind it may wait
    pod = await start_wired(start_pod, database, cable, wait_seconds=0.2)
    cable.hold()
    users = pod.store.users
    first, *strangers = await waiting(
        pod.store.reader.positions(ACCOUNT),
        users.named("ada", known=False),
        users.named("ada", known=True),
    )

    refusals = await outcomes_of(strangers)
    cable.release()

    # then nobody says that the database failed: strangers can bring that about
    assert {type(refusal) for refusal in refusals} == {TooManyWaitingError}
    assert await first == []


async def test_pod_that_is_late_blames_no_database(start_pod, database, cable):
    # given a read under way, and one behind it
    pod = await start_wired(start_pod, database, cable, wait_seconds=0.5, read_seconds=0.5)
    cable.hold()
    reader = pod.store.reader
    reads = await waiting(reader.positions(ACCOUNT), reader.positions(ACCOUNT + 1), reader.sequences([]))
    for _ in range(5):
        await asyncio.sleep(0)  # the first begins

    # when the event loop is busy for longer than each may take
    time.sleep(2.0)  # noqa: ASYNC251  # this is what blocks the loop

    # then clients are told so, and the pod's own tasks are told what they are used to
    kinds = [type(outcome) for outcome in await outcomes_of(reads)]
    assert kinds == [OverloadedError, OverloadedError, UnavailableError]
    cable.release()


async def test_read_has_its_whole_time_whenever_its_turn_comes(start_pod, database, cable):
    # given reads that together take longer than one of them may
    pod = await start_wired(start_pod, database, cable)
    opened = cable.connections
    cable.delay_seconds = USE_TIMEOUT_SECONDS / 6
    reads = await waiting(*(pod.store.reader.positions(account) for account in range(100, 108)))

    assert await outcomes_of(reads) == [[]] * 8
    assert cable.connections == opened


async def test_caller_that_gives_up_costs_no_connection(wired_pod, cable):
    # given a read under way, and one behind it
    reader = wired_pod.store.reader
    await reader.positions(ACCOUNT)
    opened = cable.connections
    cable.hold()
    first, second = await waiting(reader.positions(ACCOUNT), reader.positions(ACCOUNT + 1))

    first.cancel()
    await asyncio.wait([first])
    cable.release()

    assert await second == []
    assert cable.connections == opened


async def test_caller_that_gives_up_its_place_makes_room(start_pod, database, cable):
    pod = await start_wired(start_pod, database, cable, max_waiting_per_account=1)
    cable.hold()
    under_way, first, refused = await waiting(*(pod.store.reader.positions(ACCOUNT) for _ in range(3)))
    first.cancel()
    await asyncio.wait([first])

    (again,) = await waiting(pod.store.reader.positions(ACCOUNT))
    cable.release()

    assert isinstance(refused.exception(), TooManyWaitingError)
    assert await outcomes_of([under_way, again]) == [[], []]


async def test_read_is_refused_at_once_when_too_many_wait(start_pod, database, cable):
    pod = await start_wired(start_pod, database, cable, max_waiting=20)
    cable.hold()

    *admitted, refused = await waiting(*(pod.store.reader.positions(account) for account in range(100, 122)))
    assert isinstance(refused.exception(), OverloadedError)
    cable.release()

    assert await outcomes_of(admitted) == [[]] * 21  # one is under way


async def test_account_that_asks_too_much_is_refused_alone(start_pod, database, cable):
    pod = await start_wired(start_pod, database, cable)
    cable.hold()
    await waiting(pod.store.reader.positions(ACCOUNT))

    mine = await waiting(*(pod.store.reader.positions(ACCOUNT) for _ in range(PRODUCTION.max_waiting_per_account + 1)))
    (other,) = await waiting(pod.store.reader.positions(ACCOUNT + 1))

    assert isinstance(mine[-1].exception(), TooManyWaitingError)
    cable.release()
    assert await outcomes_of([*mine[:-1], other]) == [[]] * (PRODUCTION.max_waiting_per_account + 1)


async def test_administrator_looks_up_an_account_that_asks_too_much(start_pod, database, cable):
    pod = await start_wired(start_pod, database, cable, max_waiting_per_account=1)
    cable.hold()
    _, _, refused = await waiting(*(pod.store.reader.events_since(ACCOUNT, 0, owner=ACCOUNT) for _ in range(3)))
    (by_admin,) = await waiting(pod.store.users.of_account(ACCOUNT))
    cable.release()

    assert isinstance(refused.exception(), TooManyWaitingError)
    assert await by_admin is None


async def test_change_of_a_password_is_refused_for_no_other_request_of_the_account(start_pod, database, cable):
    # given a thief of a token who fills the queue, also with changes of the password
    pod = await start_wired(start_pod, database, cable, max_waiting=4, min_waiting=4)
    cable.hold()
    await waiting(*(pod.store.reader.positions(ACCOUNT) for _ in range(10)))
    await waiting(*(pod.store.users.of_holder(ACCOUNT) for _ in range(PRODUCTION.max_waiting_passwords)))

    (owner,) = await waiting(pod.store.users.of_holder(ACCOUNT))

    cable.release()
    assert await owner is None


async def test_refresh_is_refused_for_no_other_request_of_the_account(start_pod, database, cable):
    pod = await start_wired(start_pod, database, cable, max_waiting_per_account=1)
    cable.hold()
    *_, refused = await waiting(*(pod.store.reader.positions(ACCOUNT) for _ in range(3)))

    (refreshed,) = await waiting(pod.store.users.session(ACCOUNT, b"hash"))

    assert isinstance(refused.exception(), TooManyWaitingError)
    cable.release()
    assert await refreshed is None


async def test_revoked_refresh_token_takes_no_place_from_its_owner(start_pod, database, cable):
    # given a thief who repeats a refresh token that counts for nothing any more
    pod = await start_wired(start_pod, database, cable)
    users = pod.store.users
    cable.hold()
    await waiting(pod.store.reader.positions(ACCOUNT))
    thief = await waiting(*(users.session(ACCOUNT, b"revoked") for _ in range(100)))

    owners = await waiting(*(users.session(ACCOUNT, b"owner's %d" % number) for number in range(8)))

    cable.release()
    assert await outcomes_of([*thief, *owners]) == [None] * 108
    # and while the database does not answer, the thief is told so without it
    cable.hold()
    assert await outcomes_of(await waiting(users.session(ACCOUNT, b"revoked"))) == [None]
    cable.release()


async def test_user_who_logs_in_over_and_over_keeps_out_nobody_else(start_pod, database, cable):
    # given users who have logged in before, and one of them who does so with all connections
    pod = await start_wired(start_pod, database, cable)
    users = pod.store.users
    cable.hold()
    await waiting(pod.store.reader.positions(ACCOUNT))
    mallory = await waiting(*(users.named("mallory", known=True) for _ in range(100)))

    others = await waiting(*(users.named(f"user {number}", known=True) for number in range(20)))

    cable.release()
    assert await outcomes_of([*mallory, *others]) == [None] * 120


async def test_strangers_who_log_in_leave_room_for_others(start_pod, database, cable):
    pod = await start_wired(start_pod, database, cable)
    reader, users = pod.store.reader, pod.store.users
    cable.hold()
    await waiting(reader.positions(ACCOUNT))

    strangers = await waiting(
        *(users.named(f"user {number}", known=False) for number in range(PRODUCTION.max_waiting_strangers + 1))
    )
    others = await waiting(users.named("bob", known=True), users.session(ACCOUNT, b"hash"), reader.positions(ACCOUNT))

    assert isinstance(strangers[-1].exception(), TooManyWaitingError)
    cable.release()
    assert await outcomes_of(others) == [None, None, []]


async def test_stream_reads_however_many_others_wait(start_pod, database, cable):
    pod = await start_wired(start_pod, database, cable, max_waiting=1, min_waiting=1)
    cable.hold()
    *admitted, refused = await waiting(*(pod.store.reader.positions(ACCOUNT) for _ in range(3)))
    events, sequences = await waiting(pod.store.reader.events_since(1, 0), pod.store.reader.sequences([1]))
    cable.release()

    assert isinstance(refused.exception(), OverloadedError)
    assert [event.sequence for event in await events] == [1]
    assert await sequences == {1: 1}
    assert await outcomes_of(admitted) == [[], []]


async def test_payouts_of_a_day_leave_the_places_of_reads(start_pod, database, cable):
    # given an administrator's program that makes more deposits at once than reads may wait
    limits = replace(PRODUCTION, max_waiting=20, max_expected_wait_seconds=TIMEOUT_SECONDS)
    pod: Pod = await start_pod(
        address=replace(database.engine, port=cable.port),
        limits=Limits(transfer_timeout_seconds=60.0),
        read_limits=replace(limits, wait_seconds=TIMEOUT_SECONDS),
    )
    accounts = [await pod.open_account(name) for name in ("ada", "bob", "eve")]
    cable.hold()
    deposits = [
        Transfer(accounts[number % 3], str(number), EntryKind.DEPOSIT, Decimal("1.00"), "payday", "admin")
        for number in range(MAX_TRANSFERS + 1)
    ]
    *entered, refused = await waiting(*(pod.store.journal.enter(deposit) for deposit in deposits))

    # then reads are let in, and so many deposits that they are soon made
    reads = await waiting(*(pod.store.reader.positions(account) for account in range(100, 118)))
    cable.release()
    assert await outcomes_of(reads) == [[]] * 18
    failure = refused.exception()
    assert isinstance(failure, OrderError)
    assert failure.reason is OrderErrorReason.TOO_MANY_REQUESTS
    assert [one for one in await outcomes_of(entered) if isinstance(one, Exception)] == []
    assert await database.execute("SELECT count(*) FROM journal WHERE kind = 2") == [(MAX_TRANSFERS,)]


async def test_logins_and_deposits_wait_for_one_read_each(start_pod, database, cable):
    # given more reads in the queue than a login or a deposit has time for
    pod = await start_wired(start_pod, database, cable)
    users = [await pod.open_account(f"user {number}") for number in range(4)]
    logins = [await pod.store.users.named(f"user {number}", known=True) for number in range(4)]
    cable.hold()
    reads = await waiting(*(pod.store.reader.positions(account) for account in range(100, 160)))
    ended: list[str] = []

    # when four users log in and four deposits are made
    writes = await waiting(
        *(
            pod.store.users.open_session(login, bytes([number]), dt.timedelta(hours=1))
            for number, login in enumerate(logins)
        ),
        *(
            pod.store.journal.enter(Transfer(user, "bank", EntryKind.DEPOSIT, Decimal("5.00"), "test", "admin"))
            for user in users
        ),
    )
    for name, tasks in (("read", reads), ("write", writes)):
        for task in tasks:
            task.add_done_callback(lambda _, name=name: ended.append(name))
    cable.release()

    # then they take turns with the reads, in whatever order these came
    assert [one for one in await outcomes_of([*reads, *writes]) if isinstance(one, Exception)] == []
    before_the_last_write = ended[: len(ended) - ended[::-1].index("write")]
    assert 4 <= before_the_last_write.count("read") <= 16


async def test_statement_that_the_server_gives_up_costs_no_connection(start_pod, database, cable):
    pod = await start_wired(start_pod, database, cable)
    opened = cable.connections
    holder = await database.connect("postgres")
    async with holder.transaction():
        await holder.execute("LOCK TABLE positions IN ACCESS EXCLUSIVE MODE")
        (stuck,) = await waiting(pod.store.reader.positions(1))
        await _until_sessions_wait_for_a_table(database, 1)
        await database.execute("SELECT pg_cancel_backend(pid) FROM pg_locks WHERE NOT granted")
        with pytest.raises(UnavailableError):
            await stuck
    await holder.close()

    assert len(await pod.store.reader.positions(1)) == 1
    assert cable.connections == opened


async def test_move_of_the_fence_is_noticed_while_reads_and_orders_are_stuck(start_pod, database, cable):
    # given an order and a read that wait for a table
    await database.execute(f"ALTER ROLE rtx_engine IN DATABASE {database.name} SET statement_timeout = '60s'")
    pod = await start_wired(start_pod, database, cable)
    account_id = await pod.open_account("bob")
    opened = cable.connections
    holder = await database.connect("postgres")
    async with holder.transaction():
        await holder.execute("LOCK TABLE positions IN ACCESS EXCLUSIVE MODE")
        stuck = await waiting(pod.place(account_id, "one"), pod.store.reader.positions(account_id))
        await _until_sessions_wait_for_a_table(database, 2)

        await database.move_fence("green")
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while pod.store.fence.executing:
                await pod.store.fence.wait_for_change(1.0)

        assert not any(one.done() for one in stuck)
        assert cable.connections == opened
    await holder.close()
    await outcomes_of(stuck)


async def _until_sessions_wait_for_a_table(database, count: int) -> None:
    query = "SELECT FROM pg_locks WHERE NOT granted AND locktype = 'relation'"
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while len(await database.execute(query)) < count:  # noqa: ASYNC110  # nothing tells of it
            await asyncio.sleep(0.01)
