"""The order path: an acknowledged order is in the database once, with all its changes."""

import asyncio
import datetime as dt
import re
from decimal import Decimal

import msgspec
import pytest
from engine_ledger import unbalanced
from engine_pods import Prices
from rtx_engine.domain.orders import OrderStatus, RejectReason
from rtx_engine.store import OrderError, OrderErrorReason, statements
from rtx_engine.store.fence import FenceWatch
from rtx_engine.store.session import Session
from rtx_engine.store.transactions import Transactions
from rtx_engine.store.writer import Limits


async def test_acknowledged_fill_is_in_the_database(pod, database):
    account_id = await pod.open_account("ada")

    bought = (await pod.place(account_id, "one", side="buy", quantity="0.30")).execution
    pod.prices.bid, pod.prices.ask = Decimal("1.10110"), Decimal("1.10120")
    sold = (await pod.place(account_id, "two", side="sell", quantity="0.10")).execution

    assert (bought.status, bought.price, bought.sequence) == (OrderStatus.FILLED, Decimal("1.10010"), 1)
    assert (sold.status, sold.price, sold.sequence) == (OrderStatus.FILLED, Decimal("1.10110"), 2)
    assert sold.realised == Decimal("10.00")  # 0.10 lots of 100,000 at 0.00100
    [account] = await database.execute("SELECT balance, event_sequence FROM accounts")
    assert tuple(account) == (Decimal("10010.00"), 2)
    [position] = await database.execute("SELECT symbol, quantity, average_price FROM positions")
    assert tuple(position) == ("EURUSD", Decimal("0.20"), Decimal("1.10010"))
    fills = await database.execute("SELECT order_id, quantity, price, realised, epoch FROM fills ORDER BY executed_at")
    assert [tuple(fill) for fill in fills] == [
        (bought.order.order_id, Decimal("0.30"), Decimal("1.10010"), Decimal(0), 1),
        (sold.order.order_id, Decimal("-0.10"), Decimal("1.10110"), Decimal("10.00"), 1),
    ]
    events = await database.execute("SELECT sequence, kind, payload->>'client_order_id' FROM account_events ORDER BY 1")
    assert [tuple(event) for event in events] == [(1, "order", "one"), (2, "order", "two")]


async def test_events_are_published_as_they_are_read(pod):
    account_id = await pod.open_account("ada")

    await pod.place(account_id, "one")
    await pod.place(account_id, "two")

    stored = await pod.store.reader.events_since(account_id, 0)
    assert [event.sequence for event in stored] == [1, 2]
    assert [(e.account_id, e.sequence, msgspec.json.decode(e.payload)) for e in pod.events] == [
        (e.account_id, e.sequence, msgspec.json.decode(e.payload)) for e in stored
    ]
    assert [event.sequence for event in await pod.store.reader.events_since(account_id, 1)] == [2]
    assert await pod.store.reader.sequences([account_id]) == {account_id: 2}


async def test_repeated_order_gets_the_first_response(pod, database):
    account_id = await pod.open_account("ada")
    first = await pod.place(account_id, "one")
    pod.prices.ask = Decimal("1.20000")

    again = await pod.place(account_id, "one")

    assert not first.replayed
    assert again.replayed
    assert again.execution == first.execution
    assert len(await database.execute("SELECT id FROM fills JOIN orders ON id = order_id")) == 1
    assert len(pod.events) == 1


async def test_repeat_of_what_lost_less_than_half_a_cent_gets_the_first_response(pod):
    # given a long position, opened at a third of a point above the bid
    account_id = await pod.open_account("ada")
    pod.prices.ask = Decimal("1.10001")
    await pod.place(account_id, "one", quantity="0.01")
    pod.prices.ask = Decimal("1.10000")
    await pod.place(account_id, "two", quantity="0.02")

    closed = await pod.place(account_id, "close", side="sell", quantity="0.01")
    again = await pod.place(account_id, "close", side="sell", quantity="0.01")

    assert b'"realised":"0.00"' in closed.body
    assert again.body == closed.body


async def test_the_same_id_for_another_order_is_a_conflict(pod):
    account_id = await pod.open_account("ada")
    await pod.place(account_id, "one", quantity="0.10")

    for other in ({"quantity": "0.20"}, {"side": "sell"}, {"symbol": "GBPUSD"}):
        with pytest.raises(OrderError) as refusal:
            await pod.place(account_id, "one", **other)
        assert refusal.value.reason is OrderErrorReason.CONFLICT
    assert (await pod.place(account_id, "one", quantity="0.1")).replayed  # the same number, written otherwise


async def test_the_same_order_twenty_times_at_once_is_filled_once(start_pod, database):
    pods = [await start_pod(), await start_pod()]
    account_id = await pods[0].open_account("ada")

    placed = await asyncio.gather(*(pods[number % 2].place(account_id, "one") for number in range(20)))

    assert len({one.execution.order.order_id for one in placed}) == 1
    assert [one.replayed for one in placed].count(False) == 1
    assert await database.execute("SELECT quantity FROM positions") == [(Decimal("0.10"),)]


async def test_a_rejected_order_is_recorded_with_its_reason(pod):
    account_id = await pod.open_account("ada", balance="100.00", leverage=10)

    poor = await pod.place(account_id, "large", quantity="1.00")
    pod.prices.age = dt.timedelta(seconds=60)
    stale = await pod.place(account_id, "late", quantity="0.01")
    again = await pod.place(account_id, "late", quantity="0.01")

    assert (poor.execution.status, poor.execution.reason) == (OrderStatus.REJECTED, RejectReason.INSUFFICIENT_MARGIN)
    assert (stale.execution.status, stale.execution.reason) == (OrderStatus.REJECTED, RejectReason.STALE_QUOTE)
    assert (again.replayed, again.execution) == (True, stale.execution)
    assert await pod.store.reader.orders(account_id, 10) == [stale.execution, poor.execution]
    assert [event.sequence for event in await pod.store.reader.events_since(account_id, 0)] == [1, 2]
    assert await pod.store.reader.positions(account_id) == []


