"""While the standby that a quorum asks for is missing: what a pod leaves behind at the server, and who waits."""

import asyncio
import datetime as dt
import secrets
from contextlib import suppress
from decimal import Decimal

import pytest
from engine_pods import Pod
from engine_postgres import TestDatabase, missing_standby
from rtx_engine.domain.entries import EntryKind
from rtx_engine.domain.transfers import Transfer
from rtx_engine.store import OrderError, OrderErrorReason, UnavailableError, session, standby

TIMEOUT_SECONDS = 20.0
WAITING = "SELECT FROM pg_stat_activity WHERE usename = 'rtx_engine' AND wait_event = 'SyncRep'"
SESSIONS = 3  # of a pod: one reads, one places orders, one watches the fence


@pytest.fixture
def short_statements(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several attempts at a commit within the time of one order."""
    monkeypatch.setattr(session, "STATEMENT_TIMEOUT_SECONDS", 0.5)


async def until_sessions_are_at_most(database: TestDatabase, count: int) -> None:
    query = "SELECT FROM pg_stat_activity WHERE usename = 'rtx_engine' AND datname = $1"
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while len(await database.execute(query, database.name)) > count:  # noqa: ASYNC110  # nothing tells of it
            await asyncio.sleep(0.05)


async def until_none_waits_for_a_standby(database: TestDatabase) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while await database.execute(WAITING):  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.05)


@pytest.mark.usefixtures("short_statements")
async def test_attempts_that_waited_for_a_standby_leave_no_session_behind(start_pod, database):
    pod: Pod = await start_pod()
    account_id = await pod.open_account("ada")
    async with missing_standby(database):
        with pytest.raises(OrderError) as refusal:
            await pod.place(account_id, "one")
        assert refusal.value.reason is OrderErrorReason.OUTCOME_UNKNOWN

        await until_sessions_are_at_most(database, SESSIONS)


@pytest.mark.usefixtures("short_statements")
async def test_session_is_ended_also_where_the_request_to_cancel_was_lost(wired_pod, cable, database):
    account_id = await wired_pod.open_account("ada")
    async with missing_standby(database):
        cable.loses_cancels = True
        with pytest.raises(OrderError) as refusal:
            await wired_pod.place(account_id, "one")
        assert refusal.value.reason is OrderErrorReason.OUTCOME_UNKNOWN

        await until_none_waits_for_a_standby(database)


@pytest.mark.parametrize("cancels_are_lost", [False, True])
async def test_pod_that_stops_leaves_no_session_behind(wired_pod, cable, database, cancels_are_lost):
    cable.loses_cancels = cancels_are_lost
    account_id = await wired_pod.open_account("ada")
    async with missing_standby(database):
        placing = asyncio.create_task(wired_pod.place(account_id, "one"))
        await until_one_waits_for_a_standby(database)

        await wired_pod.store.stop()

        with pytest.raises(OrderError):
            await placing
        await until_sessions_are_at_most(database, 0)


@pytest.mark.parametrize("shared", [False, True])
async def test_pod_that_stops_opens_no_connection_for_reads_that_wait(wired_pod, database, shared):
    # given a read that waits for the standby, and a login or a read behind it, whose clients go when the pod stops
    store = wired_pod.store
    async with missing_standby(database):
        reads = [asyncio.create_task(store.reader.positions(1))]
        await until_one_waits_for_a_standby(database)
        waits = store.users.named("ada", known=True) if shared else store.reader.positions(2)
        reads.append(asyncio.create_task(waits))
        await asyncio.sleep(0)
        for read in reads:
            read.cancel()

        await store.stop()

        for read in reads:
            with suppress(asyncio.CancelledError, UnavailableError):
                await read
        await until_sessions_are_at_most(database, 0)


async def until_one_waits_for_a_standby(database: TestDatabase) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not await database.execute(WAITING):  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.01)


@pytest.mark.usefixtures("short_statements")
async def test_no_session_is_left_where_to_connect_takes_a_while(wired_pod, cable, database):
    account_id = await wired_pod.open_account("ada")
    async with missing_standby(database):
        cable.connect_delay_seconds = 1.3  # longer than a request to cancel is waited for
        for number in range(2):
            with pytest.raises(OrderError):
                await wired_pod.place(account_id, str(number))

        await until_none_waits_for_a_standby(database)
        await until_sessions_are_at_most(database, SESSIONS)


@pytest.mark.parametrize("cancels_are_lost", [False, True])
async def test_connection_that_is_lost_leaves_no_session_behind(wired_pod, cable, database, cancels_are_lost):
    cable.loses_cancels = cancels_are_lost
    account_id = await wired_pod.open_account("ada")
    async with missing_standby(database):
        placing = asyncio.create_task(wired_pod.place(account_id, "one"))
        for _ in range(3):
            await until_one_waits_for_a_standby(database)
            cable.reset()
        with pytest.raises(OrderError):
            await placing

        await until_none_waits_for_a_standby(database)
        await until_sessions_are_at_most(database, SESSIONS)


async def log_in(pod: Pod, username: str) -> None:
    login = await pod.store.users.named(username, known=True)
    assert login is not None
    await pod.store.users.open_session(login, secrets.token_bytes(32), dt.timedelta(hours=1))


async def test_nobody_waits_for_a_standby_to_log_in(start_pod, database, monkeypatch):
    monkeypatch.setattr(standby, "CONFIRM_TIMEOUT_SECONDS", 0.5)  # far below a turn's, also on a busy machine
    # given a client that asks for its positions again and again, whatever the answer
    pod: Pod = await start_pod()
    ada, _ = await pod.open_account("ada"), await pod.open_account("bob")
    async with missing_standby(database):

        async def ask() -> None:
            while True:
                with pytest.raises(UnavailableError):
                    await pod.store.reader.positions(ada)
                await asyncio.sleep(0.05)

        asking = [asyncio.create_task(ask()) for _ in range(2)]
        await asyncio.sleep(0)

        # when somebody else logs in: each time it succeeds
        try:
            for _ in range(5):
                await log_in(pod, "bob")
        finally:
            for task in asking:
                task.cancel()
            await asyncio.wait(asking)


async def test_reads_go_on_once_there_is_a_standby_again(start_pod, database):
    pod: Pod = await start_pod()
    account_id = await pod.open_account("ada")
    async with missing_standby(database):
        with pytest.raises(UnavailableError, match="no standby has confirmed"):
            await pod.store.reader.positions(account_id)

    async with asyncio.timeout(TIMEOUT_SECONDS):
        while True:
            try:
                assert await pod.store.reader.positions(account_id) == []
            except UnavailableError:
                await asyncio.sleep(0.05)
            else:
                break


async def test_without_a_standby_a_deposit_is_refused_before_it_is_made(start_pod, database, monkeypatch):
    # given a pod that has waited for a standby in vain
    monkeypatch.setattr(standby, "MISSING_SECONDS", 3600.0)
    pod: Pod = await start_pod()
    account_id = await pod.open_account("ada")
    async with missing_standby(database):
        with pytest.raises(UnavailableError):
            await pod.store.reader.positions(account_id)

        with pytest.raises(OrderError) as refusal:
            await pod.store.journal.enter(
                Transfer(account_id, "bank-1", EntryKind.DEPOSIT, Decimal("5.00"), "test", "admin")
            )

        assert refusal.value.reason is OrderErrorReason.UNAVAILABLE
        assert await database.execute("SELECT FROM journal WHERE client_order_id IS NOT NULL") == []
