"""The operator's fence moves on a real PostgreSQL: no session blocks a move, and no move happens twice."""

import asyncio
from contextlib import suppress
from typing import Any

import asyncpg
import pytest
from fence_mover import OWNER, Mover
from rtx_operator.cluster import postgres as fence
from rtx_operator.cluster.postgres import mover as fence_mover
from rtx_operator.cluster.postgres.schema import LOCK
from rtx_operator.cluster.postgres.session import connected
from rtx_operator.observation import Fence, Owner

OTHER = Owner("elsewhere", "rtx", "uid-2")


async def test_a_move_names_the_new_executors_at_a_higher_epoch_and_is_remembered(mover: Mover) -> None:
    moved = await mover.move("green", known=6)

    assert (moved.epoch, moved.executors, moved.owner) == (7, ("green",), str(OWNER))
    assert moved == await mover.read()
    assert await mover.history() == [(1, ["blue"], ""), (7, ["green"], "1.1.0-0a1b2c3d")]
    [(together,)] = await mover.database.execute(
        "SELECT h.xmin = f.xmin FROM rtx_operator.execution_fence f JOIN rtx_operator.execution_fence_history h "
        "USING (epoch)"
    )
    assert together, "history and fence were written by two transactions"


async def test_the_history_can_be_read_by_the_engine_and_written_by_nobody_but_the_operator(mover: Mover) -> None:
    rows = await mover.database.execute("SELECT FROM rtx_operator.execution_fence_history", user="rtx_engine")

    assert len(rows) == 1
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await mover.database.execute("DELETE FROM rtx_operator.execution_fence_history", user="rtx_engine")


async def test_fence_is_created_if_it_is_missing(mover: Mover) -> None:
    await mover.database.execute("DROP SCHEMA rtx_operator CASCADE")

    made = await mover.move("blue", known=0, expected=None)

    assert (made.epoch, made.executors, made.revisions) == (1, ("blue",), ("r2",))
    assert await mover.history() == [(1, ["blue"], "1.1.0-0a1b2c3d")]


async def test_fence_that_was_lost_with_its_database_is_not_created_again(mover: Mover) -> None:
    # Given an engine whose fence was at epoch 7, and an empty volume: there are roles, and nothing else
    await mover.database.execute("DROP SCHEMA rtx_operator CASCADE")

    # When the fence is to move, by a decision that knew it or one that did not find it
    for expected in (7, None):
        with pytest.raises(fence.FenceChangedError, match="no fence any more; the decision knew epoch 7"):
            await mover.move("blue", known=7, expected=expected)

    # Then the database stays empty
    assert await mover.read() is None


async def test_fence_whose_row_was_deleted_is_made_above_its_history(mover: Mover) -> None:
    # Given a volume on which somebody has deleted the fence's row
    await mover.move("green")
    await mover.database.execute("DELETE FROM rtx_operator.execution_fence")

    # When an engine is installed on it, then its fence gets an epoch that no pod has ever had
    made = await mover.move("blue", expected=None, cutover="install-uid-2-0")
    assert made.epoch == 3


async def test_fence_that_was_set_back_by_hand_moves_above_its_history(mover: Mover) -> None:
    await mover.move("green")
    await mover.move("blue", expected=2)
    await mover.database.execute("ALTER TABLE rtx_operator.execution_fence DISABLE TRIGGER USER")
    await mover.database.execute("UPDATE rtx_operator.execution_fence SET epoch = 1")
    await mover.database.execute("ALTER TABLE rtx_operator.execution_fence ENABLE TRIGGER USER")

    assert (await mover.move("green", cutover="later")).epoch == 4


async def test_move_by_who_knows_no_revisions_means_any(mover: Mover) -> None:
    # Given a fence that names a revision
    assert (await mover.move("green")).revisions == ("r2",)

    # When it is moved by a statement that does not set the column
    await mover.database.execute(
        "UPDATE rtx_operator.execution_fence SET epoch = epoch + 1, executors = '{blue}'", user="rtx_operator"
    )

    # Then every revision of the colour may execute
    moved = await mover.read()
    assert moved is not None
    assert (moved.executors, moved.revisions) == (("blue",), None)


