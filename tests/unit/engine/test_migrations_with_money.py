"""Migrations that are taken back and applied again where money has moved: nothing of it is lost or made."""

import datetime as dt
import secrets
from decimal import Decimal
from typing import Any

import pytest
from engine_ledger import unbalanced
from engine_pods import Pod
from rtx_engine.domain.entries import EntryKind
from rtx_engine.domain.transfers import Transfer
from rtx_engine.store.migrate import Migrator
from rtx_engine.store.migration_files import Half
from rtx_engine.store.migration_plan import MigrationError
from test_partitions import drop_weeks


def deposit(account_id: int) -> Transfer:
    return Transfer(account_id, "bank-1", EntryKind.DEPOSIT, Decimal("250.00"), "bank transfer", "admin")


async def expanded(database: Any) -> int:
    """An account of the first release, whose database was then expanded."""
    async with Migrator.connected(database.as_role("rtx_migrator")) as migrator:
        await migrator.up(to=1)
        [(account_id,)] = await database.execute(
            "INSERT INTO accounts (username, password_hash, currency, balance, leverage)"
            " VALUES ('ada', 'hash', 'USD', 10000, 100) RETURNING id",
            user="rtx_migrator",
        )
        await migrator.up(half=Half.EXPAND)
    return int(account_id)


async def trade(pod: Pod, account_id: int) -> None:
    """A loss, which is realised."""
    await pod.place(account_id, "one")
    await pod.place(account_id, "two", side="sell")


async def test_openings_are_entered_again_where_money_has_moved_since(fenced_database, start_pod):
    # given an account of before, with a deposit
    account_id = await expanded(fenced_database)
    pod = await start_pod(address=fenced_database.engine)
    await trade(pod, account_id)
    await pod.store.journal.enter(deposit(account_id))
    assert await unbalanced(fenced_database) == []

    # when the openings are taken back and entered again
    async with Migrator.connected(fenced_database.as_role("rtx_migrator")) as migrator:
        taken_back = await migrator.down(to=7)
        await migrator.up(half=Half.EXPAND)

    # then the rows still add up
    assert "0008 openings (expand)" in [one.label for one in taken_back]
    assert await unbalanced(fenced_database) == []


async def test_journal_with_entries_is_not_taken_back(fenced_database, start_pod):
    # given a deposit
    account_id = await expanded(fenced_database)
    pod = await start_pod(address=fenced_database.engine)
    await trade(pod, account_id)
    first = await pod.store.journal.enter(deposit(account_id))
    await pod.store.stop()

    # when somebody takes the database back to the first release's schema, then they are refused
    async with Migrator.connected(fenced_database.as_role("rtx_migrator")) as migrator:
        with pytest.raises(MigrationError, match="changed nothing: the journal has deposits or withdrawals"):
            await migrator.down(to=1)

    # then the deposit happens once, and each number is told
    pod = await start_pod(address=fenced_database.engine)
    again = await pod.store.journal.enter(deposit(account_id))
    assert (again.replayed, again.entry) == (True, first.entry)
    assert [event.sequence for event in await pod.store.reader.events_since(account_id, 0)] == [1, 2, 3]
    assert await unbalanced(fenced_database) == []


async def test_refused_way_back_ends_no_session_and_forgets_no_revocation(fenced_database, start_pod):
    # given a user whose tokens were revoked, who has logged in since, and a deposit
    account_id = await expanded(fenced_database)
    pod = await start_pod(address=fenced_database.engine)
    users = pod.store.users
    await users.revoke(await users.of_account(account_id))
    login, hash_ = await users.of_account(account_id), secrets.token_bytes(32)
    await users.open_session(login, hash_, dt.timedelta(hours=1))
    await pod.store.journal.enter(deposit(account_id))

    # when somebody takes the schema back, and is refused
    async with Migrator.connected(fenced_database.as_role("rtx_migrator")) as migrator:
        before = await migrator.status()
        with pytest.raises(MigrationError, match="changed nothing"):
            await migrator.down(to=1)
        assert await migrator.status() == before

    # then the user is logged in, and the revoked tokens stay revoked
    assert (await users.of_account(account_id)).generation == login.generation == 1
    assert await users.session(account_id, hash_) is not None


async def test_journal_without_entries_is_taken_back_and_made_again(fenced_database, start_pod):
    # given an account that has traded only
    account_id = await expanded(fenced_database)
    pod = await start_pod(address=fenced_database.engine)
    await trade(pod, account_id)

    async with Migrator.connected(fenced_database.as_role("rtx_migrator")) as migrator:
        await migrator.down(to=1)
        await migrator.up(half=Half.EXPAND)

    assert await unbalanced(fenced_database) == []


async def test_upgrade_is_resumed_after_the_weeks_that_it_made(fenced_database):
    # given an upgrade that ended before its last expansion, nine weeks ago; the release before went on
    async with Migrator.connected(fenced_database.as_role("rtx_migrator")) as migrator:
        await migrator.up(to=1)
        await fenced_database.execute(
            "INSERT INTO accounts (username, password_hash, currency, balance, leverage)"
            " VALUES ('ada', 'hash', 'USD', 10000, 100)",
            user="rtx_migrator",
        )
        await migrator.up(to=7, half=Half.EXPAND)
    await drop_weeks(fenced_database)

    # when it is resumed
    async with Migrator.connected(fenced_database.as_role("rtx_migrator")) as migrator:
        await migrator.up(half=Half.EXPAND)

    # then the opening is entered
    assert await unbalanced(fenced_database) == []
