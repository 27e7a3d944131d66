"""The fence in the database: only the colours that it names execute, from the move on."""

import asyncio
import contextlib
from dataclasses import dataclass

import asyncpg
import pytest
from engine_pods import Pod
from engine_postgres import migrate
from rtx_engine.domain.accounts import NewAccount
from rtx_engine.store import OrderError, OrderErrorReason
from rtx_engine.store.migrate import Migrator

WITHOUT_FENCE = {"schema_migrations"}  # the migrator's own notes: no money, no orders
TIMEOUT_SECONDS = 20.0


async def test_every_table_has_the_fence_trigger(database):
    rows = await database.execute(
        """
        SELECT c.relname, t.tgname IS NOT NULL AS fenced
        FROM pg_class c
        LEFT JOIN pg_trigger t ON t.tgrelid = c.oid AND t.tgname = 'execution_fence' AND t.tgenabled = 'O'
            AND t.tgfoid = 'rtx_operator.fence_statement'::regproc
            AND t.tgtype & (2 | 4 | 8 | 16 | 32) = (2 | 4 | 8 | 16 | 32)  -- before; insert, delete, update, truncate
            AND t.tgtype & 1 = 0  -- for each statement
            AND pg_get_triggerdef(t.oid) LIKE '%rtx.fence_held%'  -- not again in a transaction that holds it
        WHERE c.relkind IN ('r', 'p') AND c.relnamespace NOT IN (
            'pg_catalog'::regnamespace, 'information_schema'::regnamespace, 'rtx_operator'::regnamespace
        )
        """
    )
    fenced = {row["relname"] for row in rows if row["fenced"]}
    assert {row["relname"] for row in rows} - fenced == WITHOUT_FENCE
    assert {"accounts", "orders", "fills", "positions", "account_events", "journal"} <= fenced


@pytest.mark.parametrize(
    ("settings", "allowed"),
    [
        ({"rtx.colour": "blue", "rtx.epoch": "1"}, True),
        ({"rtx.colour": "green", "rtx.epoch": "1"}, False),
        ({"rtx.colour": "blue", "rtx.epoch": "2"}, False),
        ({"rtx.colour": "blue", "rtx.epoch": ""}, False),
        ({"rtx.colour": "blue"}, False),
        ({"rtx.epoch": "1"}, False),
        ({}, False),
    ],
)
async def test_session_not_named_by_the_fence_cannot_write(database, settings, allowed):
    session = await database.connect("rtx_engine", **settings)
    try:
        for statement in ("SELECT rtx_operator.assert_executor()", "UPDATE accounts SET balance = 0 WHERE false"):
            if allowed:
                await session.execute(statement)
                continue
            with pytest.raises(asyncpg.PostgresError) as refusal:
                await session.execute(statement)
            assert refusal.value.sqlstate == "RX001"
    finally:
        await session.close()


@pytest.mark.parametrize("user", ["postgres", "rtx_engine"])
async def test_write_without_a_fence_row_is_refused(database, user):
    await database.execute("DELETE FROM rtx_operator.execution_fence")
    session = await database.connect(user, **{"rtx.colour": "blue", "rtx.epoch": "1"})
    try:
        with pytest.raises(asyncpg.PostgresError) as refusal:
            await session.execute("UPDATE accounts SET balance = 0 WHERE false")
        assert refusal.value.sqlstate == "RX001"
    finally:
        await session.close()


async def test_migrator_may_write_without_the_fence(database):
    await database.execute("UPDATE accounts SET balance = balance", user="rtx_migrator")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE rtx_operator.execution_fence SET executors = '{green}'",
        "DELETE FROM orders",
        "TRUNCATE orders",
        "UPDATE fills SET price = 0",
        "DROP TRIGGER execution_fence ON orders",
        "CREATE TABLE mine ()",
    ],
)
async def test_engine_role_lacks_other_rights(database, statement):
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await database.execute(statement, user="rtx_engine")


async def test_the_fence_sql_can_be_applied_again(database):
    connection = await database.connect("rtx_operator")
    try:
        await connection.execute(database.fence_sql)
        assert await connection.fetchval("SELECT epoch FROM rtx_operator.execution_fence") == 1
        with pytest.raises(asyncpg.UniqueViolationError):  # there is never a second opinion
            await connection.execute(
                "INSERT INTO rtx_operator.execution_fence (epoch, executors, cutover, owner) VALUES (2, '{}', '', '')"
            )
    finally:
        await connection.close()