async def test_fence_moved_by_another_is_left_alone(mover: Mover) -> None:
    await mover.move("green", cutover="first")

    with pytest.raises(
        fence.FenceChangedError, match=r"names green at epoch 2 for cutover 'first'; .* expected epoch 1"
    ):
        await mover.move("blue", cutover="second", expected=1)
    with pytest.raises(fence.FenceChangedError):
        await mover.move("blue", cutover="second", expected=None)

    assert await mover.row() == (2, ["green"], "first")


async def test_unknown_commit_is_resolved_by_a_retry(mover: Mover) -> None:
    first = await mover.move("green", known=1, expected=1)

    again = await mover.move("green", known=1, expected=1)
    remembered = await mover.move("green", known=first.epoch, expected=1)

    assert first == again == remembered
    assert len(await mover.history()) == 2


async def test_move_lost_in_a_failover_is_repeated_at_a_higher_epoch(mover: Mover) -> None:
    await mover.move("green", expected=1)  # epoch 2, by this cutover; status remembers that it got as far as 5

    moved = await mover.move("green", known=5, expected=2)

    assert moved.epoch == 6


async def test_the_database_of_another_engine_is_left_alone(mover: Mover) -> None:
    with pytest.raises(fence.DatabaseInUseError, match=str(OWNER)):
        await mover.move("green", owner=OTHER)

    assert await mover.row() == (1, ["blue"], "")


async def test_one_of_concurrent_movers_wins_and_the_others_see_it(mover: Mover) -> None:
    outcomes = await asyncio.gather(
        *(mover.move("green", cutover=f"cutover-{number}") for number in range(8)), return_exceptions=True
    )

    winners = [outcome for outcome in outcomes if isinstance(outcome, Fence)]
    losers = [outcome for outcome in outcomes if isinstance(outcome, fence.FenceChangedError)]
    assert (len(winners), len(losers)) == (1, 7), outcomes
    assert await mover.row() == (2, ["green"], winners[0].cutover)


async def test_concurrent_equal_moves_happen_once(mover: Mover) -> None:
    outcomes = await asyncio.gather(*(mover.move("green") for _ in range(8)))

    assert {outcome.epoch for outcome in outcomes} == {2}


async def test_frozen_session_that_holds_the_fence_is_terminated(mover: Mover) -> None:
    async with mover.frozen("blue") as blue, mover.frozen("green") as green:
        frozen = {blue.get_server_pid(), green.get_server_pid()}
        assert await mover.sessions() >= frozen

        moved = await mover.move("green")

        assert moved.epoch == 2
        async with asyncio.timeout(10):
            while await mover.sessions() & frozen:  # noqa: ASYNC110  # nothing tells that a session has gone
                await asyncio.sleep(0.01)


