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
    return waited, placed


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
