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
# Of fence.sql: with another one, raise FENCE_SCHEMA, or no existing database gets the change.
VERSIONS = {2: "ef0f019a2d"}


@pytest_asyncio.fixture
async def earlier(mover: Mover) -> Mover:
    """A fence of an earlier release, in which a function is to be mended."""
    await mover.database.execute(BROKEN, user="rtx_operator")
    await mover.database.execute("DELETE FROM rtx_operator.fence_schema")
    await mover.database.execute("INSERT INTO rtx_operator.fence_schema (version, needs) VALUES (1, 1)")
    return mover


async def is_mended(mover: Mover) -> bool:
    [(mended,)] = await mover.database.execute(ASSERT)
    return bool(mended)


async def versions(mover: Mover) -> list[int]:
    rows = await mover.database.execute("SELECT version FROM rtx_operator.fence_schema ORDER BY version")
    return [row["version"] for row in rows]


def test_every_change_of_the_file_has_a_version() -> None:
    text = schema.sql()

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
