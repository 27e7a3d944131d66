"""The journal's weekly partitions: made ahead by pods, and when other data have come."""

import asyncio
import datetime as dt
from decimal import Decimal

import pytest
from engine_ledger import unbalanced
from engine_postgres import TestDatabase
from rtx_engine.store import OrderError, OrderErrorReason
from rtx_engine.store.writer import Limits
from test_store_journal import EXECUTOR, transfer

WEEKS = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'journal'::regclass"


async def test_weeks_are_made_ahead_by_pods_beside_open_writes(pod, database):
    # given a transaction that has written to the journal and is still open
    account_id = await pod.open_account("ada")
    [(before,)] = await database.execute(WEEKS)
    session = await database.connect("rtx_engine", **EXECUTOR)
    writing = session.transaction()
    await writing.start()
    await session.execute(
        "INSERT INTO journal (account_id, sequence, at, amount, balance, kind, reason, author)"
        " VALUES ($1, 1, now(), 0, 0, 4, 'test', 'admin')",
        account_id,
    )

    # when two sessions ask for more weeks at once, then each is made once, and nobody has waited
    async def make() -> int:
        maker = await database.connect("rtx_engine", statement_timeout="60s")
        weeks = await maker.fetchval("SELECT make_journal_weeks(9)")
        await maker.close()
        return int(weeks)

    assert await asyncio.gather(make(), make()) == [10, 10]
    [(after,)] = await database.execute(WEEKS)
    assert after == before + 1
    await writing.rollback()
    await session.close()


async def test_account_is_opened_also_when_nobody_has_made_this_week(pod, database):
    # given a journal whose weeks have all passed, as after months of the release before it
    week = dt.datetime.now(dt.UTC).strftime("journal_%Gw%V")
    await database.execute(f"DROP TABLE {week}")

    await pod.open_account("ada")

    assert await unbalanced(database) == []
    assert len(await database.execute(f"SELECT FROM {week}")) == 1


async def drop_weeks(database: TestDatabase) -> None:
    """Leave the journal as a backup of nine weeks ago has it: its partitions end before this week."""
    for row in await database.execute(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'journal'::regclass"
    ):
        await database.execute(f"DROP TABLE {row['name']}", user="rtx_migrator")


async def test_money_is_entered_after_the_restore_of_an_old_backup(pod, database):
    account_id = await pod.open_account("ada")
    await drop_weeks(database)

    entered = await pod.store.journal.enter(transfer(account_id, "bank-1", "250.00"))

    assert (entered.entry.balance, entered.replayed) == (Decimal("10250.00"), False)


async def test_money_is_entered_once_another_pod_has_made_the_weeks(start_pod, database):
    # given an old backup, and another pod that makes the weeks, for longer than a lock is waited for
    pod = await start_pod(limits=Limits(transfer_timeout_seconds=60.0))
    account_id = await pod.open_account("ada")
    await drop_weeks(database)
    maker = await database.connect("rtx_engine", statement_timeout="60s")
    making = maker.transaction()
    await making.start()
    await maker.fetchval("SELECT make_journal_weeks(8)")

    entering = asyncio.create_task(pod.store.journal.enter(transfer(account_id, "bank-1", "250.00")))
    await asyncio.wait([entering], timeout=0.5)
    assert not entering.done()

    # when it has made them, then the money is entered
    await making.commit()
    await maker.close()
    assert (await entering).entry.balance == Decimal("10250.00")


async def test_weeks_that_cannot_be_made_are_unavailable(start_pod, database):
    # given an old backup, and somebody who holds the lock that making a week needs
    pod = await start_pod(limits=Limits(transfer_timeout_seconds=0.5))
    account_id = await pod.open_account("ada")
    await drop_weeks(database)
    holder = await database.connect("postgres")
    await holder.execute("BEGIN; LOCK TABLE journal IN SHARE UPDATE EXCLUSIVE MODE")

    with pytest.raises(OrderError, match="no partition for this week") as refusal:
        await pod.store.journal.enter(transfer(account_id, "bank-1", "250.00"))

    await holder.close()
    assert refusal.value.reason is OrderErrorReason.UNAVAILABLE
    # and nobody who moves the fence waits for it
    assert await database.execute("SELECT event_sequence FROM accounts") == [(0,)]


async def test_weeks_are_made_when_other_data_have_come(pod, database):
    await pod.open_account("ada")
    await drop_weeks(database)

    # when the pod sees a fence that was written anew, as a restore does
    await database.execute("UPDATE rtx_operator.execution_fence SET executors = executors", user="rtx_operator")
    await pod.store.read_fence()

    # then its weeks are there soon, also if no money moves
    async with asyncio.timeout(20):
        while await database.execute(WEEKS) == [(0,)]:  # noqa: ASYNC110  # of a database
            await asyncio.sleep(0.05)
