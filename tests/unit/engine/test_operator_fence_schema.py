"""The fence's schema on a real PostgreSQL: a later release of the operator brings it up to date, and blocks nobody."""

import asyncio
import hashlib

import pytest
import pytest_asyncio
from fence_mover import Mover
from rtx_operator.cluster import postgres as fence
from rtx_operator.cluster.postgres import schema
from rtx_operator.observation import FENCE_SCHEMA, FENCE_SCHEMA_NEEDS, FenceSchema

BROKEN = "CREATE OR REPLACE FUNCTION rtx_operator.assert_executor() RETURNS bigint LANGUAGE sql AS 'SELECT -1::bigint'"
ASSERT = "SELECT prosrc LIKE '%RX001%' FROM pg_proc WHERE proname = 'assert_executor'"
TODAY = FenceSchema(FENCE_SCHEMA, FENCE_SCHEMA_NEEDS)
# Of fence.sql and its steps: with others, raise FENCE_SCHEMA, or no existing database gets the change.
VERSIONS = {5: "f2828478d5"}
HAS_PRIMARY_KEY = (
    "SELECT count(*) FROM pg_index WHERE indrelid = 'rtx_operator.execution_fence'::regclass AND indisprimary"
)
# Tables, columns, constraints, indexes, triggers, functions and rights of the fence's schema, as text.
CATALOGUE = """
SELECT c.relname || ': ' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull AS what
FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid
WHERE relnamespace = 'rtx_operator'::regnamespace AND relkind = 'r' AND attnum > 0 AND NOT attisdropped
UNION ALL SELECT conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'rtx_operator'::regnamespace
UNION ALL SELECT pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class ON pg_class.oid = indrelid
    WHERE relnamespace = 'rtx_operator'::regnamespace
UNION ALL SELECT pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid
    WHERE relnamespace = 'rtx_operator'::regnamespace
UNION ALL SELECT pg_get_functiondef(oid) || ' ' || coalesce(proacl::text, '') FROM pg_proc
    WHERE pronamespace = 'rtx_operator'::regnamespace
UNION ALL SELECT relname || ' ' || coalesce(relacl::text, '') FROM pg_class
    WHERE relnamespace = 'rtx_operator'::regnamespace
ORDER BY 1
"""


@pytest_asyncio.fixture
async def earlier(mover: Mover) -> Mover:
    """A fence of an earlier release, in which a function is to be mended."""
    await mover.database.execute(BROKEN, user="rtx_operator")
    await mover.database.execute("DELETE FROM rtx_operator.fence_schema")
    await mover.database.execute("INSERT INTO rtx_operator.fence_schema (version, needs) VALUES (1, 1)")
    return mover


@pytest_asyncio.fixture
async def without_key(earlier: Mover) -> Mover:
    """A fence that was made before it had a primary key, and was brought up to version 2 all the same."""
    await earlier.database.execute("ALTER TABLE rtx_operator.execution_fence DROP CONSTRAINT execution_fence_pkey")
    await earlier.database.execute("UPDATE rtx_operator.fence_schema SET version = 2")
    return earlier


async def is_mended(mover: Mover) -> bool:
    [(mended,)] = await mover.database.execute(ASSERT)
    return bool(mended)


async def versions(mover: Mover) -> list[int]:
    rows = await mover.database.execute("SELECT version FROM rtx_operator.fence_schema ORDER BY version")
    return [row["version"] for row in rows]


def test_every_change_of_the_file_has_a_version() -> None:
    text = "".join((schema.sql(), *schema.steps().values()))

    assert max(schema.steps()) <= FENCE_SCHEMA
    assert VERSIONS[FENCE_SCHEMA] == hashlib.sha256(text.encode()).hexdigest()[:10]


async def test_mended_function_reaches_an_existing_database(earlier: Mover) -> None:
    # Given a fence of an earlier release, and its row
    before = await earlier.read()
    assert not await is_mended(earlier)

    # When it is brought up to date, twice
    assert await earlier.update() == TODAY
    assert await earlier.update() == TODAY

    # Then its function is mended, its row as it was, and its history complete
    assert await is_mended(earlier)
    assert await earlier.read() == before
    assert await versions(earlier) == [1, FENCE_SCHEMA]
    assert (await earlier.reader.read(earlier.address, "operator")).schema == TODAY


async def test_fence_without_a_primary_key_gets_one(without_key: Mover) -> None:
    before = await without_key.read()

    assert await without_key.update() == TODAY

    assert await without_key.database.execute(HAS_PRIMARY_KEY) == [(1,)]
    assert await without_key.read() == before


async def test_fence_that_was_without_a_primary_key_moves_once_it_is_published(without_key: Mover) -> None:
    await without_key.database.execute("CREATE PUBLICATION everything FOR ALL TABLES")

    assert (await without_key.move("green")).executors == ("green",)


async def test_fence_that_was_brought_up_to_date_is_as_a_new_one(without_key: Mover, mover: Mover) -> None:
    await without_key.update()
    brought_up = await without_key.database.execute(CATALOGUE)

    await mover.database.execute("DROP SCHEMA rtx_operator CASCADE")
    await mover.move("blue", expected=None)

    assert brought_up == await mover.database.execute(CATALOGUE)


