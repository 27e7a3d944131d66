"""Accounts of one batch are settled one by one: what holds up or repeats one of them costs no other anything."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator

import pytest
from engine_ledger import unbalanced
from engine_pods import market_order
from engine_postgres import TestDatabase
from rtx_engine.store import OrderError, OrderErrorReason
from rtx_engine.store.writer import Limits

TIMEOUT_SECONDS = 10.0
BALANCE = "1000000"
EXECUTOR = {"rtx.colour": "blue", "rtx.epoch": "1"}


@contextlib.asynccontextmanager
async def locked(
    database: TestDatabase, account_id: int, table: str = "accounts", column: str = "id"
) -> AsyncIterator[None]:
    """Somebody holds the rows of this account in `table`, as a person at psql does."""
    holder = await database.connect("postgres")
    try:
        async with holder.transaction():
            await holder.execute(f"SELECT FROM {table} WHERE {column} = $1 FOR UPDATE", account_id)
            yield
    finally:
        await holder.close()


async def test_locked_account_holds_up_no_other_account(pod, database):
    held, *free = [await pod.open_account(f"user {number}") for number in range(5)]

    async with locked(database, held):
        waiting = asyncio.create_task(pod.place(held, "one"))
        async with asyncio.timeout(TIMEOUT_SECONDS):
            # in its batch, and after it
            together = await asyncio.gather(*(pod.place(account, "one") for account in free))
            after = await asyncio.gather(*(pod.place(account, "two") for account in free))
        assert not waiting.done()

    assert not any(placed.replayed for placed in (await waiting, *together, *after))


async def test_locked_position_holds_up_no_other_account(pod, database):
    # given somebody who holds a position, and not the row of its account
    held, *free = [await pod.open_account(f"user {number}") for number in range(5)]
    for account in (held, *free):
        await pod.place(account, "zero")
    async with locked(database, held, "positions", "account_id"):
        # when orders share a batch with one for it, and others come after
        waiting = asyncio.create_task(pod.place(held, "one"))
        together = await asyncio.gather(*(pod.place(account, "one") for account in free))
        after = await asyncio.gather(*(pod.place(account, "two") for account in free))
        # then only its own waits
        assert not waiting.done()

    assert not any(placed.replayed for placed in (await waiting, *together, *after))
    assert await unbalanced(database) == []


# Rows of an account that somebody has entered and not committed: no lock of the account or of its positions shows them.
POSITION = "INSERT INTO positions (account_id, symbol, quantity, average_price) VALUES ($1, 'GBPUSD', 1, 1.1)"
EVENT = "INSERT INTO account_events (account_id, sequence, kind, payload, at) VALUES ($1, 2, 'order', '{}', now())"


@pytest.mark.parametrize("entered", [POSITION, EVENT], ids=["position", "event"])
async def test_rows_entered_by_hand_hold_up_no_other_account(pod, database, entered):
    # given a person who has entered a row of an account, and has not committed
    held, *free = [await pod.open_account(f"user {number}") for number in range(5)]
    for account in (held, *free):
        await pod.place(account, "zero")
    holder = await database.connect("postgres", **EXECUTOR)
    await holder.execute("BEGIN")
    await holder.execute(entered, held)

    # when orders share a batch with two of that account, and others come after
    waiting = [asyncio.create_task(pod.place(held, name, symbol="GBPUSD")) for name in ("one", "two")]
    together = await asyncio.gather(*(pod.place(account, "one") for account in free))
    after = await asyncio.gather(*(pod.place(account, "two") for account in free))

    # then only its own wait, and are placed in their order
    assert not any(one.done() for one in waiting)
    await holder.close()
    assert not any(placed.replayed for placed in (*together, *after))
    assert [(await placed).execution.sequence for placed in waiting] == [2, 3]
    assert await unbalanced(database) == []


async def test_locked_accounts_and_rows_entered_by_hand_hold_up_no_other_account(pod, database):
    # given somebody who holds two accounts by their lock, and another one unseen
    first, second, unseen, free = [await pod.open_account(f"user {number}") for number in range(4)]
    for account in (first, second, unseen, free):
        await pod.place(account, "zero")
    holder = await database.connect("postgres", **EXECUTOR)
    await holder.execute("BEGIN")
    await holder.execute("SELECT FROM accounts WHERE id = ANY ($1::bigint[]) FOR UPDATE", [first, second])
    await holder.execute(
        "INSERT INTO positions (account_id, symbol, quantity, average_price) VALUES ($1, 'GBPUSD', 1, 1.1)", unseen
    )

    # when an order of another account follows theirs in one batch
    accounts = (first, second, unseen, free)
    *waiting, last = [asyncio.create_task(pod.place(account, "one", symbol="GBPUSD")) for account in accounts]
    try:
        placed = await last
    finally:
        await holder.close()
        await asyncio.gather(*waiting, return_exceptions=True)

    # then it does not wait until its deadline
    assert placed.execution.sequence == 2
    assert await unbalanced(database) == []


async def test_order_of_an_account_whose_rows_are_held_is_told_so(start_pod, database):
    pod = await start_pod(limits=Limits(order_timeout_seconds=2.0))
    held = await pod.open_account("ada")
    holder = await database.connect("postgres", **EXECUTOR)
    await holder.execute("BEGIN")
    await holder.execute(POSITION, held)

    with pytest.raises(OrderError, match="another session holds the account") as refusal:
        await pod.place(held, "one", symbol="GBPUSD")

    await holder.close()
    assert refusal.value.reason is OrderErrorReason.UNAVAILABLE


async def test_orders_of_a_locked_account_leave_room_in_the_queue(start_pod, database):
    # given an account that somebody holds, and more orders of it than the queue has room for
    pod = await start_pod(limits=Limits(max_queued=20, max_of_account=10))
    held, free = await pod.open_account("ada"), await pod.open_account("bob")

    async with locked(database, held):
        waiting = [asyncio.create_task(pod.place(held, str(number), quantity="0.01")) for number in range(30)]
        await asyncio.sleep(0)
        for number in range(5):
            await pod.place(free, str(number))

    # then those beyond its limit are refused, and the others are placed
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [isinstance(outcome, OrderError) for outcome in outcomes] == [False] * 10 + [True] * 20
    assert {outcome.reason for outcome in outcomes[10:]} == {OrderErrorReason.TOO_MANY_REQUESTS}
    # and there is room for its next ones
    assert (await pod.place(held, "next")).execution.sequence == 11


async def test_orders_of_a_locked_account_fail_at_their_own_deadline(start_pod, database):
    pod = await start_pod(limits=Limits(order_timeout_seconds=0.5))
    held, free = await pod.open_account("ada"), await pod.open_account("bob")

    async with locked(database, held):
        outcomes = await asyncio.gather(pod.place(held, "one"), pod.place(free, "one"), return_exceptions=True)

    refused, placed = outcomes
    assert refused.reason is OrderErrorReason.UNAVAILABLE
    assert "account" in str(refused)
    assert not placed.replayed
    assert not (await pod.place(held, "one")).replayed  # so it was true that nothing was recorded


async def test_orders_of_a_locked_account_keep_their_order(pod, database):
    held = await pod.open_account("ada")

    async with locked(database, held):
        waiting = []
        for number in range(5):
            waiting.append(asyncio.create_task(pod.place(held, str(number))))
            await asyncio.sleep(0.02)

    assert [(await placed).execution.sequence for placed in waiting] == [1, 2, 3, 4, 5]


async def transactions_of(database: TestDatabase, *client_order_ids: str) -> int:
    [(count,)] = await database.execute(
        "SELECT count(DISTINCT xmin::text)::int FROM orders WHERE client_order_id = ANY ($1)", list(client_order_ids)
    )
    return count


async def test_repeat_of_another_pods_order_is_answered_without_delaying_its_batch(start_pod, database):
    pod, other_pod = await start_pod(), await start_pod()
    ada, bob = await pod.open_account("ada"), await pod.open_account("bob")
    first = await other_pod.place(ada, "first")
    sizes: list[int] = []
    pod.store.orders.on_batch(sizes.append)

    # when a batch has a repeat, an order beside it, and one of another account
    again, beside, other = await asyncio.gather(
        pod.place(ada, "first"), pod.place(ada, "beside"), pod.place(bob, "other")
    )

    # then only what stands beside the repeat is tried again
    assert again.replayed
    assert again.execution == first.execution
    assert not beside.replayed
    assert not other.replayed
    assert sizes == [3, 1]
    assert await transactions_of(database, "beside", "other") == 2


async def test_repeat_of_an_order_of_this_pod_delays_nothing(pod, database):
    ada, bob = await pod.open_account("ada"), await pod.open_account("bob")
    first = await pod.place(ada, "first")
    sizes: list[int] = []
    pod.store.orders.on_batch(sizes.append)

    # when a batch has a repeat, an order beside it, another order with its id, and one of another account
    again, beside, conflict, other = await asyncio.gather(
        pod.place(ada, "first"),
        pod.place(ada, "beside"),
        pod.place(ada, "first", quantity="0.20"),
        pod.place(bob, "other"),
        return_exceptions=True,
    )

    # then all are answered by one transaction
    assert (again.replayed, again.execution, again.body) == (True, first.execution, first.body)
    assert (beside.replayed, beside.execution.sequence) == (False, 2)
    assert conflict.reason is OrderErrorReason.CONFLICT
    assert not other.replayed
    assert sizes == [4]
    assert await transactions_of(database, "beside", "other") == 1
    assert [event.sequence for event in pod.events if event.account_id == ada] == [1, 2]


async def test_order_among_endless_repeats_of_its_account_is_placed(pod):
    ada = await pod.open_account("ada")
    await pod.place(ada, "first")
    done = False

    async def repeat() -> None:
        while not done:
            assert (await pod.place(ada, "first")).replayed

    repeating = [asyncio.create_task(repeat()) for _ in range(5)]
    async with asyncio.timeout(TIMEOUT_SECONDS):
        placed = [await pod.place(ada, str(number)) for number in range(5)]
    done = True
    await asyncio.gather(*repeating)

    assert [one.execution.sequence for one in placed] == [2, 3, 4, 5, 6]


async def test_order_that_came_twice_is_told_as_it_was_placed(start_pod):
    # given a pod that remembers an account, which another pod has moved on since
    pods = [await start_pod(), await start_pod()]
    account_id = await pods[0].open_account("ada")
    await pods[0].place(account_id, "first")
    await pods[1].place(account_id, "of the other pod")
    pods[0].events.clear()

    # when a peer repeats a forward of which it got no answer, while the first one is queued
    order = market_order(account_id, "forwarded", side="sell", quantity="5.00")
    placed = await asyncio.gather(*(pods[0].store.orders.submit(order) for _ in range(2)))

    # then its event is that of its only fill
    assert {one.execution.sequence for one in placed} == {3}
    assert [(event.sequence, bytes(event.payload)) for event in pods[0].events] == [(3, placed[0].body)]


async def test_repeat_with_another_content_is_a_conflict_in_a_batch(pod):
    ada, bob = await pod.open_account("ada"), await pod.open_account("bob")
    await pod.place(ada, "first", quantity="0.10")

    refused, placed = await asyncio.gather(
        pod.place(ada, "first", quantity="0.20"), pod.place(bob, "first", quantity="0.20"), return_exceptions=True
    )

    assert isinstance(refused, OrderError)
    assert refused.reason is OrderErrorReason.CONFLICT
    assert not placed.replayed


async def test_two_pods_on_the_same_accounts_add_up(start_pod, database):
    # given two pods whose batches want the same few accounts at once, with repeats among the orders
    pods = [await start_pod(), await start_pod()]
    accounts = [await pods[0].open_account(f"user {number}", balance=BALANCE) for number in range(6)]

    async def trade(worker: int) -> int:
        choose, placed = random.Random(worker), 0  # noqa: S311  # a test must be repeatable
        for number in range(60):
            account = choose.choice(accounts)
            order = f"{worker} {number}", choose.choice(("buy", "sell"))
            for pod in choose.sample(pods, k=2) if choose.random() < 0.1 else [pods[worker % 2]]:
                placed += not (await pod.place(account, order[0], side=order[1], quantity="0.01")).replayed
        return placed

    placed = await asyncio.gather(*(trade(worker) for worker in range(12)))

    assert placed == [60] * 12
    assert await database.execute("SELECT count(*)::int FROM fills") == [(12 * 60,)]
    assert await unbalanced(database) == []
    [(deadlocks,)] = await database.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    assert deadlocks == 0


@pytest.mark.parametrize("account_count", [1, 20])
async def test_accounts_that_another_pod_moves_are_read_anew(start_pod, database, account_count):
    pods = [await start_pod(), await start_pod()]
    accounts = [await pods[0].open_account(f"user {number}", balance=BALANCE) for number in range(account_count)]

    for number in range(4):
        await asyncio.gather(*(pods[number % 2].place(account, str(number)) for account in accounts))

    assert await database.execute("SELECT DISTINCT event_sequence FROM accounts") == [(4,)]
    assert await unbalanced(database) == []
