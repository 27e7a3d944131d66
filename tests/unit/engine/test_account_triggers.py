"""What the triggers of accounts and positions refuse, and how a person corrects an account."""

from decimal import Decimal

import asyncpg
import pytest
from engine_ledger import unbalanced
from test_store_journal import EXECUTOR


@pytest.mark.parametrize("user", ["rtx_migrator", "rtx_engine", "postgres"])
@pytest.mark.parametrize(
    "statements",
    [
        ["UPDATE accounts SET balance = balance + 1"],
        ["UPDATE accounts SET leverage = 500"],
        ["UPDATE accounts SET currency = 'EUR'"],
        ["UPDATE accounts SET event_sequence = 0"],
        ["UPDATE accounts SET balance = balance + 1, event_sequence = 0"],
        ["UPDATE positions SET quantity = quantity + 1"],
        ["UPDATE positions SET average_price = 1"],
        ["UPDATE positions SET quantity = 0, average_price = 0"],
        ["UPDATE positions SET symbol = 'XAUUSD'"],
        ["INSERT INTO positions (account_id, symbol, quantity, average_price) VALUES (1, 'GBPUSD', 1, 1)"],
        ["UPDATE positions SET quantity = quantity + 1", "UPDATE accounts SET event_sequence = 2 WHERE id = 2"],
    ],
)
async def test_nobody_changes_an_account_without_its_next_number(pod, database, statements, user):
    # given two accounts, of which the first holds a position
    account_id = await pod.open_account("ada")
    await pod.open_account("grace")
    await pod.place(account_id, "one")
    session = await database.connect(user, **EXECUTOR)

    with pytest.raises(asyncpg.PostgresError) as refusal:
        await session.execute(f"BEGIN; {'; '.join(statements)}; COMMIT")

    await session.close()
    assert refusal.value.sqlstate == "RX002"
    assert await unbalanced(database) == []


# A correction by hand as the runbook has it: the entry, its copy for the release before, and the number.
ENTRY = (
    "INSERT INTO journal (account_id, sequence, at, amount, balance, kind, reason, author)"
    " SELECT id, event_sequence + 1, now(), 0, 100 * balance, 4, 'corrected', 'ada' FROM accounts WHERE id = 1",
    "INSERT INTO account_events (account_id, sequence, kind, payload, at)"
    " SELECT id, event_sequence + 1, 'order', '{\"type\": \"adjustment\"}', now() FROM accounts WHERE id = 1",
)
CORRECTION = (*ENTRY, "UPDATE accounts SET event_sequence = event_sequence + 1 WHERE id = 1")


async def test_position_changes_by_hand_with_the_next_number_of_its_account(pod, database):
    account_id = await pod.open_account("ada")
    await pod.place(account_id, "one")
    session = await database.connect("rtx_migrator")
    async with session.transaction():
        for statement in ("UPDATE positions SET quantity = 0.30", *CORRECTION):
            await session.execute(statement)
    await session.close()

    # then a pod that remembered the account notices, and clients are told of each number
    await pod.place(account_id, "two")
    assert await database.execute("SELECT quantity FROM positions") == [(Decimal("0.40"),)]
    assert [event.sequence for event in await pod.store.reader.events_since(account_id, 0)] == [1, 2, 3]


@pytest.mark.parametrize("user", ["rtx_migrator", "postgres"])
@pytest.mark.parametrize(
    "statements",
    [
        ["UPDATE accounts SET event_sequence = event_sequence + 1"],
        ["UPDATE accounts SET event_sequence = event_sequence + 1, balance = balance + 1"],
        [*ENTRY, "UPDATE accounts SET event_sequence = event_sequence + 1, balance = balance + 1"],
        [*ENTRY, "UPDATE accounts SET event_sequence = event_sequence + 2"],
    ],
    ids=["no entry", "no entry of the money", "another amount", "one entry for two numbers"],
)
async def test_nobody_moves_an_account_by_hand_without_its_entries(pod, database, statements, user):
    account_id = await pod.open_account("ada")
    await pod.place(account_id, "one")
    session = await database.connect(user, **EXECUTOR)

    with pytest.raises(asyncpg.PostgresError) as refusal:
        await session.execute(f"BEGIN; {'; '.join(statements)}; COMMIT")

    await session.close()
    assert refusal.value.sqlstate == "RX002"
    assert await unbalanced(database) == []


@pytest.mark.parametrize("first", ["accounts", "positions"])
async def test_position_is_corrected_by_hand_under_savepoints(pod, database, first):
    # given a person whose psql sets a savepoint before each statement (ON_ERROR_ROLLBACK)
    account_id = await pod.open_account("ada")
    await pod.place(account_id, "one")
    position = ("UPDATE positions SET quantity = 0.20",)
    session = await database.connect("rtx_migrator")
    async with session.transaction():
        for statement in (*CORRECTION, *position) if first == "accounts" else (*position, *CORRECTION):
            async with session.transaction():
                await session.execute(statement)
    await session.close()

    assert await database.execute("SELECT quantity FROM positions") == [(Decimal("0.20"),)]


async def test_account_that_another_transaction_moved_does_not_count_for_a_position(pod, database):
    # given a person who changes a position, while another one with a later number moves its account
    account_id = await pod.open_account("ada")
    await pod.place(account_id, "one")
    session, other = await database.connect("rtx_migrator"), await database.connect("rtx_migrator")
    changing = session.transaction()
    await changing.start()
    await session.execute("UPDATE positions SET quantity = 0.20")
    await other.execute("; ".join(CORRECTION))

    with pytest.raises(asyncpg.PostgresError) as refusal:
        await changing.commit()

    await session.close()
    await other.close()
    assert refusal.value.sqlstate == "RX002"