async def test_idle_session_that_holds_the_fence_is_terminated_at_once(
    mover: Mover, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given more tries than anybody could wait for, before a holder that is at work would be ended
    monkeypatch.setattr(fence_mover, "TRIES", 1000)
    async with mover.frozen("blue"), asyncio.timeout(30):
        assert (await mover.move("green")).epoch == 2


async def test_working_session_that_holds_the_fence_is_waited_for(mover: Mover) -> None:
    async with mover.frozen("blue") as blue:
        # given a pod amid a statement that takes longer than a try, but not than all of them
        working = asyncio.create_task(blue.execute("SELECT pg_sleep(0.5); COMMIT"))
        moved = await mover.move("green")

        # then it has come to its end
        await working
        assert (moved.epoch, await blue.fetchval("SELECT 1")) == (2, 1)


async def test_operator_frozen_during_a_move_does_not_block_orders(mover: Mover) -> None:
    # given a replica of the operator that has locked the fence, and then does nothing
    epochs: list[int] = []
    with suppress(fence.FenceUnreachableError):  # which is what it learns when it wakes up
        async with connected(mover.address, "operator") as frozen:
            await frozen.execute("BEGIN")
            await frozen.execute(LOCK)

            # when an order asks for the fence
            order = await mover.database.connect("rtx_engine", application_name="blue", statement_timeout="0")
            try:
                await order.execute(
                    "SELECT set_config('rtx.colour', 'blue', false), set_config('rtx.epoch', '1', false)"
                )
                epochs.append(await order.fetchval("SELECT rtx_operator.assert_executor()", timeout=20))
            finally:
                order.terminate()

    # then its turn comes
    assert epochs == [1]


async def test_foreign_session_is_named_and_not_terminated(mover: Mover) -> None:
    async with mover.frozen("a report") as session:
        with pytest.raises(fence.FenceUnreachableError, match=r"held by a report \(pid \d+\)"):
            await mover.move("green")

        assert await session.fetchval("SELECT 1") == 1
    assert await mover.row() == (1, ["blue"], "")


async def test_session_that_does_not_hold_the_fence_is_not_terminated(mover: Mover) -> None:
    patient = {"idle_in_transaction_session_timeout": "0"}
    bystander = await mover.database.connect("rtx_engine", application_name="blue", **patient)
    reader = await mover.database.connect("rtx_engine", application_name="green", **patient)
    try:
        for session in (bystander, reader):
            await session.execute("BEGIN")
        await bystander.execute("SELECT 1")
        await reader.execute("SELECT epoch FROM rtx_operator.execution_fence")  # keeps nobody waiting
        async with mover.frozen("blue"):
            await mover.move("green")

        assert await bystander.fetchval("SELECT 1") == await reader.fetchval("SELECT 1") == 1
    finally:
        await bystander.close()
        await reader.close()


async def test_a_move_waits_for_the_orders_under_way_and_later_ones_wait_for_it(mover: Mover) -> None:
    async with mover.frozen("an order") as order:  # no colour, so that a slow machine does not make it a frozen pod
        moving = asyncio.create_task(mover.move("green"))
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'ExclusiveLock' AND relation IS NOT NULL"
        while (await mover.database.execute(waiting))[0][0] == 0:  # noqa: ASYNC110 - PostgreSQL has no event
            await asyncio.sleep(0.01)
        await order.execute("COMMIT")

        assert (await moving).epoch == 2
        with pytest.raises(asyncpg.PostgresError) as refusal:
            await order.execute("SELECT rtx_operator.assert_executor()")
    assert refusal.value.sqlstate == "RX001"


async def test_a_database_that_does_not_answer_is_unreachable(mover: Mover) -> None:
    nowhere = fence.Address("127.0.0.1", 1, mover.address.database)

    with pytest.raises(fence.FenceUnreachableError, match=r"127\.0\.0\.1:1"):
        await fence.move(nowhere, "operator", OWNER, ("green",), ("r2",), 0, "x", expected_epoch=1)


async def test_many_observations_use_one_session(mover: Mover) -> None:
    # given a look
    seen = await mover.read()
    session = await mover.readers()

    # when the fence moves and is looked at again
    moved = await mover.move("green")
    again = await mover.read()

    # then the same session tells what is true now
    assert seen is not None
    assert (seen.executors, again) == (("blue",), moved)
    assert await mover.readers() == session


async def test_observation_survives_a_terminated_session(mover: Mover) -> None:
    # given a session that was ended from outside, between two looks or amid one
    await mover.read()
    [session] = await mover.readers()
    await mover.database.execute("SELECT pg_terminate_backend($1)", session)
    with suppress(fence.FenceUnreachableError):
        await mover.read()

    # when it is looked at again
    seen = await mover.read()

    # then by a new session
    assert seen is not None
    assert await mover.readers() != [session]


async def test_connections_of_a_deleted_engine_are_closed(mover: Mover) -> None:
    await mover.read()
    [session] = await mover.readers()

    mover.reader.forget(mover.address)

    async with asyncio.timeout(10):
        while session in await mover.sessions():  # noqa: ASYNC110  # nothing tells that a session has gone
            await asyncio.sleep(0.01)


async def test_unreachable_database_can_be_observed_later(mover: Mover) -> None:
    nowhere = fence.Address("127.0.0.1", 1, mover.address.database)

    for _ in range(2):
        with pytest.raises(fence.FenceUnreachableError, match=r"127\.0\.0\.1:1"):
            await mover.reader.read(nowhere, "operator")


async def test_fence_moves_while_all_tables_are_published(mover: Mover) -> None:
    # Given a publication of all tables, as tools for change data capture create it
    await mover.database.execute("CREATE PUBLICATION dbz_publication FOR ALL TABLES")

    # When the fence is moved, and moved back
    await mover.move("green")
    moved = await mover.move("blue", cutover="1.1.0-0a1b2c3d-back", expected=2)

    # Then both moves are made and remembered
    assert (moved.epoch, moved.executors) == (3, ("blue",))
    assert [epoch for epoch, _, _ in await mover.history()] == [1, 2, 3]


async def test_every_table_can_be_updated_while_it_is_published(database: Any) -> None:
    # Given the tables of a migrated database that have rows: a partitioned one has them in its partitions
    tables = "SELECT oid, oid::regclass::text AS name FROM pg_class WHERE relkind = 'r' AND relnamespace IN (%s)"
    ours = tables % "'public'::regnamespace, 'rtx_operator'::regnamespace"
    found = await database.execute(ours)
    assert {"accounts", "schema_migrations", "rtx_operator.execution_fence"} <= {row["name"] for row in found}

    # Then every table has a primary key, the identity of its rows in a publication
    lacking = await database.execute(
        f"SELECT name FROM ({ours}) AS ours"  # noqa: S608 - no input
        " WHERE NOT EXISTS (SELECT FROM pg_index WHERE indrelid = oid AND indisprimary)"
    )
    assert [row["name"] for row in lacking] == []


async def test_session_for_which_a_migration_waits_is_found(mover: Mover) -> None:
    # given a report that reads a table in its transaction, and a migration that changes it
    await mover.database.execute("CREATE TABLE public.prices (id int)")
    await mover.database.execute("GRANT SELECT ON public.prices TO rtx_engine")
    report = await mover.database.connect(
        "rtx_engine", application_name="report", idle_in_transaction_session_timeout="0"
    )
    await report.execute("BEGIN; SELECT FROM public.prices")
    migration = await mover.database.connect("postgres", application_name="rtx-migrate")
    change = asyncio.create_task(migration.execute("ALTER TABLE public.prices ADD COLUMN bid numeric"))

    # when the operator asks for whom it waits
    async with asyncio.timeout(10):
        while not (blocking := await mover.reader.find_blocking(mover.address, "operator")):  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    # then it knows who, what it does and since when; and nobody once the report has ended
    [session] = blocking
    assert (session.pid, session.name, session.role) == (report.get_server_pid(), "report", "rtx_engine")
    assert (session.state, session.since is None) == ("idle in transaction", False)
    await report.close()
    await change
    assert await mover.reader.find_blocking(mover.address, "operator") == ()
    await migration.close()


async def test_the_operator_has_the_log_switched_with_a_commit_at_its_end(mover: Mover) -> None:
    # given the number of the file of the log; by its name, the end of one is not the begin of the next
    number = "SELECT trunc(pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') / 16777216)"
    [(before,)] = await mover.database.execute(number)
    # when
    await fence.switch_log(mover.address, "operator")
    # then
    [(after,)] = await mover.database.execute(number)
    assert after > before