async def test_order_at_a_colour_no_longer_named_is_answered_fenced(start_pod, database):
    blue, green = await start_pod("blue"), await start_pod("green")
    account_id = await blue.open_account("ada")
    before = await blue.place(account_id, "before")

    await database.move_fence("green")
    with pytest.raises(OrderError) as refusal:
        await blue.place(account_id, "late")
    with pytest.raises(OrderError) as no_account:
        await blue.store.accounts.create(NewAccount("bob", "hash", 0, 1))
    repeated = await blue.place(account_id, "before")
    after = await green.place(account_id, "late")

    assert refusal.value.reason is no_account.value.reason is OrderErrorReason.FENCED
    assert (repeated.replayed, repeated.execution) == (True, before.execution)  # what was placed can still be told
    assert (after.replayed, after.execution.colour, after.execution.epoch) == (False, "green", 2)
    assert not blue.store.fence.executing


async def test_pod_of_a_revision_that_the_fence_does_not_name_is_answered_fenced(start_pod, database):
    # Given a pod of an older revision in blue, which hung on a lost node, and one of the revision that is named
    hung, named = await start_pod("blue", revision="old"), await start_pod("blue", revision="new")
    account_id = await hung.open_account("ada")
    await database.move_fence("green")
    await database.move_fence("blue", revisions=["new"])

    # When both are asked to place an order
    with pytest.raises(OrderError) as refusal:
        await hung.place(account_id, "hung")
    placed = await named.place(account_id, "named")

    # Then only the named revision has executed
    assert refusal.value.reason is OrderErrorReason.FENCED
    assert not hung.store.fence.executing
    assert (placed.execution.colour, placed.execution.epoch) == ("blue", 3)


@pytest.mark.parametrize(("revision", "executes"), [("new", True), ("old", False), (None, False)])
async def test_database_itself_refuses_a_session_of_another_revision(database, revision, executes):
    await database.move_fence("blue", revisions=["new"])
    settings = {"rtx.colour": "blue", "rtx.epoch": "2"} | ({"rtx.revision": revision} if revision else {})
    session = await database.connect("rtx_engine", **settings)
    try:
        if executes:
            assert await session.fetchval("SELECT rtx_operator.assert_executor()") == 2
        else:
            with pytest.raises(asyncpg.PostgresError) as refusal:
                await session.execute("UPDATE accounts SET balance = 0 WHERE false")
            assert refusal.value.sqlstate == "RX001"
    finally:
        await session.close()


async def test_move_that_keeps_a_colour_fails_none_of_its_orders(pod, database):
    account_id = await pod.open_account("ada")

    epochs = []
    for number in range(5):
        await database.move_fence("blue")
        epochs.append((await pod.place(account_id, str(number))).execution.epoch)

    assert epochs == [2, 3, 4, 5, 6]


async def test_colour_named_again_has_no_stale_data(start_pod, database):
    blue, green = await start_pod("blue"), await start_pod("green")
    account_id = await blue.open_account("ada")
    await blue.place(account_id, "one", side="buy")
    await database.move_fence("green")
    await green.place(account_id, "two", side="buy")
    await database.move_fence("blue")

    third = await blue.place(account_id, "three", side="buy")

    assert third.execution.sequence == 3
    [position] = await blue.store.reader.positions(account_id)
    assert str(position.quantity) == "0.30"


async def test_idle_colour_keeps_its_order_connection_open(start_pod, database):
    async def sessions_of_green():
        return await database.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'green' ORDER BY pid")

    blue, green = await start_pod("blue"), await start_pod("green")
    account_id = await blue.open_account("ada")
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while len(before := await sessions_of_green()) < 2:  # noqa: ASYNC110  # nothing tells that a session is there
            await asyncio.sleep(0.01)

    await database.move_fence("green")
    await green.place(account_id, "first")

    assert await sessions_of_green() == before


async def test_fence_move_is_notified(pod, database):
    heard = asyncio.Event()
    pod.store.fence.on_change(lambda state: heard.set() if state.epoch == 2 else None)

    await database.move_fence("green")

    async with asyncio.timeout(TIMEOUT_SECONDS):
        await heard.wait()
    assert pod.store.fence.state.executors == ("green",)


@pytest.mark.parametrize(
    "loss", ["DELETE FROM rtx_operator.execution_fence", "DROP SCHEMA rtx_operator CASCADE"], ids=["row", "schema"]
)
async def test_a_pod_of_a_database_without_its_fence_is_not_ready(database, loss):
    # Given a pod that has read the fence and executes
    fence = Pod(database.engine).store.fence
    session = await database.connect("rtx_engine")
    try:
        assert await fence.refresh(session)
        assert fence.executing

        # When the database answers without a fence: its volume came back empty
        await database.execute(loss)
        assert await fence.refresh(session) is None

        # Then the pod neither executes nor is ready, until it is migrated and has a fence again
        assert fence.state is None
        assert not fence.executing
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await fence.wait_until_known()
    finally:
        await session.close()


