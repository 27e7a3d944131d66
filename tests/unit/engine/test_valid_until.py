"""An order with `valid_until` is placed by then or never, whatever pod it waits in; so a look-up can be final."""

import asyncio
import datetime as dt

import msgspec
import pytest
from engine_pods import Pod, market_order
from engine_postgres import TestDatabase
from engine_traders import ORDER
from rtx_engine.domain.orders import Execution, MarketOrder
from rtx_engine.store import OrderError, OrderErrorReason, lookup, writers
from rtx_engine.store.lookup import NotPlaced

TIMEOUT_SECONDS = 20.0


def valid_for(order: MarketOrder, seconds: float) -> MarketOrder:
    return msgspec.structs.replace(order, valid_until=dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds))


async def not_placed_after(pod: Pod, order: MarketOrder) -> NotPlaced:
    """What a look-up says that is asked once the database's clock is past the order's valid_until."""
    assert order.valid_until is not None
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while True:
            found = await pod.store.lookup.find(order.account_id, order.client_order_id)
            assert isinstance(found, NotPlaced)
            if found.as_of > order.valid_until:
                return found
            await asyncio.sleep(0.05)


async def wait_until_it_waits_for_a_lock(database: TestDatabase) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not await database.execute(  # noqa: ASYNC110  # nothing tells that a session waits
            "SELECT FROM pg_stat_activity WHERE datname = current_database() AND usename = 'rtx_engine'"
            " AND wait_event_type = 'Lock'"
        ):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("asked", ["the same pod", "another pod"])
async def test_order_is_not_placed_after_a_look_up_past_its_time_found_none(start_pod, database, monkeypatch, asked):
    # given an order whose statement waits in the database, before it has its account
    monkeypatch.setattr(writers, "LOCK_TIMEOUT_MS", 60_000)
    monkeypatch.setattr(lookup, "TIMEOUT_SECONDS", TIMEOUT_SECONDS)
    await database.execute(f"ALTER ROLE rtx_engine IN DATABASE {database.name} SET statement_timeout = '60s'")
    pods = [await start_pod(), await start_pod()]
    account_id = await pods[0].open_account("ada")
    mover = await database.connect("rtx_operator")
    await mover.execute("BEGIN; LOCK TABLE rtx_operator.execution_fence IN EXCLUSIVE MODE")
    order = valid_for(market_order(account_id, "one"), seconds=0.5)
    placing = asyncio.create_task(pods[0].store.orders.submit(order))
    await wait_until_it_waits_for_a_lock(database)

    if asked == "another pod":
        # when another pod has said that there is none, and then the statement goes on
        await not_placed_after(pods[1], order)
        await mover.close()
    else:
        # when the pod itself is asked, it waits for the statement
        asking = asyncio.create_task(not_placed_after(pods[0], order))
        await asyncio.sleep(0.6)  # until its time is over
        assert not asking.done()
        await mover.close()
        await asking

    # then it has placed nothing, for ever
    with pytest.raises(OrderError) as refusal:
        await placing
    assert refusal.value.reason is OrderErrorReason.EXPIRED
    await not_placed_after(pods[1], order)
    assert await database.execute("SELECT FROM orders") == []


async def test_order_of_a_held_account_expires_at_its_time_and_keeps_no_other_waiting(pod, database):
    ada, bob = [await pod.open_account(name) for name in ("ada", "bob")]
    holder = await database.connect("postgres")
    await holder.execute("BEGIN")
    await holder.execute("SELECT FROM accounts WHERE id = $1 FOR UPDATE", ada)

    # given an account that somebody holds for longer than its order is valid
    placing = asyncio.create_task(pod.store.orders.submit(valid_for(market_order(ada, "one"), seconds=0.3)))
    await pod.place(bob, "two")
    with pytest.raises(OrderError) as refusal:
        await placing
    assert refusal.value.reason is OrderErrorReason.EXPIRED

    # then the account goes on with its next order
    await holder.close()
    assert (await pod.place(ada, "next")).execution.sequence == 1


async def test_order_is_waited_for_whose_repeat_has_expired(pod, database):
    account_id = await pod.open_account("ada")
    holder = await database.connect("postgres")
    await holder.execute("BEGIN")
    await holder.execute("SELECT FROM accounts WHERE id = $1 FOR UPDATE", account_id)

    # given an order that waits for its account, and a repeat of it that has waited as long as it may
    placing = asyncio.create_task(pod.place(account_id, "one"))
    await asyncio.sleep(0)
    with pytest.raises(OrderError):
        await pod.store.orders.submit(valid_for(market_order(account_id, "one"), seconds=0.1))

    # when somebody asks
    waiting = asyncio.create_task(pod.store.orders.wait_for((account_id, "one")))
    await asyncio.wait([waiting], timeout=0.2)

    # then the first one is still under way
    assert not waiting.done()
    await holder.close()
    await placing
    await waiting


async def test_order_within_its_time_is_placed_and_repeats_ignore_it(pod):
    account_id = await pod.open_account("ada")
    order = valid_for(market_order(account_id, "one"), seconds=60)

    placed = await pod.store.orders.submit(order)
    repeated = await pod.place(account_id, "one")

    assert not placed.replayed
    assert repeated.replayed
    found = await pod.store.lookup.find(account_id, "one")
    assert isinstance(found, Execution)
    assert found.order.order_id == repeated.execution.order.order_id == order.order_id


async def test_client_learns_for_good_what_became_of_an_order(engines, anybody):
    engine = await engines.start()
    ada = await anybody.open(engine, "ada")
    now = dt.datetime.now(dt.UTC)
    past, future = [(now + dt.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ") for seconds in (-60, 60)]

    async def order(client_order_id: str, valid_until: object, **other: str):
        body = {**ORDER, "client_order_id": client_order_id, "valid_until": valid_until, **other}
        return await ada.call(engine, "POST", "/api/orders/market", body)

    # a request whose time is over places nothing; the look-up says as of when
    late = await order("late", past)
    assert (late.status, late.body["error"]["reason"]) == (412, "Expired")
    none = await ada.call(engine, "GET", "/api/orders/late")
    assert (none.status, none.body["error"]["reason"]) == (404, "NotFound")
    assert none.body["as_of"] > past
    assert none.body["as_of"] in none.body["error"]["message"]

    # one in time is placed, and a repeat after its time gets its outcome
    placed = await order("one", future)
    assert placed.status == 201
    repeated = await order("one", past)
    assert (repeated.status, repeated.body) == (200, placed.body)
    conflict = await order("one", past, quantity="0.02")
    assert (conflict.status, conflict.body["error"]["reason"]) == (409, "Conflict")

    for wrong in ("tomorrow", "2026-11-27 10:00:00Z", "2026-11-27T10:00:00", "2026-02-30T10:00:00Z", "", 1):
        refused = await order("two", wrong)
        assert refused.status == 400, wrong
        assert "valid_until" in refused.body["error"]["message"]
