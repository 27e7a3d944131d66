"""Which orders of contested accounts are tried at once, where one account is held in a way that no lock shows."""

import asyncio
import math
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
import pytest_asyncio
from engine_pods import market_order
from rtx_engine.store.queue import OrderQueue, Pending

LATER = 10.0


@pytest_asyncio.fixture
async def queue() -> AsyncIterator[OrderQueue]:
    yield OrderQueue()


def pending(account_id: int) -> Pending:
    return Pending(market_order(account_id, str(uuid4())), asyncio.get_running_loop().create_future(), math.inf)


def attempts_until_alone(queue: OrderQueue, held: set[int]) -> tuple[int, list[Pending]]:
    """Try contested orders, one of each account, until those of `held` are left.

    How often one waited, and the others as placed.
    """
    waited, placed = 0, []
    while len(queue) > len(held):
        batch = queue.next_contested(LATER)
        if {one.order.account_id for one in batch} & held:
            waited += 1
            queue.put_last(batch, 0.0)
        else:
            placed += batch
            queue.widen()
    return waited, placed


def attempts_until_placed(queue: OrderQueue, wanted: int, *, locked: set[int], unseen: int) -> int:
    """How many attempts until the order of `wanted` is placed; those at `locked` accounts are passed over."""
    for attempt in range(1, 1000):
        batch = queue.next_contested(LATER)
        accounts = {one.order.account_id for one in batch}
        if unseen in accounts:
            queue.put_last(batch, 0.0)
            continue
        if wanted in accounts:
            return attempt
        undecided = [one for one in batch if one.order.account_id in locked]
        for one in undecided:
            one.attempts += 1
        queue.put_back(undecided, 0.0)
        if accounts - locked:
            queue.widen()
    raise AssertionError(f"the order of {wanted} is never placed")


@pytest.mark.parametrize("held", [0, 200, 511])
async def test_held_account_is_found_in_halves(queue: OrderQueue, held: int) -> None:
    queue.put_back([pending(account) for account in range(512)], 0.0, all_contested=True)

    waited, placed = attempts_until_alone(queue, {held})

    assert waited <= 18
    assert len(placed) == 511


async def test_others_are_placed_however_many_are_held(queue: OrderQueue) -> None:
    queue.put_back([pending(account) for account in range(100)], 0.0, all_contested=True)

    waited, placed = attempts_until_alone(queue, set(range(99)))

    assert waited <= 100
    assert [one.order.account_id for one in placed] == [99]


async def test_orders_of_an_account_stay_in_order_when_it_waits_behind_others(queue: OrderQueue) -> None:
    # given two orders of an account that is held, and one that came while they were tried
    first, second, other, third = (pending(account) for account in (1, 1, 2, 1))
    queue.put_back([first, second, other], 0.0, all_contested=True)
    queue.put_last(queue.next_contested(LATER), 0.0)
    queue.append(third)
    assert queue.next_batch() == []

    # then the other account comes first where there is room for one, and its own orders keep their order
    batches = [queue.next_contested(LATER)]
    queue.put_last(batches[0], 0.0)
    batches += [queue.next_contested(LATER), queue.next_contested(LATER)]
    assert batches == [[first, second, third], [other], [first, second, third]]


@pytest.mark.parametrize("locked", [1, 2, 3, 10, 100])
async def test_locked_accounts_keep_no_other_from_being_tried_without_the_one_that_is_held_unseen(
    queue: OrderQueue, locked: int
) -> None:
    # given accounts whose rows are locked, one that is held unseen, and as many free ones as are locked
    locked_ones, unseen, free = set(range(locked)), 1000, range(2000, 2000 + locked)
    queue.put_back([pending(account) for account in (*locked_ones, unseen, *free)], 0.0, all_contested=True)

    # then the last of them is placed once halves have found the one, long before its deadline (250 attempts)
    assert attempts_until_placed(queue, free[-1], locked=locked_ones, unseen=unseen) <= 18 + locked


async def test_orders_of_locked_accounts_that_fill_a_batch_leave_others_a_turn(queue: OrderQueue) -> None:
    # given two locked accounts with as many orders as one may have, and a free one
    queue.put_back([pending(account) for account in [1] * 256 + [2] * 256 + [3]], 0.0, all_contested=True)

    assert attempts_until_placed(queue, 3, locked={1, 2}, unseen=1000) <= 3
