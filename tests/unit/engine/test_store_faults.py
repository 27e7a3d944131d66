"""The order path with a lost connection, a silent server, or a missing standby: never a false response."""

import asyncio
import datetime as dt
from dataclasses import replace
from decimal import Decimal

import pytest
import pytest_asyncio
from cables import ACCOUNT_OPENED, COMMITTED_BY_ITSELF, SESSION_KEPT
from engine_ledger import unbalanced
from engine_postgres import missing_standby
from rtx_engine.domain.entries import EntryKind
from rtx_engine.domain.transfers import Transfer
from rtx_engine.store import OrderError, OrderErrorReason, UnavailableError, UsernameTakenError
from rtx_engine.store.session import Session
from rtx_engine.store.writer import Limits

TIMEOUT_SECONDS = 20.0
HOUR = dt.timedelta(hours=1)


@pytest_asyncio.fixture
async def impatient_pod(start_pod, database):
    """A pod that gives up after a second, on statements that the server gives up after a third of one."""
    await database.execute(f"ALTER ROLE rtx_engine IN DATABASE {database.name} SET statement_timeout = '300ms'")
    return await start_pod(limits=Limits(order_timeout_seconds=1.0))


async def test_order_with_a_lost_commit_response_is_acknowledged_once(wired_pod, cable, database):
    account_id = await wired_pod.open_account("ada")
    cable.answers_to_lose = 2

    placed = await asyncio.gather(*(wired_pod.place(account_id, str(number)) for number in range(5)))

    assert cable.lost == 2  # the second was the answer to the look at what the first had done
    assert [one.replayed for one in placed] == [False] * 5
    ids = {row["order_id"] for row in await database.execute("SELECT order_id FROM fills")}
    assert ids == {one.execution.order.order_id for one in placed}
    assert await database.execute("SELECT quantity FROM positions") == [(Decimal("0.50"),)]
    assert sorted(event.sequence for event in wired_pod.events) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(("lost", "told"), [(1, True), (1000, False)])
async def test_deposit_with_a_lost_commit_response_is_entered_once(start_pod, cable, database, lost, told):
    # given a deposit whose COMMIT is answered late, or never
    limits = Limits(transfer_timeout_seconds=60.0 if told else 3.0)
    wired_pod = await start_pod(address=replace(database.engine, port=cable.port), limits=limits)
    account_id = await wired_pod.open_account("ada")
    deposit = Transfer(account_id, "bank-1", EntryKind.DEPOSIT, Decimal("5.00"), "test", "admin")
    cable.lost_answer, cable.answers_to_lose = COMMITTED_BY_ITSELF, lost

    if told:
        assert (await wired_pod.store.journal.enter(deposit)).entry.sequence == 1
    else:
        with pytest.raises(OrderError) as failure:
            await wired_pod.store.journal.enter(deposit)
        assert failure.value.reason is OrderErrorReason.OUTCOME_UNKNOWN

    # then it is there once, and asking again tells
    assert cable.lost >= 1
    cable.answers_to_lose = 0
    assert (await wired_pod.store.journal.enter(deposit)).replayed
    assert await database.execute("SELECT balance FROM accounts") == [(Decimal("10005.00"),)]
    assert await unbalanced(database) == []


@pytest.mark.parametrize("answer", ["lost", "late"])
async def test_account_with_a_lost_commit_response_may_be_open(wired_pod, cable, database, answer):
    await wired_pod.open_account("ada")  # the next takes no more than its one statement
    if answer == "lost":
        cable.lost_answer, cable.answers_to_lose = ACCOUNT_OPENED, 1
    else:
        cable.late_answer = ACCOUNT_OPENED

    with pytest.raises(OrderError) as failure:
        await wired_pod.open_account("bob")

    cable.late_answer = None
    cable.release()
    assert failure.value.reason is OrderErrorReason.OUTCOME_UNKNOWN
    assert await database.execute("SELECT count(*) FROM accounts") == [(2,)]
    with pytest.raises(UsernameTakenError):
        await wired_pod.open_account("bob")


async def test_password_with_a_lost_commit_response_may_have_changed(wired_pod, cable):
    await wired_pod.open_account("ada")
    users = wired_pod.store.users
    before = await users.named("ada", known=True)
    cable.lost_answer, cable.answers_to_lose = SESSION_KEPT, 1

    with pytest.raises(OrderError) as failure:
        await users.change_password(before, "another hash", b"refresh token", HOUR)

    assert failure.value.reason is OrderErrorReason.OUTCOME_UNKNOWN
    assert (await users.named("ada", known=True)).password_hash == "another hash"