async def test_step_is_run_once(earlier: Mover, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a step that cannot be run twice, and one that an earlier release has run
    steps = {1: "SELECT 1 / 0", FENCE_SCHEMA: "CREATE TABLE rtx_operator.once ()"}
    monkeypatch.setattr(schema, "steps", lambda: steps)

    # When the schema is brought up to date, twice, and the fence moves
    assert await earlier.update() == TODAY
    assert await earlier.update() == TODAY

    # Then the step was run
    assert (await earlier.move("green")).executors == ("green",)
    assert await earlier.database.execute("SELECT FROM rtx_operator.once") == []


async def test_new_fence_takes_no_steps(mover: Mover, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "steps", lambda: {FENCE_SCHEMA: "SELECT 1 / 0"})
    await mover.database.execute("DROP SCHEMA rtx_operator CASCADE")

    assert (await mover.move("blue", expected=None)).executors == ("blue",)


async def test_step_gives_up_behind_a_reader_and_is_tried_again(without_key: Mover) -> None:
    # Given a reader that keeps its lock, as a dump does
    reader = await without_key.database.connect("rtx_operator")
    async with reader.transaction():
        await reader.execute("SELECT FROM rtx_operator.execution_fence")

        # When the step waits for it, then it gives up as a move does, and has changed nothing
        with pytest.raises(fence.FenceUnreachableError, match="lock timeout"):
            await without_key.update()
        assert await versions(without_key) == [2]
        assert not await is_mended(without_key)
    await reader.close()

    # And when it is tried again, then it is done
    assert await without_key.update() == TODAY


async def test_move_does_not_wait_for_a_step_behind_a_dump(without_key: Mover) -> None:
    # Given a dump that runs for an hour, and a fence for which this release has a step
    reader = await without_key.database.connect("rtx_operator")
    async with reader.transaction():
        await reader.execute("SELECT FROM rtx_operator.execution_fence")

        # When the fence moves, then it does, and the step is left
        assert (await without_key.move("green")).executors == ("green",)
        assert await versions(without_key) == [2]
    await reader.close()

    # And the next move takes it
    await without_key.move("blue", expected=2)
    assert await versions(without_key) == [2, FENCE_SCHEMA]


async def test_move_brings_the_schema_up_to_date_first(earlier: Mover) -> None:
    moved = await earlier.move("green")

    assert moved.executors == ("green",)
    assert await is_mended(earlier)
    assert await versions(earlier) == [1, FENCE_SCHEMA]


async def test_new_fence_has_the_version_of_this_release(mover: Mover) -> None:
    await mover.database.execute("DROP SCHEMA rtx_operator CASCADE")

    await mover.move("blue", expected=None)

    assert await versions(mover) == [FENCE_SCHEMA]


async def test_update_waits_for_no_order_and_no_reader(earlier: Mover) -> None:
    # Given an order amid its transaction, and a reader that keeps its lock, as a dump does
    reader = await earlier.database.connect("rtx_operator")
    async with earlier.frozen("blue") as order, reader.transaction():
        await reader.execute("SELECT FROM rtx_operator.execution_fence")

        # When the schema is brought up to date, then it is, and both go on
        assert await earlier.update() == TODAY
        await order.execute("COMMIT")
    await reader.close()
    assert await is_mended(earlier)


async def test_order_does_not_wait_for_an_update(earlier: Mover) -> None:
    # Given an update that is not committed yet
    operator = await earlier.database.connect("rtx_operator")
    await operator.execute("BEGIN")
    await schema.bring_up_to_date(operator)

    # When an order asks for the fence, then it has its answer
    order = await earlier.database.connect("rtx_engine", application_name="blue", lock_timeout="2s")
    await order.execute("SELECT set_config('rtx.colour', 'blue', false), set_config('rtx.epoch', '1', false)")
    assert await order.fetchval("SELECT rtx_operator.assert_executor()", timeout=20) in {1, -1}
    await order.close()
    await operator.close()


async def test_concurrent_updates_happen_once(earlier: Mover) -> None:
    outcomes = await asyncio.gather(*(earlier.update() for _ in range(4)), return_exceptions=True)

    # One that could not get its turn in time is tried again by the next reconcile.
    assert TODAY in outcomes
    assert all(isinstance(one, fence.FenceUnreachableError) for one in outcomes if one != TODAY)
    assert await versions(earlier) == [1, FENCE_SCHEMA]


async def test_update_that_fails_changes_nothing(earlier: Mover, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a file whose last statement fails
    whole = schema.sql()
    monkeypatch.setattr(schema, "sql", lambda: f"{whole}; SELECT 1 / 0")

    # When the schema is brought up to date
    with pytest.raises(fence.FenceUnreachableError, match="division by zero"):
        await earlier.update()

    # Then everything is as it was
    assert not await is_mended(earlier)
    assert await versions(earlier) == [1]


async def test_schema_of_a_later_release_is_left_alone(mover: Mover) -> None:
    # Given a later release's schema that this one can use
    await mover.database.execute(BROKEN, user="rtx_operator")
    await _later(mover, needs=FENCE_SCHEMA)

    # When it is brought up to date, and the fence moves
    assert await mover.update() == FenceSchema(FENCE_SCHEMA + 1, FENCE_SCHEMA)
    assert (await mover.move("green")).executors == ("green",)

    # Then its functions are as the later release made them
    assert not await is_mended(mover)


async def test_fence_that_needs_a_later_release_does_not_move(mover: Mover) -> None:
    await _later(mover, needs=FENCE_SCHEMA + 1)

    with pytest.raises(fence.FenceChangedError, match="a later release of the operator"):
        await mover.move("green")

    assert await mover.row() == (1, ["blue"], "")


async def test_schema_of_another_engine_is_left_alone(earlier: Mover) -> None:
    await earlier.database.execute("UPDATE rtx_operator.execution_fence SET owner = 'elsewhere/rtx/uid'")

    with pytest.raises(fence.DatabaseInUseError):
        await earlier.move("green")

    assert not await is_mended(earlier)


async def _later(mover: Mover, *, needs: int) -> None:
    await mover.database.execute(
        "INSERT INTO rtx_operator.fence_schema (version, needs) VALUES ($1, $2)", FENCE_SCHEMA + 1, needs
    )