async def test_a_pod_of_a_database_restored_from_before_its_migration_is_not_ready(database):
    # Given a pod that has read the fence and executes
    fence = Pod(database.engine).store.fence
    session = await database.connect("rtx_engine")
    try:
        before = await fence.refresh(session)
        assert fence.executing

        # When the database comes back from a backup of before the upgrade: its schema is the earlier version's
        async with Migrator.connected(database.as_role("rtx_migrator")) as migrator:
            await migrator.down(to=1)

            # Then the pod is not ready, since each of its orders would fail, until the migration has run again
            assert await fence.refresh(session) is None
            assert not fence.executing
            await migrator.up()
        assert await fence.refresh(session) == before
        assert fence.executing
    finally:
        await session.close()


async def test_a_pod_of_a_restored_database_is_ready_again(database):
    # Given a pod that found its database without a fence
    fence = Pod(database.engine).store.fence
    session = await database.connect("rtx_engine")
    try:
        before = await fence.refresh(session)
        await database.execute("ALTER TABLE rtx_operator.execution_fence RENAME TO away")
        assert await fence.refresh(session) is None

        # When the data are restored
        await database.execute("ALTER TABLE rtx_operator.away RENAME TO execution_fence")

        # Then it executes again
        assert await fence.refresh(session) == before
        assert fence.executing
    finally:
        await session.close()


async def test_a_pod_is_not_ready_before_the_migration(fenced_database):
    # given a pod that has read a fence before there are tables
    store = Pod(fenced_database.engine).store
    await store.start()
    try:
        assert await store.read_fence() is None
        # then it knows of none
        assert store.fence.state is None
        # when the tables are there, then it comes to know of it
        await migrate(fenced_database.as_role("rtx_migrator"))
        async with asyncio.timeout(TIMEOUT_SECONDS):
            assert (await store.fence.wait_until_known()).executors == ("blue",)
    finally:
        await store.stop()


@dataclass
class Move:
    epoch: int
    executors: str
    committed_at: object


async def trade_across_moves(start_pod, database) -> list[Move]:
    """Two pods of each colour place orders as fast as they can while the fence goes to and fro, some at each epoch."""
    pods = [await start_pod("blue"), await start_pod("green"), await start_pod("blue"), await start_pod("green")]
    accounts = [await pods[0].open_account(f"user {n}", balance="1000000") for n in range(10)]
    done, placed = asyncio.Event(), 0

    async def orders_flow() -> None:
        enough = placed + 60
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while placed < enough:  # noqa: ASYNC110  # many wait for their own; this one only looks
                await asyncio.sleep(0.01)

    async def trade(pod_number: int, worker: int) -> None:
        nonlocal placed
        order = 0
        while not done.is_set():
            order += 1
            account_id = accounts[(worker + order) % len(accounts)]
            with contextlib.suppress(OrderError):
                await pods[pod_number].place(account_id, f"{pod_number} {worker} {order}", quantity="0.01")
                placed += 1
            await asyncio.sleep(0)

    trading = [asyncio.create_task(trade(pod, worker)) for pod in range(len(pods)) for worker in range(5)]
    moves = []
    for number in range(6):
        await orders_flow()
        colour = ("green", "blue")[number % 2]
        epoch = await database.move_fence(colour)
        [(at,)] = await database.execute("SELECT pg_xact_commit_timestamp(xmin) FROM rtx_operator.execution_fence")
        moves.append(Move(epoch, colour, at))
    await orders_flow()
    done.set()
    await asyncio.gather(*trading)
    return moves


async def late_orders(database, moves: list[Move]) -> int:
    """Orders of a colour that their epoch does not name, or committed after the move that ended their epoch."""
    rows = await database.execute(
        """
        SELECT count(*) FROM orders
        LEFT JOIN unnest($1::bigint[], $2::text[], $3::timestamptz[]) AS own (epoch, executors, at)
            ON own.epoch = orders.epoch
        LEFT JOIN unnest($1::bigint[], $2::text[], $3::timestamptz[]) AS next (epoch, executors, at)
            ON next.epoch = orders.epoch + 1
        WHERE orders.colour <> coalesce(own.executors, 'blue') OR pg_xact_commit_timestamp(orders.xmin) >= next.at
        """,
        [move.epoch for move in moves],
        [move.executors for move in moves],
        [move.committed_at for move in moves],
    )
    return rows[0][0]


async def test_no_fill_of_an_epoch_commits_after_the_next_has_begun(start_pod, database):
    moves = await trade_across_moves(start_pod, database)

    placed = await database.execute("SELECT epoch, count(*) FROM orders GROUP BY epoch")
    assert {row["epoch"] for row in placed} == set(range(1, 8))  # there were orders to be late in each epoch
    assert await late_orders(database, moves) == 0


async def test_late_fills_occur_without_the_fence(start_pod, database):
    # given triggers that are gone and an assertion that asserts nothing
    for table in ("accounts", "orders", "fills", "positions", "account_events"):
        await database.execute(f"DROP TRIGGER execution_fence ON {table}")
    await database.execute(
        "CREATE OR REPLACE FUNCTION rtx_operator.assert_executor() RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'"
    )

    moves = await trade_across_moves(start_pod, database)

    assert await late_orders(database, moves) > 0
