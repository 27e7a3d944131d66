"""What a pod remembers of accounts saves a read, and never decides anything."""

import asyncio
import datetime as dt
from decimal import Decimal

import pytest
from engine_ledger import unbalanced
from engine_pods import market_order
from rtx_engine.domain.execution import Portfolio
from rtx_engine.domain.orders import Execution, MarketOrder, OrderStatus
from rtx_engine.store.cache import PortfolioCache, RecentExecutions

BALANCE = "1000000"


def executed(order: MarketOrder) -> Execution:
    return Execution(order, OrderStatus.FILLED, 1, 1, "blue", dt.datetime(2026, 11, 27, tzinfo=dt.UTC))


def portfolio(account_id: int, sequence: int = 1) -> Portfolio:
    return Portfolio(account_id, Decimal(100), 100, sequence)


def test_portfolios_belong_to_an_epoch_and_a_connection():
    cache, connection = PortfolioCache(), object()
    cache.adopt(1, connection)
    cache.remember([portfolio(1)])

    cache.adopt(1, connection)
    assert cache.portfolios([1]) == {1: portfolio(1)}
    cache.adopt(2, connection)
    assert cache.portfolios([1]) == {}
    cache.remember([portfolio(1)])
    cache.adopt(2, object())
    assert cache.portfolios([1]) == {}


def test_account_used_longest_ago_is_forgotten_first():
    cache = PortfolioCache(max_portfolios=2)
    cache.remember([portfolio(1), portfolio(2)])
    cache.portfolios([1])

    cache.remember([portfolio(3)])

    assert set(cache.portfolios([1, 2, 3])) == {1, 3}


def test_executions_belong_to_an_epoch_and_a_connection():
    order, connection = market_order(1, "one"), object()
    execution = executed(order)
    cache = PortfolioCache()
    for data, other in ((1, connection), (2, connection), (2, object())):
        cache.adopt(data, other)
        assert cache.executions.of([order]) == []
        cache.executions.remember([execution])
        cache.adopt(data, other)
        assert cache.executions.of([market_order(1, "one"), market_order(1, "two"), market_order(2, "one")]) == [
            execution
        ]


def test_oldest_executions_are_forgotten_first():
    orders = [market_order(1, str(number)) for number in range(5)]
    executions = RecentExecutions(max_executions=2)
    executions.remember(executed(order) for order in orders[:1])
    executions.remember(executed(order) for order in orders[1:])
    assert [execution.order for execution in executions.of(orders)] == orders[3:]


async def test_repeat_of_what_the_database_has_lost_is_placed_anew(pod, database):
    # given a pod that remembers an order, and a takeover by a server that has lost it: its sessions end with it
    account_id = await pod.open_account("ada", balance=BALANCE)
    first = await pod.place(account_id, "lost")
    restorer = await database.connect("postgres")
    await restorer.execute("SET session_replication_role = replica")  # as a restore: no trigger sees it
    for statement in (
        "DELETE FROM fills",
        "DELETE FROM orders",
        "DELETE FROM account_events",
        "DELETE FROM positions",
        "UPDATE accounts SET event_sequence = 0",
    ):
        await restorer.execute(statement)
    await restorer.close()
    await database.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'blue'")

    # when it is repeated, alone or beside another one, then nothing is told of an order that there is not
    again, _ = await asyncio.gather(pod.place(account_id, "lost"), pod.place(account_id, "beside"))

    assert not again.replayed
    assert again.execution.order.order_id != first.execution.order.order_id
    assert await database.execute("SELECT count(*)::int FROM orders") == [(2,)]


@pytest.mark.parametrize("connections", [2, 3, 4])
async def test_account_changed_by_another_pod_is_planned_anew(start_pod, database, connections):
    # given two pods that remember the same accounts
    pods = [await start_pod(connections=connections), await start_pod(connections=connections)]
    accounts = [await pods[0].open_account(f"user {number}", balance=BALANCE) for number in range(4)]
    for pod in pods:
        for account in accounts:
            await pod.place(account, f"first of {id(pod)}")

    # when one closes the positions with a loss, and the other trades on
    for account in accounts:
        await pods[0].place(account, "close", side="sell", quantity="0.20")
        last = await pods[1].place(account, "last")
        assert last.execution.sequence == 4

    # then nothing was overwritten
    assert await unbalanced(database) == []
    assert await database.execute("SELECT DISTINCT quantity FROM positions") == [(Decimal("0.10"),)]


async def test_account_restored_to_an_earlier_state_is_read_by_a_new_connection(pod, database):
    # given a pod that remembers an account, and a database that has lost what it remembers: its sessions end with it
    account_id = await pod.open_account("ada", balance=BALANCE)
    await pod.place(account_id, "kept")
    [before] = await database.execute("SELECT balance, event_sequence FROM accounts")
    await pod.place(account_id, "lost", quantity="1.00")
    restorer = await database.connect("postgres")
    await restorer.execute("SET session_replication_role = replica")  # as a restore: no trigger sees it
    for statement in (
        "DELETE FROM fills WHERE quantity = 1.00",
        "DELETE FROM orders WHERE client_order_id = 'lost'",
        "DELETE FROM account_events WHERE sequence = 2",
        "UPDATE positions SET quantity = 0.10",
    ):
        await restorer.execute(statement)
    await restorer.execute("UPDATE accounts SET balance = $1, event_sequence = $2", *before)
    await restorer.close()
    await database.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'blue'")

    placed = await pod.place(account_id, "next")

    assert placed.execution.sequence == 2
    assert await database.execute("SELECT quantity FROM positions") == [(Decimal("0.20"),)]
