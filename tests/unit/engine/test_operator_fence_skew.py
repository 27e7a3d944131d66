"""Releases of engine and operator meet at the fence: either may be the newer one, and either asks often enough."""

import asyncio
import itertools
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from engine_fence_counts import asked, count_questions
from fence_mover import OWNER, Mover
from rtx_engine.store.migrate import Migrator
from rtx_operator.cluster.postgres import schema
from rtx_operator.observation import FENCE_SCHEMA

NOTE = "        PERFORM set_config('rtx.fence_held', pg_current_xact_id()::text, true);\n"
WITHOUT_NOTES = 3  # the last version of the fence's schema whose assert_executor() notes nothing
EXECUTOR = {"rtx.colour": "blue", "rtx.epoch": "1"}
WRITE = "UPDATE accounts SET balance = balance"
TABLES_OF_AN_ORDER = ("orders", "fills", "account_events", "positions", "accounts")  # which its statement writes


@pytest_asyncio.fixture
async def older_fence(database: Any) -> Mover:
    """Today's tables, with the fence of an operator whose assert_executor() notes nothing."""
    assert NOTE in schema.sql()
    operator = await database.connect("rtx_operator")
    await operator.execute(schema.sql().replace(NOTE, ""))
    await operator.execute("INSERT INTO rtx_operator.fence_schema (version, needs) VALUES ($1, 1)", WITHOUT_NOTES)
    await operator.execute("UPDATE rtx_operator.execution_fence SET owner = $1", str(OWNER))
    await operator.close()
    return Mover(database)


async def test_engine_on_an_older_fence_asks_by_every_trigger(older_fence: Mover, pod: Any) -> None:
    await count_questions(older_fence.database)
    account_id = await pod.open_account("ada")
    before = await asked(older_fence.database)

    await pod.place(account_id, "one")

    assert await asked(older_fence.database) >= before + len(TABLES_OF_AN_ORDER)


async def test_older_fence_that_moves_refuses_the_engine_that_it_does_not_name(older_fence: Mover) -> None:
    session = await older_fence.database.connect("rtx_engine", **EXECUTOR)
    await session.execute(f"BEGIN; SELECT rtx_operator.assert_executor(); {WRITE}; COMMIT")

    await older_fence.database.move_fence("green")

    with pytest.raises(asyncpg.PostgresError, match=r"colour blue .* may not execute"):
        await session.execute(WRITE)
    await session.close()


async def test_fence_is_brought_up_to_date_under_orders(older_fence: Mover, pod: Any) -> None:
    # Given an engine that executes as fast as it is answered
    account_id = await pod.open_account("ada")
    placed, done = 0, False

    async def trade() -> None:
        nonlocal placed
        for number in itertools.count():
            if done:
                return
            await pod.place(account_id, f"order-{number}", side=("buy", "sell")[number % 2])
            placed += 1

    async def goes_on() -> None:
        enough = placed + 10
        async with asyncio.timeout(30):
            while placed < enough:  # noqa: ASYNC110  # counts orders of another task
                await asyncio.sleep(0.01)

    # When the operator brings the fence up to date
    async with asyncio.TaskGroup() as group:
        group.create_task(trade())
        await goes_on()
        assert (await older_fence.update()).version == FENCE_SCHEMA
        await goes_on()
        done = True

    # Then no order has failed, and from now on an order asks once
    await count_questions(older_fence.database)
    await pod.place(account_id, "last")
    assert await asked(older_fence.database) == 1


async def test_update_of_the_fence_that_fails_leaves_the_older_one(
    older_fence: Mover, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = schema.sql()
    monkeypatch.setattr(schema, "sql", lambda: f"{whole}; SELECT 1 / 0")

    with pytest.raises(Exception, match="division by zero"):
        await older_fence.update()

    [(source,)] = await older_fence.database.execute("SELECT prosrc FROM pg_proc WHERE proname = 'assert_executor'")
    assert "fence_held" not in source


async def test_older_engine_on_this_fence_asks_by_every_trigger(fenced_database: Any) -> None:
    # Given the tables of an engine whose triggers know nothing of notes
    async with Migrator.connected(fenced_database.as_role("rtx_migrator")) as migrator:
        await migrator.up(to=3)
    await count_questions(fenced_database)
    session = await fenced_database.connect("rtx_engine", **EXECUTOR)

    # When it writes three times in a transaction that holds the fence
    async with session.transaction():
        await session.execute("SELECT rtx_operator.assert_executor()")
        for _ in range(3):
            await session.execute(WRITE)
    await session.close()

    # Then each has asked
    assert await asked(fenced_database) == 3
