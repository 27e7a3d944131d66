"""Writes on the connection for reads: whoever holds what they need keeps no read waiting, nor the fence."""

import asyncio
import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio
from engine_pods import Pod
from engine_postgres import TestDatabase
from rtx_engine.domain.entries import EntryKind
from rtx_engine.domain.transfers import Transfer
from rtx_engine.store import fenced_writes
from rtx_engine.store.migrate import Migrator
from rtx_engine.store.migration_files import Half
from rtx_engine.store.partitions import Partitions
from rtx_engine.store.reads import Reads
from rtx_engine.store.session import Session
from rtx_engine.store.writer import Limits

TIMEOUT_SECONDS = 20.0
PATIENT = Limits(transfer_timeout_seconds=60.0)


@pytest.fixture(autouse=True)
def patient_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are tried for longer than any of these tests takes."""
    monkeypatch.setattr(fenced_writes, "TIMEOUT_SECONDS", 60.0)


async def until_it_waits(database: TestDatabase, write: "asyncio.Task[Any]") -> None:
    query = "SELECT FROM pg_stat_activity WHERE usename = 'rtx_engine' AND wait_event_type = 'Lock' AND datname = $1"
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not await database.execute(query, database.name):
            assert not write.done()


async def log_in(pod: Pod, _: int) -> None:
    login = await pod.store.users.named("ada", known=True)
    assert login is not None
    await pod.store.users.open_session(login, b"hash", dt.timedelta(hours=1))


async def deposit(pod: Pod, account_id: int) -> None:
    await pod.store.journal.enter(Transfer(account_id, "bank-1", EntryKind.DEPOSIT, Decimal("5.00"), "test", "admin"))


@pytest.mark.parametrize("write", [log_in, deposit])
async def test_write_during_a_move_of_the_fence_stops_no_reads(start_pod, database, write):
    # given a write while the operator moves the fence
    await database.execute(f"ALTER ROLE rtx_engine IN DATABASE {database.name} SET statement_timeout = '60s'")
    pod: Pod = await start_pod(limits=PATIENT)
    account_id = await pod.open_account("ada")
    mover = await database.connect("rtx_operator")
    await mover.execute("BEGIN; LOCK TABLE rtx_operator.execution_fence IN EXCLUSIVE MODE")
    writing = asyncio.create_task(write(pod, account_id))
    await until_it_waits(database, writing)

    # then reads, which need no fence, are served, and the write is done when the move is over
    assert await pod.store.reader.positions(account_id) == []
    assert not writing.done()
    await mover.close()
    await writing


@pytest_asyncio.fixture
async def expanded(fenced_database: TestDatabase) -> TestDatabase:
    """The database amid an upgrade: no contract half has run, so logins are in two places."""
    async with Migrator.connected(fenced_database.as_role("rtx_migrator")) as migrator:
        await migrator.up(half=Half.EXPAND)
    return fenced_database


async def test_change_of_a_password_waits_for_an_account_without_holding_the_fence(expanded, start_pod):
    # given an account whose row somebody holds, and a change of its password
    pod: Pod = await start_pod(address=expanded.engine)
    account_id = await pod.open_account("ada")
    holder = await expanded.connect("postgres")
    await holder.execute("BEGIN")
    await holder.execute("SELECT FROM accounts WHERE id = $1 FOR UPDATE", account_id)
    login = await pod.store.users.of_account(account_id)
    change = pod.store.users.change_password(login, "other hash", b"refresh token", dt.timedelta(hours=1))
    changing = asyncio.create_task(change)
    await until_it_waits(expanded, changing)

    # then reads are served, the fence moves, and the password changes once the account is free
    assert await pod.store.reader.positions(account_id) == []
    await expanded.move_fence("blue")
    assert not changing.done()
    await holder.close()
    assert await changing is not None
    assert (await pod.store.users.of_account(account_id)).generation == login.generation + 1


async def test_partitions_that_cannot_be_made_now_stop_no_reads(database):
    # given somebody who analyzes the journal when a week is to be made
    await database.execute(f"ALTER ROLE rtx_engine IN DATABASE {database.name} SET statement_timeout = '60s'")
    [last] = await database.execute(
        "SELECT max(inhrelid::regclass::text) AS name FROM pg_inherits WHERE inhparent = 'journal'::regclass"
    )
    await database.execute(f"DROP TABLE {last['name']}")
    analyzer = await database.connect("rtx_migrator")
    await analyzer.execute("BEGIN; LOCK TABLE journal IN SHARE UPDATE EXCLUSIVE MODE")
    reads = Reads(Session(database.engine, "blue"))
    await reads.run(lambda connection: connection.execute("SELECT"), 1)
    making = asyncio.create_task(Partitions(reads).make())
    await asyncio.sleep(0)

    # then a read behind it is served
    await reads.run(lambda connection: connection.execute("SELECT"), 1)

    assert not await making
    await analyzer.close()
    assert await Partitions(reads).make()
    await reads.session.close()
