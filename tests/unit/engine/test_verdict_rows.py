"""The query by which a load is judged, against a real database: what it finds kept, and what it finds broken."""

import pytest
from rtx_demo.database import ROWS
from rtx_traffic import fenced
from rtx_traffic.rows import Database

BEHIND_THE_FENCES_BACK = "SET session_replication_role = replica"


async def rows_of_run(database, run: str) -> Database:
    (row,) = await database.execute(ROWS.replace(":'run'", "$1::text"), run)
    return Database.parse(row[0].encode())


@pytest.fixture
async def traded(start_pod, database):
    """One order by blue, a move of the fence, and one order by green; and one of another run."""
    blue = await start_pod("blue")
    account = await blue.open_account("trader")
    await blue.place(account, "r-1")
    await blue.place(account, "other-1")
    await database.move_fence("green")
    green = await start_pod("green")
    await green.place(account, "r-2", quantity="0.20")
    return database


async def test_a_run_across_a_move_of_the_fence_is_told_whole(traded):
    # given an order on each side of a move, when the rows of the run are read
    rows = await rows_of_run(traded, "r")

    # then they are those of the run, with positions of all that the account ever dealt, and the fence's whole history
    assert sorted((row.client_order_id, row.colour) for row in rows.orders) == [("r-1", "blue"), ("r-2", "green")]
    assert sorted(row.client_order_id for row in rows.events) == ["r-1", "r-2"]
    assert all(fill.committed_us for fill in rows.fills)
    assert [(row.quantity, row.fills) for row in rows.positions] == [(rows.positions[0].fills,) * 2]
    assert {row.epoch: row.executors for row in rows.history} == {1: ("blue",), 2: ("green",)}
    assert list(fenced.executions(rows)) == []
    assert fenced.overlap_s(rows) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        "UPDATE fills SET price = price WHERE epoch = 1",  # a new row version: committed after the move
        "UPDATE fills SET epoch = 1 WHERE epoch = 2",  # green's, in blue's epoch
        "UPDATE fills SET epoch = 9 WHERE epoch = 2",
    ],
)
async def test_a_fill_that_the_fence_would_have_refused_is_found(traded, wrong):
    # given a database without the fence for a moment, when something executes out of its turn
    session = await traded.connect("postgres")
    try:
        await session.execute(BEHIND_THE_FENCES_BACK)
        await session.execute(wrong)
    finally:
        await session.close()

    # then each such fill of the run is told
    found = list(fenced.executions(await rows_of_run(traded, "r")))
    assert len(found) == 1, found