async def test_order_of_an_unknown_account_fails_alone(pod):
    account_id = await pod.open_account("ada")

    placed, refused = await asyncio.gather(
        pod.place(account_id, "one"), pod.place(account_id + 1, "one"), return_exceptions=True
    )

    assert placed.execution.status is OrderStatus.FILLED
    assert refused.reason is OrderErrorReason.UNKNOWN_ACCOUNT


async def test_one_bad_order_does_not_fail_the_batch_that_it_is_in(pod, database):
    account_id = await pod.open_account("ada")
    sizes: list[int] = []
    pod.store.orders.on_batch(sizes.append)

    good = [pod.place(account_id, f"good {number}") for number in range(10)]
    outcomes = await asyncio.gather(*good, pod.place(account_id, "bad\0"), return_exceptions=True)

    assert sizes == [11]
    assert [outcome.execution.status for outcome in outcomes[:-1]] == [OrderStatus.FILLED] * 10
    assert outcomes[-1].reason is OrderErrorReason.INTERNAL
    assert await database.execute("SELECT quantity FROM positions") == [(Decimal("1.00"),)]


async def test_orders_that_arrive_during_a_commit_form_the_next_batch(pod, database):
    account_id = await pod.open_account("ada")
    await pod.place(account_id, "before")
    sizes: list[int] = []
    pod.store.orders.on_batch(sizes.append)
    mover = await database.connect("rtx_operator")

    # given a batch that waits for a move of the fence
    async with mover.transaction():
        await mover.execute("LOCK TABLE rtx_operator.execution_fence IN EXCLUSIVE MODE")
        placing = [asyncio.create_task(pod.place(account_id, "first"))]
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while await database.execute(WAITING) != [(1,)]:  # noqa: ASYNC110  # nothing tells that a session waits
                await asyncio.sleep(0.01)
        placing += [asyncio.create_task(pod.place(account_id, str(number))) for number in range(20)]
        await asyncio.sleep(0)
    await asyncio.gather(*placing)
    await mover.close()

    assert sizes == [1, 20]


TIMEOUT_SECONDS = 20.0
WAITING = """
SELECT count(*)::int FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%assert_executor%'
"""


async def test_concurrent_orders_of_two_pods_on_one_account_add_up(start_pod, database):
    # given batches each of which finds, as often as not, that the account has moved on since it was read
    pods = [await start_pod(), await start_pod()]
    account_id = await pods[0].open_account("ada", balance="1000000")

    async def trade(pod, side: str) -> None:
        for number in range(100):
            await pod.place(account_id, f"{side} {number}", side=side, quantity="0.01")

    await asyncio.gather(trade(pods[0], "buy"), trade(pods[1], "sell"))

    assert await database.execute("SELECT count(*)::int FROM fills") == [(200,)]
    assert await unbalanced(database) == []


@pytest.mark.parametrize("statement", [statements.PLACED, statements.WRITE], ids=["PLACED", "WRITE"])
async def test_order_look_up_uses_the_client_order_id_index(database, statement):
    # given empty tables, for which a planner believes every index to be as good as any other
    arguments = [[]] * len(set(re.findall(r"\$\d+", statement)))
    session = Session(database.engine, "blue")
    async with session.use() as connection:
        lines = await connection.fetch(f"EXPLAIN {statement}", *arguments)
    await session.close()

    plan = "\n".join(line[0] for line in lines)

    assert re.search(r"Index Scan using orders_client_order_id on orders .*\n +Index Cond: .*client_order_id <=", plan)
    assert "Seq Scan" not in plan


async def test_prepared_connection_holds_nothing_that_a_migration_waits_for(database):
    session = Session(database.engine, "blue")
    transactions = Transactions(session, "blue", FenceWatch("blue"), Prices())
    async with session.use() as connection:
        await transactions.prepare(connection)
        held = await database.execute(
            f"SELECT mode FROM pg_locks WHERE pid = {connection.get_server_pid()}"  # noqa: S608  # a number
        )
    await session.close()

    assert held == []


async def test_orders_are_read_newest_first_in_pages(pod):
    account_id = await pod.open_account("ada")
    placed = [(await pod.place(account_id, f"order {number}")).execution for number in range(5)]

    page = await pod.store.reader.orders(account_id, 3)
    rest = await pod.store.reader.orders(account_id, 3, before=page[-1].sequence)

    assert page + rest == placed[::-1]
    assert await pod.store.reader.order(account_id, "order 2") == placed[2]
    assert await pod.store.reader.order(account_id, "order 9") is None


async def test_full_queue_is_answered_overloaded_at_once(start_pod):
    pod = await start_pod(limits=Limits(max_queued=3))
    account_id = await pod.open_account("ada")

    outcomes = await asyncio.gather(*(pod.place(account_id, str(n)) for n in range(5)), return_exceptions=True)

    assert [isinstance(outcome, OrderError) for outcome in outcomes] == [False, False, False, True, True]
    assert outcomes[-1].reason is OrderErrorReason.OVERLOADED


async def test_stop_completes_the_queued_orders(pod, database):
    account_id = await pod.open_account("ada")
    placing = [asyncio.create_task(pod.place(account_id, str(number))) for number in range(10)]
    await asyncio.sleep(0)

    await pod.store.stop()

    assert {task.result().execution.status for task in placing} == {OrderStatus.FILLED}
    assert len(await database.execute("SELECT id FROM orders")) == 10
    with pytest.raises(OrderError):
        await pod.place(account_id, "late")