async def test_login_with_a_lost_commit_response_is_tried_again(wired_pod, cable):
    # given a refresh token that is kept, and that nobody has been given
    await wired_pod.open_account("ada")
    users = wired_pod.store.users
    login = await users.named("ada", known=True)
    cable.lost_answer, cable.answers_to_lose = SESSION_KEPT, 1

    with pytest.raises(UnavailableError):
        await users.open_session(login, b"one", HOUR)

    assert await users.open_session(login, b"two", HOUR) is not None


async def test_password_whose_session_cannot_be_kept_has_not_changed(impatient_pod, database):
    await impatient_pod.open_account("ada")
    users = impatient_pod.store.users
    before = await users.named("ada", known=True)

    holder = await database.connect("rtx_migrator")
    async with holder.transaction():
        await holder.execute("LOCK TABLE refresh_tokens IN SHARE ROW EXCLUSIVE MODE")
        with pytest.raises(UnavailableError):
            await users.change_password(before, "another hash", b"refresh token", HOUR)
    await holder.close()

    assert await users.named("ada", known=True) == before


async def test_account_that_the_server_gives_up_is_not_opened(impatient_pod, database):
    # given users that somebody holds for longer than a statement may take
    holder = await database.connect("postgres")
    async with holder.transaction():
        await holder.execute("LOCK TABLE users IN SHARE MODE")
        with pytest.raises(UnavailableError):
            await impatient_pod.open_account("bob")
    await holder.close()

    assert await impatient_pod.store.users.named("bob", known=True) is None


async def test_deposit_during_a_database_outage_is_not_entered(wired_pod, cable, database):
    account_id = await wired_pod.open_account("ada")
    await cable.cut()

    with pytest.raises(OrderError) as refusal:
        await wired_pod.store.journal.enter(
            Transfer(account_id, "bank-1", EntryKind.DEPOSIT, Decimal("5.00"), "test", "admin")
        )

    assert refusal.value.reason is OrderErrorReason.UNAVAILABLE
    assert await database.execute("SELECT event_sequence FROM accounts") == [(0,)]


async def test_deposit_that_the_server_gives_up_leaves_no_transaction_behind(impatient_pod, database):
    # given a journal that somebody holds for longer than a statement may take
    account_id = await impatient_pod.open_account("ada")
    holder = await database.connect("postgres")
    async with holder.transaction():
        await holder.execute("LOCK TABLE journal IN EXCLUSIVE MODE")
        with pytest.raises(OrderError) as refusal:
            await impatient_pod.store.journal.enter(
                Transfer(account_id, "bank-1", EntryKind.DEPOSIT, Decimal("5.00"), "test", "admin")
            )
    await holder.close()

    # then nothing is entered, and whoever has the connection next can use it
    assert refusal.value.reason is OrderErrorReason.UNAVAILABLE
    assert await impatient_pod.store.reader.positions(account_id) == []
    assert await database.execute("SELECT event_sequence FROM accounts") == [(0,)]


async def test_session_killed_during_commit_leaves_one_fill(pod, database):
    # given a COMMIT that takes its time, and would have to be rolled back when its session is killed
    account_id = await pod.open_account("ada")
    await database.execute(
        "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1); RETURN NULL; END'"
    )
    await database.execute(
        "CREATE CONSTRAINT TRIGGER slowly AFTER INSERT ON orders DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION slowly()"
    )
    placing = asyncio.create_task(pod.place(account_id, "one"))
    killed = 0
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not killed:
            rows = await database.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND wait_event = 'PgSleep'"
            )
            killed += len(rows)
    await database.execute("DROP TRIGGER slowly ON orders")

    placed = await placing

    assert not placed.replayed
    [(order_id,)] = await database.execute("SELECT order_id FROM fills")
    assert order_id == placed.execution.order.order_id
    assert [event.sequence for event in pod.events] == [1]


async def placed_or_none(pod, account_id, client_order_id):
    """None if the pod says that nothing was placed."""
    try:
        return await pod.place(account_id, client_order_id)
    except OrderError as error:
        if error.reason is not OrderErrorReason.UNAVAILABLE:
            raise
        return None


