"""The fence is asked once a transaction: assert_executor() notes the transaction that holds it, for the triggers."""

from typing import Any

import asyncpg
import pytest
from engine_fence_counts import asked, count_questions

EXECUTOR = {"rtx.colour": "blue", "rtx.epoch": "1"}
WRITE = "UPDATE accounts SET balance = balance"


async def test_one_trigger_at_most_asks_for_an_order(pod: Any, database: Any) -> None:
    await count_questions(database)
    account_id = await pod.open_account("ada")
    before = await asked(database)

    await pod.place(account_id, "one")

    assert before == 1  # the account's opening
    assert await asked(database) <= before + 1


async def test_each_transaction_asks(database: Any) -> None:
    await count_questions(database)
    session = await database.connect("rtx_engine", **EXECUTOR)

    for number in range(1, 4):
        async with session.transaction():
            for _ in range(3):
                await session.execute(WRITE)
        assert await asked(database) == number
    await session.close()


async def test_savepoint_that_is_rolled_back_takes_the_note_with_its_lock(database: Any) -> None:
    await count_questions(database)
    session = await database.connect("rtx_engine", **EXECUTOR)

    await session.execute("BEGIN; SELECT pg_current_xact_id(); SAVEPOINT one; SELECT rtx_operator.assert_executor()")
    await session.execute(WRITE)
    assert await asked(database) == 0
    await session.execute("ROLLBACK TO one")
    await session.execute(WRITE)

    assert await asked(database) == 1
    await session.close()


async def test_note_ends_with_its_transaction(database: Any) -> None:
    # Given a session that held the fence, in a transaction that was committed and in one that was rolled back
    session = await database.connect("rtx_engine", **EXECUTOR)
    for end in ("COMMIT", "ROLLBACK"):
        await session.execute(f"BEGIN; SELECT rtx_operator.assert_executor(); {WRITE}; {end}")

    # When the fence moves
    await database.move_fence("green")

    # Then the session may not write any more
    with pytest.raises(asyncpg.PostgresError, match=r"colour blue .* may not execute") as refused:
        await session.execute(WRITE)
    assert refused.value.sqlstate == "RX001"
    await session.close()


async def test_refused_transaction_notes_nothing(database: Any) -> None:
    # Given a session of a colour that the fence does not name, amid a transaction
    session = await database.connect("rtx_engine", **{**EXECUTOR, "rtx.colour": "green"})
    await session.execute("BEGIN; SELECT pg_current_xact_id(); SAVEPOINT one")

    # When it is refused, and goes on behind its savepoint, then its writes are refused, too
    for statement in ("SELECT rtx_operator.assert_executor()", WRITE):
        with pytest.raises(asyncpg.PostgresError, match=r"colour green .* may not execute"):
            await session.execute(statement)
        await session.execute("ROLLBACK TO one")
    await session.close()
