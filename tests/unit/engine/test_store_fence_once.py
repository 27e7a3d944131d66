"""The fence is asked once a transaction, where assert_executor() notes that the transaction holds it."""

import pytest_asyncio

EXECUTOR = {"rtx.colour": "blue", "rtx.epoch": "1"}
WRITE = "UPDATE accounts SET balance = balance"


@pytest_asyncio.fixture
async def noting(database):
    """A database whose assert_executor() notes the transaction, and that counts what triggers ask."""
    [(source,)] = await database.execute("SELECT pg_get_functiondef('rtx_operator.assert_executor'::regproc)")
    noted = "PERFORM set_config('rtx.fence_held', pg_current_xact_id()::text, true); RETURN fence.epoch;"
    assert "RETURN fence.epoch;" in source
    await database.execute(source.replace("RETURN fence.epoch;", noted))
    await database.execute("CREATE SEQUENCE asked START 1")
    await database.execute("GRANT USAGE ON SEQUENCE asked TO rtx_engine")
    await database.execute(
        "CREATE OR REPLACE FUNCTION rtx_operator.fence_statement() RETURNS trigger LANGUAGE plpgsql AS $$"
        "BEGIN PERFORM nextval('asked'), rtx_operator.assert_executor(); RETURN NULL; END$$"
    )
    return database


async def asked(database) -> int:
    """How often triggers have asked."""
    [(last, is_called)] = await database.execute("SELECT last_value::int, is_called FROM asked")
    return last if is_called else 0


async def test_one_trigger_at_most_asks_for_an_order(pod, noting):
    account_id = await pod.open_account("ada")
    before = await asked(noting)

    await pod.place(account_id, "one")

    assert before == 1  # the account's opening
    assert await asked(noting) <= before + 1


async def test_each_transaction_asks(noting):
    session = await noting.connect("rtx_engine", **EXECUTOR)

    for number in range(1, 4):
        async with session.transaction():
            for _ in range(3):
                await session.execute(WRITE)
        assert await asked(noting) == number
    await session.close()


async def test_savepoint_that_is_rolled_back_takes_the_note_with_its_lock(noting):
    session = await noting.connect("rtx_engine", **EXECUTOR)

    await session.execute("BEGIN; SELECT pg_current_xact_id(); SAVEPOINT one; SELECT rtx_operator.assert_executor()")
    await session.execute(WRITE)
    assert await asked(noting) == 0
    await session.execute("ROLLBACK TO one")
    await session.execute(WRITE)

    assert await asked(noting) == 1
    await session.close()