async def test_orders_fail_during_a_database_outage_and_succeed_after_it(start_pod, database, cable):
    wired_pod = await start_pod(
        address=replace(database.engine, port=cable.port), limits=Limits(order_timeout_seconds=1.0)
    )
    account_id = await wired_pod.open_account("ada")
    await cable.cut()

    with pytest.raises(OrderError) as refusal:
        await wired_pod.place(account_id, "one")
    with pytest.raises(UnavailableError):
        await wired_pod.store.reader.positions(account_id)
    await cable.plug_in()
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while (placed := await placed_or_none(wired_pod, account_id, "one")) is None:
            pass  # a busy machine takes longer than the order has to connect again

    assert refusal.value.reason is OrderErrorReason.UNAVAILABLE
    assert not placed.replayed
    assert wired_pod.store.fence.state.epoch == 1  # an outage is no reason to stop being ready


async def test_short_database_outage_fails_no_order(start_pod, database, cable):
    # given a pod whose orders wait for longer than even a busy machine takes to connect again
    patient = Limits(order_timeout_seconds=TIMEOUT_SECONDS)
    wired_pod = await start_pod(address=replace(database.engine, port=cable.port), limits=patient)
    account_id = await wired_pod.open_account("ada")
    await wired_pod.place(account_id, "before")
    await cable.cut()

    placing = [asyncio.create_task(wired_pod.place(account_id, str(number))) for number in range(10)]
    await asyncio.sleep(0.5)
    await cable.plug_in()

    assert {one.replayed for one in await asyncio.gather(*placing)} == {False}


async def cancel_waits_for_the_standby(database) -> None:
    """What an impatient administrator does: COMMIT then succeeds, with no more than a warning."""
    while True:
        await database.execute("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("cancelled", [False, True])
async def test_commit_without_standby_confirmation_is_not_acknowledged(impatient_pod, database, cancelled):
    # given a server that waits for a standby that is not there
    pod = impatient_pod
    account_id = await pod.open_account("ada")
    async with missing_standby(database):
        impatient = asyncio.create_task(cancel_waits_for_the_standby(database)) if cancelled else None
        try:
            with pytest.raises(OrderError) as refusal:
                await pod.place(account_id, "one")
        finally:
            if impatient is not None:
                impatient.cancel()

    # then the order may be there or not, and asking again tells
    assert refusal.value.reason is OrderErrorReason.OUTCOME_UNKNOWN
    assert pod.events == []
    async with asyncio.timeout(TIMEOUT_SECONDS):
        again = await pod.place(account_id, "one")
    assert again.replayed
    assert await database.execute("SELECT quantity FROM positions") == [(Decimal("0.10"),)]


@pytest.mark.parametrize("cancelled", [False, True])
async def test_deposit_without_standby_confirmation_is_not_told(pod, database, cancelled):
    # given a server that waits for a standby that is not there
    account_id = await pod.open_account("ada")
    deposit = Transfer(account_id, "bank-1", EntryKind.DEPOSIT, Decimal("5.00"), "test", "admin")
    async with missing_standby(database):
        impatient = asyncio.create_task(cancel_waits_for_the_standby(database)) if cancelled else None
        try:
            with pytest.raises(OrderError) as refusal:
                await pod.store.journal.enter(deposit)
        finally:
            if impatient is not None:
                impatient.cancel()

    # then it may be there or not, and asking again tells
    assert refusal.value.reason is OrderErrorReason.OUTCOME_UNKNOWN
    assert pod.events == []
    await pod.store.journal.enter(deposit)
    assert await database.execute("SELECT balance FROM accounts") == [(Decimal("10005.00"),)]


async def test_locked_account_does_not_block_the_pod(impatient_pod, database):
    # given somebody who holds the account's row and does not let go
    pod = impatient_pod
    account_id = await pod.open_account("ada")
    holder = await database.connect("postgres")
    transaction = holder.transaction()
    await transaction.start()
    await holder.execute("SELECT FROM accounts FOR UPDATE")
    try:
        with pytest.raises(OrderError) as refusal:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await pod.place(account_id, "one")
    finally:
        await transaction.rollback()
        await holder.close()

    assert refusal.value.reason is OrderErrorReason.UNAVAILABLE
    assert not (await pod.place(account_id, "one")).replayed


async def test_cancelled_caller_does_not_affect_others(database):
    session = Session(database.engine, "blue")
    taken = asyncio.Event()

    async def work_slowly() -> int:
        async with session.use() as connection:
            taken.set()
            return await connection.fetchval("SELECT 42 FROM pg_sleep(0.5)")

    slow = asyncio.create_task(work_slowly())
    await taken.wait()
    with pytest.raises(UnavailableError):
        async with session.use(wait_seconds=0.1):
            pytest.fail("two callers had the connection at once")

    assert await slow == 42
    await session.close()
